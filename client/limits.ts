/** Limits of the client's side: one file, every number named. Times in milliseconds. */

/** How long a request may wait for its answer. */
export const REQUEST_TIMEOUT_MS = 30_000;
/** Requests in flight on one connection. */
export const MAX_REQUESTS_IN_FLIGHT = 256;
/** A PING goes out after this much silence, and the relay counts as gone after the second figure. */
export const PING_AFTER_MS = 20_000;
export const DEAD_AFTER_MS = 40_000;
/** Deliveries are acknowledged after so many, or after so long. */
export const ACK_EVERY = 16;
export const ACK_AFTER_MS = 100;
/** Reconnect: first pause, longest pause; the pause doubles, with up to half of it random. */
export const RECONNECT_FIRST_MS = 250;
export const RECONNECT_LONGEST_MS = 30_000;
/** How often a commit or a join that lost its race is tried again. */
export const MAX_COMMIT_ATTEMPTS = 64;
export const CONFLICT_PAUSE_MS = 40;
/** How long the winner's commit may take to arrive before it is asked for. */
export const FOLLOW_WAIT_MS = 5_000;
/** Unused KeyPackages kept on the relay, by suite, and the number under which more are published. */
export const KEY_PACKAGES_WANTED = { 0x0052: 12, 0x0051: 4 } as const;
export const KEY_PACKAGES_LOW = { 0x0052: 6, 0x0051: 2 } as const;
/** A member renews its leaf after so many own messages or so long. */
export const SELF_UPDATE_MESSAGES = 50;
export const SELF_UPDATE_AFTER_MS = 86_400_000;
/** Messages of a conversation that may wait in the outbox. */
export const MAX_OUTBOX_MESSAGES = 1_000;
/** How long a message is tried before its sender is told that it expired. */
export const OUTBOX_LIFETIME_MS = 7 * 86_400_000;
/** How long a joiner waits for the Welcome of a direct message that the other side has just opened. */
export const WELCOME_WAIT_MS = 10_000;
/** Different emoji on one message. */
export const MAX_REACTIONS_PER_MESSAGE = 32;
/** Accepted messages that are kept until every device has them; the oldest is given up first. */
export const MAX_UNDELIVERED_MESSAGES = 4_096;
/** Own devices that are connected take turns in adding a further one: so long after each other. */
export const DEVICE_TURN_MS = 1_500;
/** How often adding own devices to a conversation is tried at once, and the pause where the relay names none. */
export const MAX_COMPLETION_ATTEMPTS = 12;
export const COMPLETION_PAUSE_MS = 1_000;
/** A last-resort KeyPackage is replaced at this age. */
export const LAST_RESORT_RENEWAL_MS = 30 * 86_400_000;
/** Ended KeyPackages that are passed over for one person before giving up. */
export const MAX_EXPIRED_KEY_PACKAGES = 24;
/** Largest GroupInfo that is looked at: a base, and so much for each member that the relay counts. */
export const GROUP_INFO_BASE_BYTES = 262_144;
export const GROUP_INFO_BYTES_PER_MEMBER = 24_576;
