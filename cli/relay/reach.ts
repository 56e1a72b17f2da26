/** Where others reach the relay: the tunnel's address first, then what was given or what the machine says. */

import { type Endpoint, formatEndpoint, localHost, parseEndpoint } from "../../proto/mod.ts";

/** The relay's public addresses, from wherever they come. */
export class Reach {
  #given: readonly string[];
  #own: readonly string[] = [];
  #tunnel: string | null = null;
  #work: Promise<void> = Promise.resolve();

  /**
   * @param options.given `--public-address`; with neither these nor own ones it is published where the relay listens
   */
  constructor(
    private readonly publish: (addresses: readonly string[]) => Promise<void>,
    options: { given: readonly string[] },
  ) {
    this.#given = options.given;
  }

  /** Best first. */
  get addresses(): readonly string[] {
    const others = this.#given.length > 0 || this.#tunnel !== null ? this.#given : this.#own;
    const all = this.#tunnel === null ? others : [this.#tunnel, ...others];
    return [...new Set(all)];
  }

  /** From now on these are given. */
  setGiven(addresses: readonly string[]): Promise<void> {
    return this.#change(() => this.#given = addresses);
  }

  /** From now on the machine is reached at these, where nothing is given. */
  setOwn(addresses: readonly string[]): Promise<void> {
    return this.#change(() => this.#own = addresses);
  }

  /** From now on the tunnel is reached there. */
  setTunnel(endpoint: Endpoint): Promise<void> {
    return this.#change(() => this.#tunnel = formatEndpoint(endpoint));
  }

  /** One after the other, so that the last one counts; what has not changed is not published anew. */
  #change(change: () => void): Promise<void> {
    const work = this.#work.then(async () => {
      const before = this.addresses.join();
      change();
      if (this.addresses.join() !== before) await this.publish(this.addresses);
    });
    this.#work = work.catch(() => {});
    return work;
  }
}

/** Where the relay is reached on this machine itself, given where it listens. */
export function localEndpoint(address: string): Endpoint {
  const { hostname, port } = parseEndpoint(address);
  return { hostname: localHost(hostname), port };
}
