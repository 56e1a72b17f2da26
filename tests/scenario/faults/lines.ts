/** What a client process and its driver say to each other: one JSON object a line, commands in, everything else out. */

import type { AronaClient, ClientEvent, Conversation } from "../../../client/mod.ts";

const ALL = 1_000_000;

/** When a client process kills itself: around its `at`-th transaction, counted from 1. */
export interface Death {
  readonly at: number;
  /** `before`: everything is written, nothing committed; `after`: committed, and nobody has been told yet. */
  readonly when: "before" | "after";
}

/** How a client process is started; its only argument, as JSON. */
export interface ChildOptions {
  /** The profile's folder. */
  readonly folder: string;
  readonly link: string;
  readonly username: string;
  /** Loopback port that is dialled instead of the relay's own address. */
  readonly through?: number;
  /** How much faster than the system's this client's clock runs: pauses and deadlines shrink alike. */
  readonly speed: number;
  readonly death?: Death;
}

/** What a client can be told. `to` is what {@link AronaClient.find} takes. */
export type Command =
  | { readonly do: "connect" }
  | { readonly do: "join"; readonly channel: string }
  | { readonly do: "direct"; readonly account: string }
  | { readonly do: "create"; readonly name: string }
  | { readonly do: "invite"; readonly to: string; readonly account: string }
  | { readonly do: "send"; readonly to: string; readonly text: string }
  | { readonly do: "renew"; readonly to: string }
  | { readonly do: "history"; readonly to: string }
  | { readonly do: "members"; readonly to: string }
  | { readonly do: "conversations" }
  | { readonly do: "writes" }
  | { readonly do: "close" };

/** A line of a conversation as its history has it. */
export interface ShownEntry {
  readonly id: string;
  readonly from: string;
  readonly text: string;
  /** Set where it is no message but a mark. */
  readonly gap?: string;
}

/** All of a conversation, oldest first. */
export function historyOf(client: AronaClient, conversation: Conversation): ShownEntry[] {
  return client.history(conversation, { limit: ALL }).map(({ message }) => {
    const { id, from, text, gap } = message;
    return { id, from, text, gap };
  });
}

/** An error as it crosses the pipe. */
export interface Fault {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

/** What a client process says. */
export type Line =
  | { readonly kind: "opened" }
  /** The profile could not be opened; the process ends. */
  | { readonly kind: "failed"; readonly fault: Fault }
  | { readonly kind: "event"; readonly event: ClientEvent }
  /** `accepted` of a sending has resolved. */
  | {
    readonly kind: "accepted";
    readonly conversation: string;
    readonly message: string;
    readonly text: string;
  }
  | { readonly kind: "answer"; readonly id: number; readonly value: unknown }
  | { readonly kind: "refused"; readonly id: number; readonly fault: Fault };

/** The lines of a stream of UTF-8; what follows the last line break is dropped, for its writer was killed. */
export async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}
