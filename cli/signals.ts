/** Ctrl-C and its relatives: the first one asks the command to end, the second one ends the process. */

const SIGNALS: readonly Deno.Signal[] = Deno.build.os === "windows"
  ? ["SIGINT", "SIGBREAK"]
  : ["SIGINT", "SIGTERM", "SIGHUP"];

/**
 * Listens for the signals that end a program.
 *
 * @returns a function that ends the listening
 */
export function listenForSignals(actions: { end: () => void; force: () => void }): () => void {
  let asked = false;
  const onSignal = () => {
    if (asked) return actions.force();
    asked = true;
    actions.end();
  };
  for (const signal of SIGNALS) Deno.addSignalListener(signal, onSignal);
  return () => {
    for (const signal of SIGNALS) Deno.removeSignalListener(signal, onSignal);
  };
}
