/** Connections to relays, each address behind a wall of its own. For supervisors, which see none of the bytes. */

import type { Dial } from "../client/discovery/mod.ts";
import { AronaError, type Endpoint, formatEndpoint } from "../proto/base/mod.ts";
import type { LinkContract } from "./link_worker.ts";
import { portTransport } from "./port_transport.ts";
import { moved } from "./rpc.ts";
import { type RunningWorker, spawnWorker } from "./spawn.ts";

/** Workers without a connection that are kept for the next try. */
const MAX_IDLE = 4;

/** One address. */
interface Link {
  readonly worker: Promise<RunningWorker<LinkContract>>;
  /** By its number: what to call where the worker ends and takes the connection with it. */
  readonly connections: Map<number, () => void>;
}

/** Starts a worker for each address that is asked for. Who may ask for which is the caller's to decide. */
export class Links implements Disposable {
  readonly #links = new Map<string, Link>();
  #lastNumber = 0;
  #closed = false;

  /** Gets the worker for an address ready, before the address is needed. */
  prepare(endpoint: Endpoint): void {
    this.#linkTo(endpoint).worker.catch(() => {}); // whoever connects hears of it
  }

  /**
   * Connects `port` with the address, until either side ends.
   *
   * @param options.onLost called where the connection is lost with its worker
   * @throws {AronaError} `UNREACHABLE`
   */
  async connect(
    endpoint: Endpoint,
    port: MessagePort,
    options: { onLost: () => void; signal?: AbortSignal },
  ): Promise<void> {
    const { onLost, signal = new AbortController().signal } = options;
    const link = this.#linkTo(endpoint);
    const number = ++this.#lastNumber;
    link.connections.set(number, onLost);
    try {
      const { remote } = await link.worker;
      await remote.connect(number, moved(port), signal);
      this.#endIdle({ keep: 0 }); // a relay that was found is not looked for elsewhere before it moves
    } catch (error) {
      link.connections.delete(number);
      this.#endIdle({ keep: MAX_IDLE });
      throw error;
    }
  }

  /** The same for this thread itself, to ask for a document. */
  readonly dial: Dial = async ({ hostname, port, signal }) => {
    const { port1, port2 } = new MessageChannel();
    const transport = portTransport(port1, { remoteAddress: formatEndpoint({ hostname, port }) });
    try {
      await this.connect({ hostname, port }, port2, { onLost: () => transport.close(), signal });
      return transport;
    } catch (error) {
      transport.close();
      throw error;
    }
  };

  /** Ends all of them. */
  [Symbol.dispose](): void {
    this.#closed = true;
    for (const address of this.#links.keys()) this.#end(address);
  }

  #linkTo(endpoint: Endpoint): Link {
    if (this.#closed) throw new AronaError("CLOSED", "Cannot connect: the command is ending");
    const address = formatEndpoint(endpoint);
    const known = this.#links.get(address);
    if (known !== undefined) return known;
    const connections: Link["connections"] = new Map();
    const forget = () => {
      if (this.#links.get(address) === link) this.#links.delete(address);
      for (const onLost of connections.values()) onLost();
      connections.clear();
    };
    const worker = spawnWorker<LinkContract>("link", {
      parameters: { endpoint },
      init: { endpoint },
      onEvent: (number) => connections.delete(number),
      onEnd: forget,
    });
    worker.catch(forget);
    const link = { worker, connections };
    this.#links.set(address, link);
    return link;
  }

  #endIdle({ keep }: { keep: number }): void {
    const idle = [...this.#links].filter(([, { connections }]) => connections.size === 0);
    for (const [address] of idle.slice(0, Math.max(0, idle.length - keep))) this.#end(address);
  }

  #end(address: string): void {
    const link = this.#links.get(address);
    this.#links.delete(address);
    link?.worker.then((worker) => worker.terminate(), () => {});
    for (const onLost of link?.connections.values() ?? []) onLost();
  }
}
