/** An agent as a process of this machine. */

import type { AgentProcess } from "./options.ts";

/**
 * Starts agents.
 *
 * @param options.program its path; the one program that has to be allowed to run
 * @param options.env all that it sees of the environment
 */
export function agentSpawner(
  options: { program: string; env: Readonly<Record<string, string>> },
): (args: readonly string[]) => AgentProcess {
  return (args) => {
    const child = new Deno.Command(options.program, {
      args: [...args],
      env: { ...options.env },
      clearEnv: true,
      stdin: "piped", // open as long as this process lives
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    return {
      stdout: child.stdout,
      stderr: child.stderr,
      ended: child.status,
      endInput: () => void child.stdin.close().catch(() => {}), // closed already, or nobody reads it
      kill(signal) {
        try {
          child.kill(signal);
        } catch {
          // It has ended.
        }
      },
    };
  };
}
