/** What the operator does to a running relay: keeps people out, ends sessions, changes limits. */

import type { Admission } from "./admission.ts";
import type { RateLimiter } from "./rate_limit.ts";
import { changeLimits, type RelayLimits } from "./running_limits.ts";
import type { Services } from "./services.ts";
import type { Session } from "./session.ts";
import type { StoredBan } from "./store.ts";

/** An account's name, or an identity under whatever name. */
export type Subject = Pick<StoredBan, "kind" | "subject">;

/** What a ban or a kick came to. */
export interface SubjectResult {
  readonly subject: Subject;
  /** Whether anything is different now. */
  readonly changed: boolean;
  /** Sessions that were ended. */
  readonly sessions: number;
}

/** The operator's hand in a relay. */
export class Administration {
  #limits: RelayLimits;

  constructor(
    private readonly services: Services,
    private readonly parts: {
      readonly admission: Admission;
      readonly sessions: ReadonlySet<Session>;
      readonly limits: RelayLimits;
    },
  ) {
    this.#limits = parts.limits;
  }

  get limits(): RelayLimits {
    return this.#limits;
  }

  /** Keeps somebody out from now on, whether they were ever here or not, and ends their sessions. */
  ban(subject: Subject): SubjectResult {
    const { store, clock, log } = this.services;
    const changed = store.ban({ ...subject, atMs: clock.now() });
    const sessions = this.#end(subject, (session) => session.banned());
    if (changed) log({ type: "banned", kind: subject.kind, sessions });
    return { subject, changed, sessions };
  }

  unban(subject: Subject): SubjectResult {
    const changed = this.services.store.unban(subject);
    if (changed) this.services.log({ type: "unbanned", kind: subject.kind });
    return { subject, changed, sessions: 0 };
  }

  /** Ends somebody's sessions; they may come back at once. */
  kick(subject: Subject): SubjectResult {
    const sessions = this.#end(subject, (session) => session.kicked());
    if (sessions > 0) this.services.log({ type: "kicked", sessions });
    return { subject, changed: sessions > 0, sessions };
  }

  /** @throws {AronaError} `BAD_REQUEST`; nothing has changed then */
  setLimits(change: Readonly<Record<string, unknown>>): RelayLimits {
    const limits = changeLimits(this.#limits, change);
    if (JSON.stringify(limits) === JSON.stringify(this.#limits)) return limits;
    this.#limits = limits;
    const { rates, registration, log } = this.services;
    applyRates(rates, limits);
    registration.policy = limits.registration;
    this.parts.admission.perAddress = limits.maxPerIp;
    log({ type: "limits_changed", limits });
    return limits;
  }

  #end({ kind, subject }: Subject, end: (session: Session) => void): number {
    const { store } = this.services;
    const meant = [...this.parts.sessions].filter(({ caller: { account } }) =>
      kind === "account" ? account === subject : store.account(account)?.fingerprint === subject
    );
    for (const session of meant) end(session);
    return meant.length;
  }
}

/** Sets the rates of a relay. */
function applyRates(
  rates: Record<"messages" | "requests" | "claims", RateLimiter>,
  limits: RelayLimits,
): void {
  rates.messages.change({ perSecond: limits.messagesPerSecond, burst: limits.messageBurst });
  rates.requests.change({ perSecond: limits.requestsPerSecond, burst: limits.requestBurst });
  rates.claims.change({ perSecond: limits.claimsPerMinute / 60, burst: limits.claimsPerMinute });
}
