/**
 * GROUP `commit`: one commit for each epoch, the first one wins. Checked → written to disk → answered → delivered, in this order, so
 * that nobody ever hears of a commit that a crash could take back.
 */

import { AronaError, DeliveryKind, fromHex, toHex } from "../proto/mod.ts";
import { bansAfter, checkCommit } from "./commit_rules.ts";
import { shareDelivery } from "./delivery.ts";
import type { GroupState } from "./group_directory.ts";
import { checkJoiner } from "./joiner.ts";
import { PushResult } from "./mailbox.ts";
import { checkMemberCommit, parseExternalCommit } from "./mls_framing.ts";
import { welcomeDelivery } from "./recipients.ts";
import type { CommitRequest } from "./schema.ts";
import type { Answer, Caller, Services } from "./services.ts";
import type { StoredCommit } from "./store.ts";

/** Bytes of an envelope id. */
const ENVELOPE_ID_BYTES = 16;

/** An accepted commit: the answer goes out before `deliver` is called. */
export interface AcceptedCommit {
  readonly answer: Answer;
  deliver(): void;
}

/**
 * Answers `commit`.
 *
 * @returns for a commit from outside, once its joiner's certificate is verified, what accepts it
 * @throws {AronaError} `BAD_REQUEST` for what is no such commit, otherwise as {@link checkCommit}
 */
export function handleCommit(
  services: Services,
  caller: Caller,
  request: CommitRequest,
): AcceptedCommit | Promise<() => AcceptedCommit> {
  const accept = () => acceptCommit(services, caller, request);
  if (request.external) {
    const leaf = parseExternalCommit(request.commit, request);
    return checkJoiner(services, caller, leaf).then(() => accept);
  }
  checkMemberCommit(request.commit, request);
  return accept();
}

function acceptCommit(services: Services, caller: Caller, request: CommitRequest): AcceptedCommit {
  const { store, groups, crypto } = services;
  const state = groups.find(request.group);
  if (state === null) throw new AronaError("FORBIDDEN", "Cannot accept commit: not a member");
  const added = checkCommit(store, state, { caller, request });
  const audience = [...state.members.values()].filter(({ device }) => device !== caller.device);
  const commit: StoredCommit = {
    group: request.group,
    epoch: request.epoch,
    hash: crypto.digest("SHA-256", request.commit),
    commit: request.commit,
    add: added,
    remove: request.remove,
    admins: request.admins ?? undefined,
    banned: bansAfter(state, request),
    committer: { device: caller.device, account: caller.account },
    groupInfo: request.groupInfo.length > 0 ? request.groupInfo : undefined,
    welcome: request.add.length === 0 ? undefined : {
      envelope: toHex(crypto.randomBytes(ENVELOPE_ID_BYTES)),
      payload: request.welcome,
      devices: request.add,
    },
    atMs: services.clock.now(),
  };
  services.mailboxes.announce();
  if (!groups.commit(state, commit)) {
    throw new AronaError("CONFLICT", "Cannot accept commit: the group is at another epoch", {
      details: { epoch: state.epoch },
    });
  }
  const settled = [...request.remove, ...added.map(({ device }) => device)];
  services.leaves.settled(state, settled);
  services.returns.settled(state, settled);
  return {
    answer: { fields: { epoch: state.epoch, queued: caller.recipient.mailbox.end } },
    deliver() {
      const delivery = shareDelivery(
        {
          kind: DeliveryKind.COMMIT,
          group: fromHex(request.group),
          epoch: request.epoch,
          envelope: commit.hash.subarray(0, ENVELOPE_ID_BYTES),
          atMs: commit.atMs,
          payload: request.commit,
        },
        { group: request.group, sender: "" },
      );
      services.mailboxes.batch(() => {
        for (const recipient of audience) {
          const result = services.bus.deliver(recipient, delivery);
          if (result !== PushResult.QUEUED) services.log({ type: "mailbox_collapsed" });
        }
        deliverWelcomes(services, state, commit);
      });
    },
  };
}

function deliverWelcomes(
  services: Services,
  state: GroupState,
  { group, welcome, atMs }: StoredCommit,
): void {
  if (welcome === undefined) return;
  const { envelope } = welcome;
  const delivery = welcomeDelivery(services.store, { envelope, group, epoch: state.epoch, atMs });
  for (const device of welcome.devices) {
    const recipient = state.members.get(device);
    if (recipient !== undefined) services.bus.deliver(recipient, delivery);
  }
}
