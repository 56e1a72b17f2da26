/** The limits that can be changed while the relay runs. They last until it stops; what shall stay stands in its configuration. */

import { AronaError } from "../proto/mod.ts";
import {
  CLAIMS_PER_MINUTE,
  MAX_CONNECTIONS_PER_ADDRESS,
  MESSAGE_BURST,
  MESSAGES_PER_SECOND,
  REQUEST_BURST,
  REQUESTS_PER_SECOND,
} from "./limits.ts";

/** Who may register an account. */
export const REGISTRATION_POLICIES = ["open", "invite-only", "closed"] as const;
/** One of {@link REGISTRATION_POLICIES}. */
export type RegistrationPolicy = typeof REGISTRATION_POLICIES[number];

/** The limits, whole numbers all but the last. */
export interface RelayLimits {
  /** Messages of an account, over time. */
  readonly messagesPerSecond: number;
  /** Messages of an account at once. */
  readonly messageBurst: number;
  /** Control requests of an account, over time. */
  readonly requestsPerSecond: number;
  /** Control requests of an account at once. */
  readonly requestBurst: number;
  /** KeyPackage claims of an account. */
  readonly claimsPerMinute: number;
  /** Connections from one network address; 0 for any number. */
  readonly maxPerIp: number;
  readonly registration: RegistrationPolicy;
}

/** What a relay starts with where it is not told otherwise. */
export const DEFAULT_RELAY_LIMITS: RelayLimits = {
  messagesPerSecond: MESSAGES_PER_SECOND,
  messageBurst: MESSAGE_BURST,
  requestsPerSecond: REQUESTS_PER_SECOND,
  requestBurst: REQUEST_BURST,
  claimsPerMinute: CLAIMS_PER_MINUTE,
  maxPerIp: MAX_CONNECTIONS_PER_ADDRESS,
  registration: "open",
};

/** The largest number that each of them can be. */
export const MAX_RELAY_LIMIT = 1_000_000;

/** `limits` with `change`; what is undefined stays. @throws {AronaError} `BAD_REQUEST` for what is no limit or does not fit */
export function changeLimits(
  limits: RelayLimits,
  change: Readonly<Record<string, unknown>>,
): RelayLimits {
  const changed: Record<string, unknown> = { ...limits };
  for (const [name, value] of Object.entries(change)) {
    if (value === undefined) continue;
    if (!Object.hasOwn(DEFAULT_RELAY_LIMITS, name)) throw bad(`there is no limit ${JSON.stringify(name)}`);
    if (name === "registration") {
      if (!REGISTRATION_POLICIES.includes(value as RegistrationPolicy)) {
        throw bad(`registration is one of ${REGISTRATION_POLICIES.join(", ")}`);
      }
    } else {
      const least = name === "maxPerIp" ? 0 : 1;
      if (!Number.isInteger(value) || (value as number) < least || (value as number) > MAX_RELAY_LIMIT) {
        throw bad(`${name} is a whole number from ${least} to ${MAX_RELAY_LIMIT}`);
      }
    }
    changed[name] = value;
  }
  return changed as unknown as RelayLimits;
}

function bad(state: string): AronaError {
  return new AronaError("BAD_REQUEST", `Cannot change limits: ${state}`);
}
