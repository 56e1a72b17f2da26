/** Which handler answers which control request. */

import { type AcceptedCommit, handleCommit } from "./commits.ts";
import { revokeDevice } from "./devices.ts";
import {
  createGroup,
  groupInformation,
  joinChannel,
  listChannels,
  listGroups,
  listMembers,
  resetGroup,
  syncGroup,
} from "./groups.ts";
import { claimKeys, lookupAccount, publishKeys } from "./keys.ts";
import { part } from "./leaves.ts";
import { answerRendezvous, openRendezvous } from "./linking.ts";
import { refuseCommit } from "./refusals.ts";
import { askToReturn } from "./returns.ts";
import type { Request } from "./schema.ts";
import type { Answer, Caller, Services } from "./services.ts";

/** An answer, and what has to happen once it is on its way. */
export interface Handled {
  readonly answer: Answer;
  /** Deliveries that must not overtake the answer. */
  readonly afterwards?: () => void;
}

/**
 * Answers a request. At once wherever it can: between a commit and its delivery nothing else may come, which is why what has to wait
 * ends in a function that does the rest.
 *
 * @throws {AronaError} what the ERROR frame says
 */
export function handleRequest(
  services: Services,
  caller: Caller,
  request: Request,
): Handled | Promise<() => Handled> {
  switch (request.kind) {
    case "keys.publish":
      return { answer: publishKeys(services, caller, request) };
    case "keys.claim":
      return { answer: claimKeys(services, caller, request) };
    case "keys.lookup":
      return { answer: lookupAccount(services, caller, request.account) };
    case "keys.link":
      return { answer: openRendezvous(services, caller, request.rendezvous) };
    case "keys.link_answer":
      return { answer: answerRendezvous(services, caller, request) };
    case "keys.revoke":
      return revokeDevice(services, caller, request.statement);
    case "join":
      return { answer: joinChannel(services, caller, request.channel) };
    case "part":
      return part(services, caller, request).then((answer) => () => ({ answer }));
    case "group.create":
      return { answer: createGroup(services, caller, request) };
    case "group.commit": {
      const accepted = handleCommit(services, caller, request);
      return accepted instanceof Promise
        ? accepted.then((accept) => () => committed(accept()))
        : committed(accepted);
    }
    case "group.refuse": {
      const { answer, announce } = refuseCommit(services, caller, request);
      return { answer, afterwards: announce };
    }
    case "group.return":
      return askToReturn(services, caller, request).then((answer) => () => ({ answer }));
    case "group.sync":
      caller.recipient.mailbox.settle();
      return { answer: syncGroup(services, caller, request) };
    case "group.info":
      return { answer: groupInformation(services, caller, request.group) };
    case "group.list":
      caller.recipient.mailbox.settle();
      return { answer: listGroups(services, caller) };
    case "group.channels":
      return { answer: listChannels(services) };
    case "group.members":
      return { answer: listMembers(services, caller, request.group) };
    case "group.reset":
      return { answer: resetGroup(services, caller, request.group) };
  }
}

function committed({ answer, deliver }: AcceptedCommit): Handled {
  return { answer, afterwards: deliver };
}
