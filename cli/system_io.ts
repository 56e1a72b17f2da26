/** The Io of a real process: standard streams, environment, terminal. */

import { Interrupted } from "./failure.ts";
import type { Io, Prompts, RightKind, TextSink, TextSource } from "./io.ts";
import { createPlainPrompts, type PromptTerminal } from "./plain_prompts.ts";

const DEFAULT_COLUMNS = 80;

/**
 * The process's own Io.
 *
 * @param options.plain whether questions do without control of the screen
 */
export function systemIo(options: { plain: boolean }): Io {
  const abort = new AbortController();
  const stdin = readerOf(Deno.stdin);
  const stdout = sinkOf(Deno.stdout);
  const stderr = sinkOf(Deno.stderr);
  let onHangUp: (() => void) | null = null;
  const end = (by: Interrupted["by"]) => abort.abort(new Interrupted(by));
  const rights = environmentAndRights();
  return {
    stdin,
    stdout,
    stderr,
    prompts: promptsOf({ ...options, stderr, signal: abort.signal, mayReadEnv: rights.mayReadEnv }),
    interactive: stdin.isTerminal && stderr.isTerminal,
    os: Deno.build.os,
    env: rights.env,
    dropRights: rights.dropRights,
    clock: async () => (await import("../proto/base/mod.ts")).systemClock,
    signal: abort.signal,
    onHangUp(action) {
      onHangUp = action;
      return () => onHangUp = null;
    },
    hangUp: () => onHangUp === null ? end("signal") : onHangUp(),
    end,
  };
}

/** Variables that are there after the right to read them is gone, */
const KEPT_VARIABLES = /^(ARONA_.*|TERM|NO_COLOR)$/;
/** but for these, which are not kept. */
const SECRET_VARIABLES = /TOKEN|PASSPHRASE/;
const RIGHTS: readonly RightKind[] = ["read", "write", "net", "run", "env", "sys", "ffi", "import"];

function environmentAndRights(): Pick<Io, "env" | "dropRights"> & { mayReadEnv: () => boolean } {
  const known = new Map<string, string | undefined>();
  let dropped = false;
  const env = (name: string) => {
    if (!dropped && !known.has(name)) known.set(name, Deno.env.get(name));
    return known.get(name);
  };
  return {
    env,
    mayReadEnv: () => !dropped,
    async dropRights(keep) {
      for (const name of dropped ? [] : Object.keys(Deno.env.toObject())) {
        if (KEPT_VARIABLES.test(name)) env(name);
      }
      for (const name of known.keys()) if (SECRET_VARIABLES.test(name)) known.delete(name);
      dropped ||= !keep.includes("env");
      for (const name of RIGHTS) {
        if (!keep.includes(name)) await Deno.permissions.revoke({ name } as Deno.PermissionDescriptor);
      }
    },
  };
}

function sinkOf(stream: typeof Deno.stdout | typeof Deno.stderr): TextSink {
  const encoder = new TextEncoder();
  return {
    isTerminal: stream.isTerminal(),
    get columns() {
      return (stream.isTerminal() ? knownSize().columns : 0) || DEFAULT_COLUMNS;
    },
    get rows() {
      return (stream.isTerminal() ? knownSize().rows : 0) || undefined;
    },
    async write(text) {
      for (let rest = encoder.encode(text); rest.length > 0;) rest = rest.subarray(await stream.write(rest));
    },
  };
}

/** 0 where the terminal does not tell. */
function knownSize(): { columns: number; rows: number } {
  try {
    return Deno.consoleSize();
  } catch {
    return { columns: 0, rows: 0 };
  }
}

function readerOf(stream: typeof Deno.stdin): TextSource {
  return {
    isTerminal: stream.isTerminal(),
    async *lines(signal) {
      const decoder = new TextDecoder();
      let rest = "";
      for await (const chunk of chunks(stream, signal)) {
        const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
        rest = lines.pop()!;
        for (const line of lines) yield line.replace(/\r$/, "");
      }
      rest += decoder.decode();
      if (rest !== "" && !signal.aborted) yield rest;
    },
    async bytes({ maxBytes, signal }) {
      const parts: Uint8Array[] = [];
      let length = 0;
      for await (const chunk of chunks(stream, signal)) {
        parts.push(chunk);
        length += chunk.length;
        if (length > maxBytes) break;
      }
      signal.throwIfAborted();
      const all = new Uint8Array(length);
      let offset = 0;
      for (const part of parts) {
        all.set(part, offset);
        offset += part.length;
      }
      return all;
    },
  };
}

/** What comes in until the end or until `signal` aborts; a read that is under way then is left alone. */
async function* chunks(stream: typeof Deno.stdin, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const aborted = new Promise<null>((resolve) =>
    signal.addEventListener("abort", () => resolve(null), { once: true })
  );
  while (!signal.aborted) {
    const buffer = new Uint8Array(65_536);
    const count = await Promise.race([stream.read(buffer), aborted]);
    if (count === null) return;
    yield buffer.subarray(0, count);
  }
}

/** Questions at the terminal go over stderr, so that stdout stays clean. */
function promptsOf(
  options: { plain: boolean; stderr: TextSink; signal: AbortSignal; mayReadEnv: () => boolean },
): Prompts {
  const { plain, signal, mayReadEnv } = options;
  const simple = createPlainPrompts(promptTerminal(options));
  if (plain || Deno.env.get("TERM") === "dumb" || knownSize().columns === 0) return simple;
  const drawn = drawnPrompts(signal);
  // What draws them reads the environment all the time.
  const now = () => mayReadEnv() ? drawn : simple;
  return {
    text: (question, check) => now().text(question, check),
    secret: (question) => now().secret(question),
    choose: (question, choices) => now().choose(question, choices),
  };
}

function promptTerminal({ stderr, signal }: { stderr: TextSink; signal: AbortSignal }): PromptTerminal {
  return {
    write: (text) => stderr.write(text),
    async read() {
      for await (const chunk of chunks(Deno.stdin, signal)) return chunk;
      return null;
    },
    echo: (on) => Deno.stdin.setRaw(!on, Deno.build.os === "windows" ? undefined : { cbreak: true }),
  };
}

function drawnPrompts(signal: AbortSignal): Prompts {
  type Clack = typeof import("@clack/prompts");
  type Common = { output: import("node:stream").Writable; signal: AbortSignal };
  const ask = async <T>(question: (clack: Clack, common: Common) => Promise<T | symbol>): Promise<T> => {
    const [clack, { stderr }] = await Promise.all([import("@clack/prompts"), import("node:process")]);
    const answer = await question(clack, { output: stderr, signal });
    if (clack.isCancel(answer)) throw new Interrupted("signal");
    return answer as T;
  };
  return {
    text: (message, check) =>
      ask<string>((clack, common) =>
        clack.text({ ...common, message, validate: (value) => check(value ?? "") })
      ),
    secret: (message) => ask<string>((clack, common) => clack.password({ ...common, message })),
    choose: (message, choices) =>
      ask<string>((clack, common) =>
        clack.select<string>({ ...common, message, options: choices.map((value) => ({ value })) })
      ),
  };
}
