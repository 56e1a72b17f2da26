/** New accounts: how much proof of work one costs right now, and invite codes. */

import {
  AronaError,
  type Clock,
  type CryptoProvider,
  fromHex,
  MAX_POW_BITS,
  toHex,
  utf8,
} from "../proto/mod.ts";
import {
  INVITE_LIFETIME_MS,
  INVITE_MEMORY_MS,
  MAX_ACCOUNTS,
  MAX_INVITE_LIFETIME_MS,
  MAX_INVITES,
  MAX_REGISTRATION_POW_BITS,
  MIN_REGISTRATION_POW_BITS,
  REGISTRATION_WINDOW_MS,
  REGISTRATIONS_PER_POW_BIT,
} from "./limits.ts";
import type { RegistrationPolicy } from "./running_limits.ts";
import type { RelayStore, StoredAccount, StoredDevice, StoredInvite } from "./store.ts";

const INVITE_BYTES = 15;
/** Lower-case letters and digits that are not mistaken for each other. */
const INVITE_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789";

/** What is known of an invite code; the code itself is not kept. */
export interface Invite {
  /** 64 hexadecimal digits. */
  readonly id: string;
  /** 0 where it is not known. */
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  readonly state: "waiting" | "used" | "revoked" | "expired";
  /** The account that it let in; empty where it has let nobody in. */
  readonly usedBy: string;
}

/** Why an invite code lets nobody in. */
export type InviteFault = "unknown" | Exclude<Invite["state"], "waiting">;

/** Admits new accounts. */
export class Registration {
  /** When the latest registrations were, on the monotonic clock; no more than the proof of work looks at. */
  #times: number[] = [];

  constructor(
    private readonly parts: { store: RelayStore; clock: Clock; crypto: CryptoProvider },
    /** Who may register. It can change at any time. */
    public policy: RegistrationPolicy,
  ) {}

  /** Whether a new account needs a code; where nobody gets in, a code is at least not wrong. */
  get inviteOnly(): boolean {
    return this.policy !== "open";
  }

  /** Leading zero bits that a registration costs: more while many register. */
  powBits(): number {
    this.#forgetOld();
    const extra = Math.floor(this.#times.length / REGISTRATIONS_PER_POW_BIT);
    return Math.min(MIN_REGISTRATION_POW_BITS + extra, MAX_REGISTRATION_POW_BITS, MAX_POW_BITS);
  }

  /**
   * Makes a code that lets one account in.
   *
   * @param options.lifetimeMs at most {@link MAX_INVITE_LIFETIME_MS}. @default INVITE_LIFETIME_MS
   * @throws {AronaError} `QUOTA` where too many codes wait already
   */
  createInvite(options: { lifetimeMs?: number } = {}): string {
    const { store, clock, crypto } = this.parts;
    const lifetimeMs = Math.min(options.lifetimeMs ?? INVITE_LIFETIME_MS, MAX_INVITE_LIFETIME_MS);
    const code = [...crypto.randomBytes(2 * INVITE_BYTES)]
      .filter((byte) => byte < 248) // 8 × 31, so that every letter is as likely as another
      .slice(0, INVITE_BYTES).map((byte) => INVITE_ALPHABET[byte % INVITE_ALPHABET.length]).join("");
    const nowMs = clock.now();
    const added = store.addInvite(this.#hash(code), {
      nowMs,
      expiresAtMs: nowMs + lifetimeMs,
      forgetBeforeMs: nowMs - INVITE_MEMORY_MS,
      limit: MAX_INVITES,
    });
    if (!added) throw new AronaError("QUOTA", "Cannot make an invite: too many wait to be used");
    return code;
  }

  /**
   * Why a code lets nobody in, or null where it does or is not asked for. It depends on the code alone, so that whoever has one learns
   * nothing from it about names.
   */
  inviteFault(code: string): InviteFault | null {
    if (this.policy !== "invite-only") return null;
    const state = this.invite(code)?.state ?? "unknown";
    return state === "waiting" ? null : state;
  }

  /** What is known of a code. */
  invite(code: string): Invite | null {
    const kept = this.parts.store.invite(this.#hash(code));
    return kept === null ? null : toInvite(kept, this.parts.clock.now());
  }

  /** Every code that waits, and those that ended not long ago; oldest first. */
  invites(): Invite[] {
    return this.parts.store.invites().map((kept) => toInvite(kept, this.parts.clock.now()));
  }

  /** A code that waits lets nobody in any more. @returns false where it has ended before, or there is none */
  revokeInvite(invite: Pick<Invite, "id">): boolean {
    return this.parts.store.revokeInvite(fromHex(invite.id), { nowMs: this.parts.clock.now() });
  }

  /** Registers, in one transaction with the invite. @returns whether the account is new and now exists */
  register(options: { account: StoredAccount; device: StoredDevice; invite: string | null }): boolean {
    const { store, clock } = this.parts;
    const { account, device, invite } = options;
    if (this.policy === "closed" || (this.inviteOnly && invite === null)) return false;
    if (store.accountCount() >= MAX_ACCOUNTS) return false;
    const result = store.register({
      account,
      device,
      // A code that nobody asked for is not used up.
      invite: this.inviteOnly && invite !== null ? this.#hash(invite) : undefined,
      nowMs: clock.now(),
    });
    if (result !== "registered") return false;
    this.#times.push(clock.monotonic());
    return true;
  }

  #hash(code: string): Uint8Array {
    return this.parts.crypto.digest("SHA-256", utf8(code.trim().toLowerCase()));
  }

  #forgetOld(): void {
    const sinceMs = this.parts.clock.monotonic() - REGISTRATION_WINDOW_MS;
    const enough = REGISTRATIONS_PER_POW_BIT * (MAX_REGISTRATION_POW_BITS - MIN_REGISTRATION_POW_BITS + 1);
    this.#times = this.#times.filter((atMs) => atMs > sinceMs).slice(-enough);
  }
}

function toInvite(
  { hash, createdAtMs, expiresAtMs, endedAtMs, usedBy }: StoredInvite,
  nowMs: number,
): Invite {
  const state = usedBy !== ""
    ? "used"
    : endedAtMs !== null
    ? "revoked"
    : expiresAtMs < nowMs
    ? "expired"
    : "waiting";
  return { id: toHex(hash), createdAtMs, expiresAtMs, state, usedBy };
}
