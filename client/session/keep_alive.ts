/**
 * When to ask a silent relay for a sign of life, and when to give it up: a state machine without timers or I/O.
 *
 *     listening ── PING_AFTER_MS of silence ──► asking ── DEAD_AFTER_MS of silence ──► dead
 *         ▲  └──── woke, change of network ───► asking ── PROBE_TIMEOUT_MS ──────────► dead
 *         └─────── anything heard ────────────────┘
 *
 * Silence is counted from what was heard last, so that the phase of a timer decides nothing; what is sent does not count. Whoever drives
 * it hands in a step when the state's `dueMs` has come and at each disturbance; a frame that arrives needs no step, its time is enough.
 */

import { DEAD_AFTER_MS, PING_AFTER_MS, PROBE_TIMEOUT_MS } from "../limits.ts";
import { type Moment, sleptBetween } from "./moment.ts";
import type { Disturbance } from "./surroundings.ts";

/** Where the question stands. `dueMs` is the monotonic time of the next step, `seen` the moment of the last one. */
export type KeepAlive =
  | { readonly kind: "listening"; readonly seen: Moment; readonly dueMs: number }
  | { readonly kind: "asking"; readonly seen: Moment; readonly dueMs: number; readonly askedMs: number }
  | { readonly kind: "dead"; readonly silentMs: number };

/** Why a step is made, when, and the monotonic time at which the relay was heard last. */
export interface KeepAliveInput {
  readonly cause: "timer" | Disturbance;
  readonly at: Moment;
  readonly heardMs: number;
}

/** The new state, and whether a PING goes out now. */
export interface KeepAliveStep {
  readonly state: KeepAlive;
  readonly ping: boolean;
}

/** The state of a connection that was just made. */
export function startKeepAlive(at: Moment): KeepAlive {
  return { kind: "listening", seen: at, dueMs: at.monotonicMs + PING_AFTER_MS };
}

/** Makes one step. Nothing changes any more once it is `dead`. */
export function stepKeepAlive(state: KeepAlive, { cause, at, heardMs }: KeepAliveInput): KeepAliveStep {
  if (state.kind === "dead") return { state, ping: false };
  const nowMs = at.monotonicMs;
  const unanswered = state.kind === "asking" && heardMs < state.askedMs ? state : null;
  // Time that went by asleep says nothing about the relay: it is asked anew before it is given up.
  if (cause === "woke" || sleptBetween(state.seen, at, state.dueMs - state.seen.monotonicMs)) {
    return ask({ seen: at, dueMs: nowMs + PROBE_TIMEOUT_MS, askedMs: nowMs });
  }
  if (unanswered !== null && nowMs >= unanswered.dueMs) {
    return { state: { kind: "dead", silentMs: nowMs - heardMs }, ping: false };
  }
  if (cause === "network") {
    // A network that changes all the time does not put off the end of an earlier question.
    const { dueMs, askedMs } = unanswered ?? { dueMs: Infinity, askedMs: nowMs };
    return ask({ seen: at, dueMs: Math.min(dueMs, nowMs + PROBE_TIMEOUT_MS), askedMs });
  }
  if (unanswered !== null) return { state: { ...unanswered, seen: at }, ping: false };
  const askMs = heardMs + PING_AFTER_MS;
  if (nowMs >= askMs) return ask({ seen: at, dueMs: heardMs + DEAD_AFTER_MS, askedMs: nowMs });
  return { state: { kind: "listening", seen: at, dueMs: askMs }, ping: false };
}

function ask(question: { seen: Moment; dueMs: number; askedMs: number }): KeepAliveStep {
  return { state: { kind: "asking", ...question }, ping: true };
}
