/** An agent's output line by line, whatever it prints: bounded, and without anything that a terminal would act on. */

import { MAX_AGENT_LINE_CHARACTERS } from "./limits.ts";

/** Colours and the like (ECMA-48). */
// deno-lint-ignore no-control-regex
const ESCAPES = /\u001b\[[0-9;?]*[ -/]*[@-~]/g;

/**
 * Hands over each line until the stream ends or `signal` aborts; empty ones are left out. Of a longer line than
 * {@link MAX_AGENT_LINE_CHARACTERS} the rest is dropped.
 */
export async function readLines(
  stream: ReadableStream<Uint8Array>,
  options: { signal: AbortSignal; onLine: (line: string) => void },
): Promise<void> {
  const { signal, onLine } = options;
  const reader = stream.getReader();
  const cancel = () => void reader.cancel().catch(() => {});
  if (signal.aborted) cancel();
  signal.addEventListener("abort", cancel, { once: true });
  const decoder = new TextDecoder();
  let line = "";
  const finish = () => {
    const plain = line.replace(ESCAPES, "").replace(/\p{Cc}/gu, " ").trim();
    line = "";
    if (plain !== "") onLine(plain);
  };
  const add = (text: string) => line += text.slice(0, MAX_AGENT_LINE_CHARACTERS - line.length);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const [rest, ...following] = decoder.decode(value, { stream: true }).split("\n");
      add(rest);
      for (const text of following) {
        finish();
        add(text);
      }
    }
  } catch {
    // It broke; the agent's end says more.
  } finally {
    signal.removeEventListener("abort", cancel);
    reader.releaseLock();
  }
  if (!signal.aborted) finish();
}
