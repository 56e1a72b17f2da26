/** Runs fuzz targets: valid inputs first, which have to be accepted, then changed ones, which may get an AronaError and nothing else. */

import { AronaError, toHex } from "../../proto/mod.ts";
import { mutate } from "./mutate.ts";
import { Random } from "./prng.ts";

/** How long one case may take. Far more than any takes: it finds what does not end. */
const CASE_LIMIT_MS = 10_000;
/** More of a long input says nothing more to a person. */
const MAX_SHOWN_BYTES = 8_192;

/** Something to fuzz. */
export interface FuzzTarget {
  readonly name: string;
  /** What is decoded and what has to hold, in a few words. */
  readonly what: string;
  /** How many times slower than a plain decoder it is; the number of cases is divided by it. @default 1 */
  readonly cost?: number;
  /** Whether a case depends on those before it: to repeat one, all before it are run too. @default false */
  readonly stateful?: boolean;
  open(): FuzzSubject | Promise<FuzzSubject>;
}

/** A target ready to run. */
export interface FuzzSubject {
  /** Valid inputs. They are the first cases, unchanged. */
  readonly corpus: readonly Uint8Array[];
  /** Makes an input. @default mutate(random, corpus) */
  generate?(random: Random): Uint8Array;
  /**
   * Runs the decoder and checks what came out.
   *
   * @param random for what the input does not decide, such as where a stream is cut
   * @throws what the decoder throws, or an error for a property that does not hold
   */
  run(input: Uint8Array, random: Random): void | Promise<void>;
  /** Checks what has to hold in the end, and frees what was opened. */
  close?(): void | Promise<void>;
}

/** What became of a target's cases. */
export interface FuzzResult {
  readonly cases: number;
  readonly accepted: number;
  readonly refused: number;
  readonly elapsedMs: number;
}

/** Options of {@link fuzz}. */
export interface FuzzOptions {
  readonly seed: string;
  /** Changed inputs; the corpus comes on top. It is divided by the target's cost. */
  readonly cases: number;
  /** Runs this case only (and those before it, where the target is stateful). */
  readonly only?: number;
}

/** A case that failed, with all that is needed to repeat it. */
export class FuzzFailure extends Error {
  constructor(
    where: { target: string; seed: string; index: number },
    readonly input: Uint8Array,
    cause: unknown,
  ) {
    const { target, seed, index } = where;
    const what = cause instanceof Error ? cause.stack ?? cause.message : String(cause);
    super(
      `${target} failed at case ${index}: ${what}\n` +
        `Input (${input.length} bytes): ${shownInput(input)}\n` +
        `Repeat it with: deno task fuzz --target ${target} --seed ${seed} --case ${index}`,
      { cause },
    );
    this.name = "FuzzFailure";
  }
}

function shownInput(input: Uint8Array): string {
  const rest = input.length - MAX_SHOWN_BYTES;
  const shown = toHex(input.subarray(0, MAX_SHOWN_BYTES));
  return rest > 0 ? `${shown} and ${rest} more, which repeating it makes again` : shown;
}

/** Runs one target. @throws {FuzzFailure} at the first case that fails */
export async function fuzz(target: FuzzTarget, options: FuzzOptions): Promise<FuzzResult> {
  const started = performance.now();
  const subject = await target.open();
  const stray = listenForStrayErrors();
  const counts = { accepted: 0, refused: 0 };
  const total = subject.corpus.length + Math.ceil(options.cases / (target.cost ?? 1));
  const last = options.only ?? total - 1;
  const first = options.only === undefined || target.stateful ? 0 : options.only;
  let finished = false;
  try {
    for (let index = first; index <= last; index++) {
      const random = new Random(`${target.name}/${options.seed}/${index}`);
      const isValid = index < subject.corpus.length;
      const input = isValid
        ? subject.corpus[index]
        : subject.generate?.(random) ?? mutate(random, subject.corpus);
      try {
        const outcome = await runCase(subject, input, random);
        stray.check();
        if (isValid && outcome.refusal !== null) throw outcome.refusal;
        counts[outcome.refusal === null ? "accepted" : "refused"]++;
      } catch (cause) {
        throw new FuzzFailure({ target: target.name, seed: options.seed, index }, input, cause);
      }
    }
    finished = true;
  } finally {
    stray.stop();
    try {
      await subject.close?.();
    } catch (error) {
      // deno-lint-ignore no-unsafe-finally -- a failed case says more than what its subject could not close after it
      if (finished) throw error;
    }
  }
  return { cases: last - first + 1, ...counts, elapsedMs: performance.now() - started };
}

/** @returns the AronaError that refused the input, or null. @throws whatever else came out */
async function runCase(
  subject: FuzzSubject,
  input: Uint8Array,
  random: Random,
): Promise<{ refusal: AronaError | null }> {
  const started = performance.now();
  try {
    const running = subject.run(input, random);
    if (running instanceof Promise) await withLimit(running);
    if (performance.now() - started > CASE_LIMIT_MS) throw new Error("it took too long");
    return { refusal: null };
  } catch (error) {
    // INTERNAL is how our own misuse is reported; no input may bring it about.
    if (error instanceof AronaError && error.code !== "INTERNAL") return { refusal: error };
    throw error;
  }
}

async function withLimit(running: Promise<void>): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error("it does not end")), CASE_LIMIT_MS);
  try {
    await Promise.race([running, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Errors that nobody waits for are failures too. */
function listenForStrayErrors(): { check(): void; stop(): void } {
  let stray: { error: unknown } | null = null;
  const onRejection = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    stray ??= { error: event.reason };
  };
  globalThis.addEventListener("unhandledrejection", onRejection);
  return {
    check() {
      if (stray !== null) throw new Error("an error was left unhandled", { cause: stray.error });
    },
    stop: () => globalThis.removeEventListener("unhandledrejection", onRejection),
  };
}
