/** The address at which the machine itself is reached, for a relay that listens on all of them: now, and whenever it changes. */

import { formatEndpoint } from "../../proto/base/mod.ts";
import { type AddressesContract, spawnWorker } from "../../workers/mod.ts";
import type { CommandContext } from "../command.ts";
import type { RelayLogWriter } from "../relay_log.ts";
import { announceAddress } from "./announce.ts";
import type { Reach } from "./reach.ts";
import type { RelayRole } from "./relay_role.ts";

/** What {@link followOwnAddress} works with. */
export interface Following {
  readonly relay: RelayRole;
  readonly reach: Reach;
  readonly log: RelayLogWriter;
  /** Whether there is a link that lasts longer. */
  readonly better: boolean;
}

/** The machine's address, watched. */
export interface OwnAddress extends Disposable {
  /** `host:port`, or nothing where no other machine reaches this one. */
  readonly addresses: readonly string[];
  /** From now on hears of each change. */
  onChange: (addresses: readonly string[]) => void;
}

/** Begins to watch. Resolves when the first look is done. @throws {AronaError} where it cannot */
export async function watchOwnAddress(
  options: { port: number; log: RelayLogWriter; signal: AbortSignal },
): Promise<OwnAddress> {
  const { port, log, signal } = options;
  const looked = Promise.withResolvers<void>();
  const own = { addresses: [] as readonly string[], onChange: (_: readonly string[]) => {} };
  const fail = ({ message }: Error) =>
    log.say("warning", "address_unwatched", `the machine's address is not watched any more: ${message}`);
  const worker = await spawnWorker<AddressesContract>("addresses", {
    parameters: {},
    init: null,
    onEvent: (hostname) => {
      own.addresses = hostname === null ? [] : [formatEndpoint({ hostname, port })];
      looked.resolve();
      own.onChange(own.addresses);
    },
    onFault: fail,
    onEnd: fail,
    signal,
  });
  await looked.promise;
  return Object.assign(own, { [Symbol.dispose]: () => worker.terminate() });
}

/** From now on puts each new address into the relay's document, and says so where it changes the link. */
export function followOwnAddress(context: CommandContext, own: OwnAddress, following: Following): void {
  const { relay, reach, log, better } = following;
  const follow = async (addresses: readonly string[]) => {
    const before = relay.state.link;
    try {
      await reach.setOwn(addresses);
    } catch (error) {
      log.say("error", "address_unpublished", `a new address is not published: ${(error as Error).message}`);
    }
    const { link } = relay.state;
    if (link !== before && addresses.length > 0) {
      announceAddress(context, { address: addresses[0], link }, { better });
    }
  };
  own.onChange = (addresses) => void follow(addresses);
  void follow(own.addresses); // it may have changed since the first look
}
