/** The one error family of Arona: a stable code, whose fault it is, and a sentence that a person can act on. */

/** Every code an {@link AronaError} can carry. Codes marked "wire" may be sent to a peer in an ERROR frame. */
export const ERROR_CODES = {
  // Decoding
  BAD_ENCODING: "peer", // bytes that do not decode, or not minimally
  BAD_FRAME: "peer", // wire: a frame whose body does not fit its type
  BAD_REQUEST: "peer", // wire: a control frame whose fields do not fit the schema
  TOO_LARGE: "peer", // wire: over a named limit
  // Hop
  BAD_RECORD: "peer", // a record that does not open, or out of order
  BAD_HANDSHAKE: "peer",
  BAD_DOCUMENT: "peer", // a discovery document that is malformed, expired or wrongly signed
  UNKNOWN_VERSION: "incompatible",
  WRONG_RELAY: "peer", // the relay's key is not the one in the link or the pinned one
  TRUNCATED: "peer", // the stream ended without an authenticated close
  TIMEOUT: "peer",
  CLOSED: "local", // the connection is closed
  UNREACHABLE: "local", // nothing answers at the address
  // Relay answers (all wire)
  AUTH_FAILED: "peer", // every failure to log in or to register looks like this one
  FORBIDDEN: "peer", // not a member, not an admin, banned
  NOT_FOUND: "peer",
  CONFLICT: "peer", // another commit won this epoch, or the name is taken
  STALE_EPOCH: "peer", // a message for an epoch that is not the group's current one
  QUOTA: "peer", // a mailbox or a share of one is full
  RATE_LIMITED: "peer",
  UNSUPPORTED: "incompatible", // a request this relay does not know
  INTERNAL: "local",
  SHUTTING_DOWN: "local",
  // Identity
  BAD_NAME: "local", // an account, channel or group name outside its alphabet
  BAD_CERTIFICATE: "peer",
  IDENTITY_CHANGED: "peer", // a known name came with another identity
  // End to end
  BAD_MLS: "peer", // a message that MLS or Arona's policy refuses
  FORKED: "peer", // a message or a commit from a member whose state of the group is another one than here
  POLICY: "peer", // a commit that the group's rules do not allow
  // Store
  WRONG_PASSPHRASE: "local",
  CORRUPT_STORE: "local",
  PROFILE_IN_USE: "local",
  // Command line
  USAGE: "local",
} as const;

/** A stable error code. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** Whose fault an error is: `peer` misbehaved, peer is `incompatible`, or something `local`. */
export type Fault = typeof ERROR_CODES[ErrorCode];

/** Options of {@link AronaError}. */
export interface AronaErrorOptions {
  /** What led to it. */
  cause?: unknown;
  /** What the person can do about it, as one sentence. */
  hint?: string;
  /** Further facts for programs, for example the group's current epoch. */
  details?: Readonly<Record<string, unknown>>;
}

/** An error with a stable code. Its message reads `Cannot <action>: <state>`. */
export class AronaError extends Error {
  override readonly name = "AronaError";
  readonly hint?: string;
  readonly details?: Readonly<Record<string, unknown>>;

  constructor(readonly code: ErrorCode, message: string, options: AronaErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.hint = options.hint;
    this.details = options.details;
  }

  get fault(): Fault {
    return ERROR_CODES[this.code];
  }
}

/** Whether `error` is an {@link AronaError}, of one of `codes` where any are given. */
export function isAronaError(error: unknown, ...codes: ErrorCode[]): error is AronaError {
  return error instanceof AronaError && (codes.length === 0 || codes.includes(error.code));
}

/** Whether `text` is a known {@link ErrorCode}; a peer may send any string. */
export function isErrorCode(text: unknown): text is ErrorCode {
  return typeof text === "string" && Object.hasOwn(ERROR_CODES, text);
}
