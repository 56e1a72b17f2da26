/** Limits of a tunnel's supervision. Milliseconds unless the name says otherwise. */

/** How long an agent may take from its start until the relay is reached through it. */
export const TUNNEL_START_TIMEOUT_MS = 45_000;
/** The first pause between two looks at a new address; the next ones are twice as long, up to {@link TUNNEL_PROBE_RETRY_MS}. */
export const TUNNEL_FIRST_LOOK_MS = 250;
/** How often the relay is looked for through a tunnel that works. */
export const TUNNEL_PROBE_INTERVAL_MS = 60_000;
/** How soon again after it was not found. */
export const TUNNEL_PROBE_RETRY_MS = 5_000;
/** How long one look may take. */
export const TUNNEL_PROBE_TIMEOUT_MS = 10_000;
/** So many looks in a row that find nothing make a new start. */
export const TUNNEL_PROBE_TOLERANCE = 3;
/** The first pause before a new start; the next ones are twice as long. Each is shortened by chance, by half at most. */
export const TUNNEL_FIRST_PAUSE_MS = 1_000;
/** The longest. */
export const TUNNEL_LONGEST_PAUSE_MS = 300_000;
/** The shortest where only a person can help: servers lock out who is refused again and again. */
export const TUNNEL_PERSON_PAUSE_MS = 60_000;
/** A tunnel that has worked for so long begins with the first pause again. */
export const TUNNEL_STABLE_AFTER_MS = 60_000;
/** How long an agent may take to end by itself before it is killed. */
export const TUNNEL_STOP_GRACE_MS = 3_000;
/** How long the output of an agent that has ended may stay open; something that it started may hold it. */
export const TUNNEL_DRAIN_MS = 500;
/** How often an agent's own interface is asked for the address. */
export const TUNNEL_API_INTERVAL_MS = 2_000;
/** How long one answer of it may take. */
export const TUNNEL_API_TIMEOUT_MS = 5_000;
/** The longest answer, in bytes. */
export const MAX_TUNNEL_API_BYTES = 262_144;
/** Of a line of an agent's output, no more is looked at. */
export const MAX_AGENT_LINE_CHARACTERS = 4_096;
/** Of what an agent says last before it fails, no more is shown. */
export const MAX_AGENT_QUOTE_CHARACTERS = 200;
