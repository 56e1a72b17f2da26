/**
 * Runs the tests and ends with one line, `N passed, N failed, N skipped`. Arguments go on to `deno test`.
 *
 * Types are left to `deno task check`: here every worker that a test starts would be checked again.
 *
 * Environment: `TRACE=1` adds leak traces; `ARONA_REQUIRE_ALL=1` makes a test fail where it would be skipped for want of a tool.
 */

if (import.meta.main) Deno.exit(await runTests(Deno.args));

/** What one run of `deno test` came to. */
export interface TestCounts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Runs `deno test` and passes its output on. @returns the exit code. */
export async function runTests(args: readonly string[]): Promise<number> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "--allow-all", "--no-check", ...await sanitizerFlags(), ...traceFlags(), ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let output = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    await writeAll(Deno.stdout, chunk);
    output += decoder.decode(chunk, { stream: true });
  }
  const { success, code } = await child.status;
  const counts = countTests(output, success);
  for (const name of skippedTests(output)) console.log(`skipped: ${name}`);
  console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  return success ? 0 : code || 1;
}

/** Reads the summary that `deno test` prints last. Without one (nothing compiled, say) that is one failure. */
export function countTests(output: string, success: boolean): TestCounts {
  const summary = plain(output).split("\n").findLast((line) => /^(ok|FAILED) \| \d+ passed/.test(line)) ?? "";
  const count = (word: string) => Number(summary.match(new RegExp(`(\\d+) ${word}`))?.[1] ?? 0);
  const failed = count("failed");
  return {
    passed: count("passed"),
    failed: success ? failed : Math.max(1, failed),
    skipped: count("ignored"),
  };
}

/** Names of the tests that did not run. */
export function skippedTests(output: string): string[] {
  return [...plain(output).matchAll(/^\s*(.+) \.\.\. ignored\b/gm)].map((match) => match[1]);
}

/** Newer versions of Deno check for leaks only where asked, older ones always do and do not know the flags. */
async function sanitizerFlags(): Promise<string[]> {
  const help = await new Deno.Command(Deno.execPath(), { args: ["test", "--help"] }).output();
  const known = new TextDecoder().decode(help.stdout).includes("--sanitize-ops");
  return known ? ["--sanitize-ops", "--sanitize-resources"] : [];
}

function traceFlags(): string[] {
  return Deno.env.get("TRACE") ? ["--trace-leaks"] : [];
}

function plain(output: string): string {
  // deno-lint-ignore no-control-regex
  return output.replace(/\x1b\[[0-9;]*m/g, "");
}

async function writeAll(writer: typeof Deno.stdout, bytes: Uint8Array): Promise<void> {
  for (let rest = bytes; rest.length > 0;) rest = rest.subarray(await writer.write(rest));
}
