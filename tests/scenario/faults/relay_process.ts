/** The relay as a process of its own, which comes back on its port and with its data however it ended. */

import { Arona } from "../../cli/processes.ts";

const BIND_TRIES = 50;

/** A relay that can be killed and started again. */
export class RelayProcess implements AsyncDisposable {
  #process: Arona | null = null;
  #listening: { address: string; link: string } | null = null;

  constructor(readonly home: string, private readonly data = `${home}/relay`) {}

  /** The link of the relay; it stays the same. */
  get link(): string {
    return this.#listening!.link;
  }

  get port(): number {
    return Number(this.#listening!.address.split(":").at(-1));
  }

  get running(): boolean {
    return this.#process !== null;
  }

  /** Starts it, or starts it again where it was. */
  async start(): Promise<void> {
    const listen = this.#listening?.address ?? "127.0.0.1:0";
    for (let attempt = 1;; attempt++) {
      const args = ["serve", "--listen", listen, "--data", this.data, "--log-level", "error", "--json"];
      const process = new Arona(this.home, args);
      try {
        const [line] = await process.until("out", /^.*\n/);
        this.#process = process;
        this.#listening = JSON.parse(line);
        return;
      } catch (error) {
        await process.outcome();
        // Meanwhile the system may have lent the port to an outgoing connection.
        if (!process.err.includes("port") || attempt >= BIND_TRIES) throw error;
      }
    }
  }

  /** Starts it where it can. @returns what it says where it cannot, or null */
  async tryStart(): Promise<string | null> {
    try {
      await this.start();
      return null;
    } catch (error) {
      return (error as Error).message;
    }
  }

  /** kill −9. */
  async kill(): Promise<void> {
    await this.#process?.[Symbol.asyncDispose]();
    this.#process = null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}
