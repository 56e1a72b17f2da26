/** Arona: relay, chat client and scripts in one program. */

import { catchFaults } from "./cli/faults.ts";
import { runProgram } from "./cli/program.ts";
import { listenForSignals } from "./cli/signals.ts";
import { systemIo } from "./cli/system_io.ts";

if (import.meta.main) Deno.exit(await main(Deno.args));

/** Runs the command that `args` name, in this process. @returns its exit code: 0 done, 1 failed, 2 bad usage */
export async function main(args: readonly string[]): Promise<number> {
  const io = systemIo({ plain: args.includes("--plain") });
  const stopListening = listenForSignals(
    { end: () => io.end("signal"), force: () => Deno.exit(1), hangUp: () => io.hangUp() },
    { monotonic: () => performance.now() },
  );
  const stopCatching = catchFaults((line, error) => {
    const text = io.env("ARONA_DEBUG") ? Deno.inspect(error) : line;
    io.stderr.write(`arona: ${text}\n`).catch(() => {}); // nobody is left to tell
  });
  try {
    return await runProgram(args, io);
  } finally {
    stopListening();
    stopCatching();
  }
}
