/** Notices that the machine is reached at another address, for a supervisor that sees the network's interfaces no more. */

import { type Contract, runRole } from "./role.ts";

/** How often it is looked. */
const INTERVAL_MS = 10_000;

/** What the supervisor and the role say to each other. */
export interface AddressesContract extends Contract {
  readonly role: "addresses";
  readonly init: null;
  readonly methods: Record<never, never>;
  /** The address by which other machines reach this one from now on; null where no other can. */
  readonly event: string | null;
  readonly host: Record<never, never>;
}

runRole<AddressesContract>((_, { emit }) => {
  let last: string | null | undefined;
  const look = () => {
    const now = ownAddress(Deno.networkInterfaces());
    if (now !== last) emit(last = now);
  };
  look();
  setInterval(look, INTERVAL_MS);
  return {};
});

/** The first address by which other machines reach this one. */
function ownAddress(interfaces: readonly Deno.NetworkInterfaceInfo[]): string | null {
  const reachable = interfaces.find(({ family, address }) =>
    family === "IPv4" && !/^(127\.|169\.254\.|0\.)/.test(address)
  );
  return reachable?.address ?? null;
}
