/** Limits of the client's side: one file, every number named. Times in milliseconds. */

/** How long a request may wait for its answer. */
export const REQUEST_TIMEOUT_MS = 30_000;
/** Requests in flight on one connection. */
export const MAX_REQUESTS_IN_FLIGHT = 256;
/**
 * A PING goes out after this much silence, and the relay counts as gone after the second figure. With a timer that comes as late as
 * {@link SLEPT_AFTER_MS} and the question that then comes first, 38 + 2 + 5 s: a relay that is gone is noticed within 45 s.
 */
export const PING_AFTER_MS = 20_000;
export const DEAD_AFTER_MS = 38_000;
/** How long the answer to a PING may take after a wake or a change of network. */
export const PROBE_TIMEOUT_MS = 5_000;
/** A timer that comes so much later than asked for, on either clock, means that the machine slept or the process stood still. */
export const SLEPT_AFTER_MS = 2_000;
/** How often the clocks and the network addresses are looked at. */
export const SURROUNDINGS_CHECK_MS = 3_000;
/** Deliveries that the relay has announced are waited for as long as some come, and no longer than this without any. */
export const DELIVERY_WAIT_MS = 10_000;
/** Deliveries are acknowledged after so many, or after so long. */
export const ACK_EVERY = 16;
export const ACK_AFTER_MS = 100;
/**
 * Reconnect: the pause before the n-th try (from 0) is drawn evenly from the upper half of min(first × 2ⁿ, longest): 125 to 250 ms,
 * 250 to 500 ms … 15 to 30 s. A connection that stood for the third figure has the next pause begin small again.
 */
export const RECONNECT_FIRST_MS = 250;
export const RECONNECT_LONGEST_MS = 30_000;
export const STABLE_AFTER_MS = 60_000;
/** A wake or a change of network cuts a pause short and begins with the first one again, no more often than this. */
export const HURRY_INTERVAL_MS = 2_000;
/**
 * One address has so long to take a connection, and the relay so long to answer AUTH. The handshake between them has
 * HANDSHAKE_TIMEOUT_MS, so that a try at one address ends within 30 s, whatever is or is not said there.
 */
export const CONNECT_TIMEOUT_MS = 10_000;
export const AUTH_TIMEOUT_MS = 10_000;
/** How often a commit or a join that lost its race is tried again. */
export const MAX_COMMIT_ATTEMPTS = 64;
export const CONFLICT_PAUSE_MS = 40;
/** How long the winner's commit may take to arrive before it is asked for. */
export const FOLLOW_WAIT_MS = 5_000;
/** How long others have to refuse a commit too, before who alone cannot follow it comes in anew. */
export const REFUSED_WAIT_MS = 2_000;
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
/** How far back the message is looked for that a person has read. */
export const READ_LOOK_BACK = 256;
/** Own messages that one read marker marks as read. */
export const MAX_READ_AT_ONCE = 256;
/** Different emoji on one message. */
export const MAX_REACTIONS_PER_MESSAGE = 32;
/** How often a message is sent once more because some device could not open it or had no room: nobody keeps others busy by that. */
export const MAX_SENT_AGAIN = 8;
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
/**
 * One request to a source of discovery documents takes no longer than this, is sent on within its host alone and no more often, and its
 * answer is no larger: a document, or what GitHub says of 100 Gists.
 */
export const DISCOVERY_TIMEOUT_MS = 5_000;
export const MAX_REDIRECTS = 3;
export const MAX_API_ANSWER_BYTES = 4_194_304;
/** Of a GitHub user so many pages of Gists are looked at, and on them so many Gists that hold an `arona.json`. */
export const GISTS_PER_PAGE = 100;
export const MAX_GIST_PAGES = 2;
export const MAX_GISTS_PER_USER = 4;
/** GitHub lets an address ask 60 times an hour without a token; others behind the same address shall have their share. */
export const MAX_GITHUB_REQUESTS_PER_HOUR = 30;
/** How long relays on the local network are listened for, how many, and how many addresses of each are tried. */
export const LAN_LISTEN_MS = 3_000;
export const MAX_LAN_RELAYS = 16;
export const MAX_LAN_ENDPOINTS = 8;
/** Announced names that are kept in mind meanwhile, whoever made them up. */
export const MAX_LAN_INSTANCES = 64;
/** Questions, and things known already, in one packet to the local network; and packets of others that are read in a second. */
export const MAX_LAN_QUESTIONS = 16;
export const LAN_PACKETS_PER_SECOND = 200;
/** Places that a profile remembers to look for its relay, and addresses of the relay. */
export const MAX_KNOWN_SOURCES = 8;
export const MAX_KNOWN_ENDPOINTS = 20;
/** While the relay is away a source is asked at once, then after this pause, doubled up to the longest; the third is for one out of reach. */
export const FOLLOW_FIRST_MS = 3_000;
export const FOLLOW_LONGEST_MS = 600_000;
export const FOLLOW_UNREACHABLE_MS = 30_000;
/** A connection that stands so long has the relay asked for a newer document, once more each hour; half of the first is drawn at random. */
export const DOCUMENT_CHECK_AFTER_MS = 60_000;
export const DOCUMENT_CHECK_EVERY_MS = 3_600_000;
