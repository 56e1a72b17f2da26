/** Asks an agent's own interface on loopback. */

import { type Clock, within } from "../../proto/mod.ts";
import { MAX_TUNNEL_API_BYTES, TUNNEL_API_TIMEOUT_MS } from "./limits.ts";

/** The JSON at `url`; null where there is no answer to make sense of. Never throws. */
export async function askAgent(
  url: string,
  options: { fetch: typeof fetch; clock: Clock; signal: AbortSignal },
): Promise<unknown> {
  const { fetch, clock, signal } = options;
  const late = () => new Error("Cannot ask the agent: it does not answer");
  try {
    return await within({ clock, signal, limitMs: TUNNEL_API_TIMEOUT_MS, late }, async (signal) => {
      const response = await fetch(url, { signal, redirect: "manual" });
      return response.ok ? JSON.parse(await boundedText(response)) : (await response.body?.cancel(), null);
    });
  } catch {
    return null;
  }
}

async function boundedText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > MAX_TUNNEL_API_BYTES) throw new Error("Cannot read the answer: it is too long");
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
