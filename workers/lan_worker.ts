/** The local network behind its wall: announces the relay there, or looks for relays. */

import { browse } from "../client/discovery/mod.ts";
import { lanInterfaces, type LanService, systemClock } from "../proto/base/mod.ts";
import { openMulticast } from "../proto/udp/mod.ts";
import { type LanAnnouncerEvent, type LanRelay, startLanAnnouncer } from "../server/discovery/mod.ts";
import { type Contract, type RoleSide, runRole } from "./role.ts";

/** How often it is looked whether interfaces have come or gone. */
const INTERFACES_INTERVAL_MS = 10_000;

/** What is to be done there. */
export type LanInit =
  | { readonly task: "announce"; readonly relay: LanRelay }
  | { readonly task: "browse" };

/** What is reported. */
export type LanEvent =
  | LanAnnouncerEvent
  /** Told by anybody there: see {@link LanService}. */
  | { readonly type: "found"; readonly service: LanService };

/** What the supervisor and the role say to each other. */
export interface LanContract extends Contract {
  readonly role: "lan";
  readonly init: LanInit;
  readonly methods: {
    /** The relay is called something else now. */
    setName(name: string): Promise<void>;
    /** Takes back what was said, and ends. */
    stop(): Promise<void>;
  };
  readonly event: LanEvent;
  readonly host: Record<never, never>;
}

runRole<LanContract>((init, side) => init.task === "announce" ? announce(init.relay, side) : look(side));

async function announce(relay: LanRelay, side: RoleSide<LanContract>): Promise<LanContract["methods"]> {
  let interfaces = interfacesNow();
  const announcer = startLanAnnouncer({
    relay,
    interfaces,
    socket: await openMulticast(),
    clock: systemClock,
    onEvent: (event) => void side.emit(event),
  });
  const watch = setInterval(() => {
    const now = interfacesNow();
    if (JSON.stringify(now) === JSON.stringify(interfaces)) return;
    interfaces = now;
    void announcer.update({ interfaces });
  }, INTERFACES_INTERVAL_MS);
  return {
    setName: (name) => announcer.update({ name }),
    async stop() {
      clearInterval(watch);
      await announcer.stop();
    },
  };
}

async function look(side: RoleSide<LanContract>): Promise<LanContract["methods"]> {
  const abort = new AbortController();
  const socket = await openMulticast();
  const looking = (async () => {
    const services = browse({
      socket,
      interfaces: interfacesNow(),
      clock: systemClock,
      signal: abort.signal,
    });
    for await (const service of services) side.emit({ type: "found", service });
  })();
  looking.catch((error) => side.emit({ type: "failed", reason: (error as Error).message }));
  return {
    setName: () => Promise.resolve(),
    async stop() {
      abort.abort();
      await looking.catch(() => {});
    },
  };
}

function interfacesNow() {
  return lanInterfaces(Deno.networkInterfaces());
}
