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
     * @param connection a number by which the end is reported
     * @throws {AronaError} `UNREACHABLE`
     */
    connect(connection: number, port: MessagePort, signal: AbortSignal): Promise<void>;
  };
  /** The number of a connection that has ended. */
  readonly event: number;
  readonly host: Record<never, never>;
}

runRole<LinkContract>(({ endpoint }, side) => ({
  async connect(connection, port, signal) {
    const session = portTransport(port, { remoteAddress: "the session" });
    try {
      const relay = await connectTcp({ ...endpoint, signal });
      joinTransports(session, relay).then(() => side.emit(connection));
    } catch (error) {
      session.close();
      throw error;
    }
  },
}));
