/** Limits of the relay's side (PROTOCOL.md section 11): every queue, map and buffer that a peer can grow. Bytes and milliseconds. */

// Connections

/** Connections from one network address; loopback is exempt. */
export const MAX_CONNECTIONS_PER_ADDRESS = 16;
/** Connections of the relay as a whole. */
export const MAX_CONNECTIONS = 16_384;
/** Connections that have not finished AUTH yet. */
export const MAX_PENDING_CONNECTIONS = 512;
/** How long one of them at least keeps its place when there are too many from where it came; see admission.ts. */
export const PENDING_GRACE_MS = 3_000;
/** A connection that says nothing is asked after this time. */
export const PING_AFTER_MS = 60_000;
/** A connection that has said nothing for so long is cut. */
export const SILENCE_TIMEOUT_MS = 120_000;
/** How often connections are looked over. */
export const SWEEP_INTERVAL_MS = 15_000;

/** How long a relay that stops gives connected devices what waits for them. */
export const DRAIN_TIMEOUT_MS = 5_000;
/** How often it looks whether they have it. */
export const DRAIN_POLL_MS = 20;

// Sending

/** Deliveries are not handed to a connection while it has more than this queued. */
export const SEND_HIGH_WATER_BYTES = 262_144;
/** From here down they are handed over again. */
export const SEND_LOW_WATER_BYTES = 65_536;
/** Events and receipts are not sent to a connection that has more than this queued. */
export const MAX_UNASKED_QUEUED_BYTES = 1_048_576;
/** A reader whose connection stays over the low water mark for so long is disconnected. */
export const STALL_TIMEOUT_MS = 30_000;
/** A reader that has stalled for so long is disconnected as soon as its mailbox overflows. */
export const OVERFLOW_GRACE_MS = 2_000;
/** Deliveries that a device has been sent and has not acknowledged for so long mean that it stalls. */
export const ACKNOWLEDGE_TIMEOUT_MS = 60_000;
/** Payloads over this size travel in OBJECT frames. */
export const MAX_INLINE_PAYLOAD_BYTES = 786_432;

// Requests

/** Messages of an account in a second, over time. */
export const MESSAGES_PER_SECOND = 20;
/** Messages of an account at once. */
export const MESSAGE_BURST = 100;
/** Control requests of an account in a second, over time. */
export const REQUESTS_PER_SECOND = 50;
/** Control requests of an account at once. */
export const REQUEST_BURST = 400;
/** KeyPackage claims of an account: in a minute, all at once if it likes. */
export const CLAIMS_PER_MINUTE = 60;
/** How often a device may ask for a new leaf in a group: so often at once, and once more in so long. */
export const RETURN_BURST = 8;
export const RETURN_INTERVAL_MS = 10_000;
/** Accounts whose rates are remembered; a full bucket is forgotten first. */
export const MAX_RATE_ENTRIES = 65_536;
/** So many refusals for the rate in a row close the connection. */
export const MAX_REFUSALS_IN_ROW = 1_000;

// Mailboxes

/** Envelopes that wait for one device. */
export const MAX_MAILBOX_ENTRIES = 1_024;
/** Their bytes. */
export const MAX_MAILBOX_BYTES = 8_388_608;
/** Gap markers and Welcomes that a mailbox takes beside its envelopes. */
export const MAILBOX_RESERVE_ENTRIES = 320;
/** Groups that a mailbox without a place for their marker remembers. */
export const MAX_MAILBOX_OWED_MARKERS = 1_024;
/** Messages that a mailbox had no room for and whose senders hear when it has some. */
export const MAX_MAILBOX_REFUSED_RECEIPTS = 1_024;
/** One sender's share of a mailbox: one part in so many. */
export const MAILBOX_SENDER_SHARE = 4;
/** All mailboxes together, a shared envelope counted once. */
export const MAX_MAILBOXES_BYTES = 536_870_912;
/** Undelivered envelopes are dropped after this time. */
export const MAILBOX_LIFETIME_MS = 7 * 86_400_000;
/** Acknowledgements are in the mailbox file after this time. */
export const MAILBOX_DISK_ACKNOWLEDGE_MS = 50;
/** A mailbox file that could not be written is tried again after so many sweeps, then after twice as many, up to an hour's. */
export const MAILBOX_DISK_RETRY_SWEEPS = 1;
/** Sweeps of an hour. */
export const MAX_MAILBOX_DISK_RETRY_SWEEPS = 240;
/** Free pages that a sweep gives back to the disk. */
export const MAILBOX_DISK_VACUUM_PAGES = 4_096;
/** Receipts kept for a sender that is away. */
export const MAX_WAITING_RECEIPTS = 256;

// Groups

/** Commits kept for a group. */
export const MAX_LOG_COMMITS = 256;
/** Their bytes. */
export const MAX_LOG_BYTES = 8_388_608;
/** Commits in one `sync` answer. */
export const MAX_SYNC_COMMITS = 64;
/** Their bytes; a single larger commit is answered all the same. */
export const MAX_SYNC_BYTES = 4_194_304;
/** One commit. */
export const MAX_COMMIT_BYTES = 4_194_304;
/** Groups of the relay. */
export const MAX_GROUPS = 65_536;
/** Groups that an account has created, joined or accepted the invitation to. */
export const MAX_GROUPS_PER_ACCOUNT = 256;
/** Admins of a group. */
export const MAX_ADMINS_PER_GROUP = 32;
/** Accounts that a group keeps out, those not counted whose commits were taken back. */
export const MAX_BANNED_PER_GROUP = 1_000;
/** Channels in one `channels` answer. */
export const MAX_LISTED_CHANNELS = 1_000;
/** Welcomes that wait for one device. */
export const MAX_WELCOMES_PER_DEVICE = 64;
/** Those of them from one account. */
export const MAX_WELCOMES_PER_INVITER = 8;
/** The bytes of all. */
export const MAX_WELCOME_BYTES_PER_DEVICE = 67_108_864;
/** How long one member has to do what it is asked for (remove a leaver, give a returning device a leaf) before the next one is. */
export const ERRAND_INTERVAL_MS = 10_000;

// Accounts and keys

/** Accounts of the relay. */
export const MAX_ACCOUNTS = 100_000;
/** Devices of an account. */
export const MAX_DEVICES_PER_ACCOUNT = 16;
/** Devices that an account has taken back; their ids are kept, so that they never log in again. */
export const MAX_REVOKED_PER_ACCOUNT = 1_024;
/** Rendezvous that are open at once, for devices that are to be added. */
export const MAX_RENDEZVOUS = 4_096;
/** One KeyPackage. */
export const MAX_KEY_PACKAGE_BYTES = 65_536;
/** How long login tickets may be in memory only. */
export const LOGINS_FLUSH_MS = 1_000;
/** EVENT `keys_low` when a claim leaves fewer KeyPackages than this. */
export const KEY_PACKAGES_LOW = 8;
/** Proof of work in leading zero bits, with few registrations. */
export const MIN_REGISTRATION_POW_BITS = 10;
/** The same with many. */
export const MAX_REGISTRATION_POW_BITS = 18;
/** Registrations in this time raise the proof of work. */
export const REGISTRATION_WINDOW_MS = 300_000;
/** One bit more for each so many. */
export const REGISTRATIONS_PER_POW_BIT = 16;
/** Invite codes that wait to be used. */
export const MAX_INVITES = 10_000;
/** How long they may, where nobody says otherwise. */
export const INVITE_LIFETIME_MS = 30 * 86_400_000;
/** The longest that somebody may say. */
export const MAX_INVITE_LIFETIME_MS = 366 * 86_400_000;
/** How long it is remembered what became of one; no more of those than {@link MAX_INVITES} either. */
export const INVITE_MEMORY_MS = 90 * 86_400_000;

// The relay's own keys

/** A relay key is replaced at this age and still accepted until its certificate ends. */
export const RELAY_KEY_ROTATION_MS = 21 * 86_400_000;
/** The document is signed again when it has less than this left. */
export const DOCUMENT_RENEWAL_MS = 4 * 86_400_000;
/** How often both are looked at. */
export const MAINTENANCE_INTERVAL_MS = 3_600_000;

// Publishing to GitHub

/** One request, with its answer. */
export const GITHUB_TIMEOUT_MS = 10_000;
/** An answer: a Gist with everything else that is in it, or 100 Gists without their contents. */
export const MAX_GITHUB_ANSWER_BYTES = 4_194_304;
/** Redirects that are followed, within the API's host. */
export const MAX_GITHUB_REDIRECTS = 3;
/** The pause after the first failure that may pass by itself; every further one doubles it. */
export const GITHUB_RETRY_MS = 2_000;
/** The longest. */
export const MAX_GITHUB_RETRY_MS = 600_000;
/** A limit on requests that does not say when it ends. */
export const GITHUB_LIMIT_MS = 60_000;
/** However long GitHub says that a limit lasts, it is asked again after this time. */
export const MAX_GITHUB_LIMIT_MS = 3_900_000;
/** Documents that are published at once, as when the relay starts. */
export const PUBLISH_BURST = 8;
/** After those, one in this time. */
export const PUBLISH_INTERVAL_MS = 30_000;

// The local network

/** One answer on an interface in this time at most, however many ask. */
export const LAN_ANSWER_INTERVAL_MS = 1_000;
/** The same where somebody else is about to take the relay's name there. */
export const LAN_DEFENCE_INTERVAL_MS = 250;
/** Packets of others that are read in a second. */
export const LAN_PACKETS_PER_SECOND = 200;
/** So many conflicts over the name in a row slow the search for another one down to one in the time below. */
export const MAX_LAN_CONFLICTS = 10;
export const LAN_CONFLICT_DELAY_MS = 5_000;
