/** The NetworkMonitor port: where this machine is on the network, so that a change of it is noticed; and the adapter over Deno. */

/** Tells by which addresses the machine reaches others. */
export interface NetworkMonitor {
  /** The addresses as one text, the same as long as nothing has changed. Never throws; empty where there are none. */
  addresses(): string;
}

/** What an interface has, as far as it matters here. */
export interface NetworkAddress {
  readonly address: string;
}

/**
 * Reads the machine's interfaces through Deno. Where the permission `sys` is not granted it never sees a change; it does not ask for it.
 *
 * @param read lists the addresses. @default what `Deno.networkInterfaces()` has
 */
export function denoNetworkMonitor(read: () => readonly NetworkAddress[] = interfaces): NetworkMonitor {
  let last = "";
  return {
    addresses() {
      try {
        const outside = read().map(({ address }) => address).filter((address) => !staysInside(address));
        last = [...new Set(outside)].sort().join(" ");
      } catch {
        // Not readable now: nothing is known to have changed.
      }
      return last;
    },
  };
}

function interfaces(): readonly NetworkAddress[] {
  const { state } = Deno.permissions.querySync({ name: "sys", kind: "networkInterfaces" });
  return state === "granted" ? Deno.networkInterfaces() : [];
}

/** Loopback and link-local addresses reach no relay elsewhere, and come and go with interfaces that nobody uses. */
function staysInside(address: string): boolean {
  return /^(127\.|169\.254\.|::1$|fe[89ab][0-9a-f]:)/i.test(address);
}
