/** The link worker: carries a session's bytes to one address. It sees ciphertext only, and has no files. */

import { connectTcp, type Endpoint } from "../proto/base/mod.ts";
import { joinTransports, portTransport } from "./port_transport.ts";
import { type Contract, runRole } from "./role.ts";

/** What a link worker and its supervisor say to each other. */
export interface LinkContract extends Contract {
  readonly role: "link";
  readonly init: { readonly endpoint: Endpoint };
  readonly methods: {
    /**
     * Connects and carries bytes between the connection and `port` until one of them ends.
     *
     * @throws {AronaError} `UNREACHABLE`
     */
    connect(port: MessagePort, signal: AbortSignal): Promise<void>;
  };
}

runRole<LinkContract>(({ endpoint }) => {
  const remoteAddress = "session";
  return {
    async connect(port, signal) {
      const session = portTransport(port, { remoteAddress });
      try {
        const relay = await connectTcp({ ...endpoint, signal });
        joinTransports(session, relay); // until one of them ends
      } catch (error) {
        session.close();
        throw error;
      }
    },
  };
});
