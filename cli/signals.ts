/** Ctrl-C and its relatives: the first one asks the command to end, a later one ends the process. SIGHUP means what the command makes of it. */

const SIGNALS: readonly Deno.Signal[] = Deno.build.os === "windows"
  ? ["SIGINT", "SIGBREAK"]
  : ["SIGINT", "SIGTERM"];
const HANG_UP: readonly Deno.Signal[] = Deno.build.os === "windows" ? [] : ["SIGHUP"];

/** One Ctrl-C can come several times: from the terminal, and again from each program that passes it on. */
const SAME_SIGNAL_MS = 1_000;

/** What signals lead to. */
export interface SignalActions {
  /** Asks the command to end in good order. */
  readonly end: () => void;
  /** Ends the process. */
  readonly force: () => void;
  /** Asks the command to read its configuration again, or to end in good order. */
  readonly hangUp: () => void;
}

/**
 * Listens for the signals that end a program.
 *
 * @param options.monotonic milliseconds that only ever grow
 * @returns a function that ends the listening
 */
export function listenForSignals(
  actions: SignalActions,
  options: { monotonic: () => number },
): () => void {
  const onSignal = signalHandler(actions, options);
  for (const signal of SIGNALS) Deno.addSignalListener(signal, onSignal);
  for (const signal of HANG_UP) Deno.addSignalListener(signal, actions.hangUp);
  return () => {
    for (const signal of SIGNALS) Deno.removeSignalListener(signal, onSignal);
    for (const signal of HANG_UP) Deno.removeSignalListener(signal, actions.hangUp);
  };
}

/** Takes each signal: the first asks, those within a second of it are the same one, the next forces. */
export function signalHandler(
  actions: Pick<SignalActions, "end" | "force">,
  { monotonic }: { monotonic: () => number },
): () => void {
  let firstMs: number | null = null;
  return () => {
    if (firstMs === null) {
      firstMs = monotonic();
      actions.end();
    } else if (monotonic() - firstMs >= SAME_SIGNAL_MS) actions.force();
  };
}
