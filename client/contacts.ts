/** The people that this profile knows: identities pinned on first use, verified or not, and what to do when one changes. */

import {
  type AccountName,
  AronaError,
  type Clock,
  type CryptoProvider,
  decodeCertificate,
  type Fingerprint,
  fingerprintOf,
  isAronaError,
  verifyCertificate,
} from "../proto/mod.ts";
import type { ClientEvent } from "./events.ts";
import type { Member, TrustService } from "./groups/mod.ts";
import {
  acceptChange,
  checkContact,
  type Contact,
  decodeContact,
  encodeContact,
  markVerified,
  noteChange,
  pinContact,
} from "./identity/mod.ts";
import type { RelayApi } from "./session/relay_api.ts";
import type { Store, StoreWriter } from "./store/mod.ts";

/** Pinned identities, in memory and in the store. */
export class Contacts implements TrustService {
  readonly #contacts = new Map<AccountName, Contact>();

  constructor(
    private readonly options: {
      store: Store;
      crypto: CryptoProvider;
      clock: Clock;
      /** The own account, which nobody else can have. */
      own: AccountName;
      ownFingerprint: Fingerprint;
      emit: (event: ClientEvent) => void;
    },
  ) {
    for (const { row } of options.store.all("contacts")) {
      const contact = decodeContact(row);
      this.#contacts.set(contact.account, contact);
    }
  }

  /** For the group engine: whether an identity is the one that is pinned for its name. */
  check(account: AccountName, fingerprint: Fingerprint): "trusted" | "changed" {
    if (account === this.options.own) {
      return fingerprint === this.options.ownFingerprint ? "trusted" : "changed";
    }
    return checkContact(this.#contacts, account, fingerprint) === "changed" ? "changed" : "trusted";
  }

  get(account: string): Contact | undefined {
    return this.#contacts.get(account as AccountName);
  }

  /**
   * What to call a member: the account name where this very identity is pinned for it, otherwise the name with the beginning of the
   * fingerprint, so that nobody passes for somebody else.
   */
  nameOf(member: Pick<Member, "account" | "fingerprint">): string {
    const { account, fingerprint } = member;
    const pinned = account === this.options.own
      ? this.options.ownFingerprint
      : this.#contacts.get(account)?.fingerprint;
    return pinned === fingerprint ? account : `${account}~${fingerprint.slice(0, 8)}`;
  }

  /** Pins a member's identity when it is seen first; notes it when another is pinned. The relay has to have confirmed the name. */
  pin(member: Pick<Member, "account" | "fingerprint" | "identityKey">, writer: StoreWriter): void {
    const { account, fingerprint } = member;
    if (account === this.options.own) return;
    const known = this.#contacts.get(account);
    if (known?.fingerprint === fingerprint || known?.pending?.fingerprint === fingerprint) return;
    // The key is a view into a larger message; the contact outlives that.
    const identity = { fingerprint, identityKey: member.identityKey.slice() };
    const contact = known === undefined
      ? pinContact(account, identity, this.options.clock.now())
      : noteChange(known, identity);
    this.#contacts.set(account, contact);
    writer.put("contacts", account, encodeContact(contact));
    if (known !== undefined) {
      this.options.emit({
        type: "IdentityChanged",
        account,
        pinned: known.fingerprint,
        seen: fingerprint,
      });
    }
  }

  /** @throws {AronaError} `IDENTITY_CHANGED` where a member shows another identity than the pinned one */
  assertNoneChanged(members: readonly Member[]): void {
    for (const { account, fingerprint } of members) {
      if (account === this.options.own) continue; // shown under another name; there is nothing to decide about oneself
      if (this.check(account, fingerprint) === "changed") throw changed(account);
    }
  }

  /** @throws {AronaError} `IDENTITY_CHANGED`; the new identity is noted then, so that it can be compared and accepted */
  async assertUnchanged(
    owner: Pick<Member, "account" | "fingerprint">,
    relay: RelayApi,
  ): Promise<void> {
    if (this.check(owner.account, owner.fingerprint) === "trusted") return;
    await this.lookUp(owner.account, relay);
    throw changed(owner.account);
  }

  /**
   * Asks the relay for a person's identity, checks its certificates, and pins it.
   *
   * @throws {AronaError} `NOT_FOUND`, `BAD_CERTIFICATE`
   */
  async lookUp(account: AccountName, relay: RelayApi): Promise<Contact> {
    const identity = await this.#identityAt(account, relay);
    this.options.store.write((writer) => this.pin(identity, writer));
    return this.#contacts.get(account)!;
  }

  /** Whether the relay has this identity under the member's name. */
  async isConfirmed(member: Pick<Member, "account" | "fingerprint">, relay: RelayApi): Promise<boolean> {
    try {
      return (await this.#identityAt(member.account, relay)).fingerprint === member.fingerprint;
    } catch (error) {
      if (isAronaError(error, "NOT_FOUND", "BAD_CERTIFICATE")) return false;
      throw error;
    }
  }

  async #identityAt(
    account: AccountName,
    relay: RelayApi,
  ): Promise<Pick<Member, "account" | "fingerprint" | "identityKey">> {
    const { crypto, clock } = this.options;
    const [first] = await relay.lookup(account);
    if (first === undefined) {
      throw new AronaError("NOT_FOUND", `Cannot find @${account}: nobody on this relay has that name`);
    }
    const certificate = decodeCertificate(first.certificate);
    const valid = await verifyCertificate(crypto, certificate, {
      deviceKey: first.deviceKey,
      nowMs: clock.now(),
    });
    if (!valid || certificate.account !== account) {
      throw new AronaError("BAD_CERTIFICATE", `Cannot trust the relay's answer about @${account}`, {
        hint: "Its certificate does not fit. Ask whoever runs the relay.",
      });
    }
    const { identityKey } = certificate;
    return { account, fingerprint: fingerprintOf(crypto, identityKey), identityKey };
  }

  /**
   * Marks a person's pinned identity as compared, or first accepts the changed one that waits.
   *
   * @throws {AronaError} `NOT_FOUND` for a person whom this profile does not know, or where nothing has changed
   */
  verify(account: AccountName, options: { accept: boolean }): Contact {
    const known = this.#contacts.get(account);
    if (known === undefined) throw new AronaError("NOT_FOUND", `Cannot verify @${account}: not met yet`);
    const contact = options.accept ? acceptChange(known, this.options.clock.now()) : markVerified(known);
    this.options.store.write((writer) => writer.put("contacts", account, encodeContact(contact)));
    this.#contacts.set(account, contact);
    return contact;
  }
}

function changed(account: string): AronaError {
  return new AronaError("IDENTITY_CHANGED", `Cannot send: the identity of @${account} has changed`, {
    hint:
      `Perhaps it is a new device, perhaps somebody else. Compare the safety number (arona verify ${account}), then accept it ` +
      `(arona verify ${account} --accept).`,
  });
}
