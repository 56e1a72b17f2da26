/** A tunnel to a relay, with real processes. */

import assert from "node:assert/strict";
import {
  type Clock,
  connectTcp,
  type Endpoint,
  fromBase64Url,
  parseEndpoint,
  systemClock,
} from "../../proto/mod.ts";
import {
  type AgentProcess,
  agentSpawner,
  parseTunnelSpec,
  probeRelay,
  type RunningTunnel,
  startTunnel,
  type TunnelEvent,
  type TunnelFailure,
} from "../../server/tunnel/mod.ts";
import type { TestRelay } from "../server/test_relay.ts";

/** A tunnel whose events can be waited for. */
export class WatchedTunnel implements AsyncDisposable {
  readonly events: TunnelEvent[] = [];
  /** The agent's processes, one for each start. */
  readonly agents: AgentProcess[] = [];
  readonly tunnel: RunningTunnel;
  #wake = () => {};

  constructor(relay: TestRelay, options: { spec: string; program: string; clock?: Clock }) {
    const spawn = agentSpawner({ program: options.program, env: { PATH: "/usr/bin:/bin" } });
    this.tunnel = startTunnel({
      spec: parseTunnelSpec(options.spec),
      local: parseEndpoint(relay.relay.address),
      clock: options.clock ?? systemClock,
      random: () => 0,
      spawn: (args) => {
        const agent = spawn(args);
        this.agents.push(agent);
        return agent;
      },
      fetch,
      // The relay's documents are of its own time.
      probe: (endpoint, { signal }) =>
        probeRelay(endpoint, {
          dial: connectTcp,
          crypto: relay.crypto,
          clock: relay.clock,
          fingerprint: fromBase64Url(relay.relay.fingerprint),
          signal,
        }),
      onEvent: (event) => {
        this.events.push(event);
        this.#wake();
      },
    });
  }

  async next(): Promise<TunnelEvent> {
    while (this.events.length === 0) await new Promise<void>((resolve) => this.#wake = resolve);
    return this.events.shift()!;
  }

  async address(): Promise<Endpoint & { changed: boolean }> {
    const event = await this.next();
    assert.ok(event.type === "address", JSON.stringify(event));
    return { ...event.endpoint, changed: event.changed };
  }

  /** The next address, whatever goes wrong before it. */
  async addressInTheEnd(): Promise<Endpoint & { changed: boolean }> {
    for (;;) {
      const event = await this.next();
      if (event.type === "address") return { ...event.endpoint, changed: event.changed };
    }
  }

  async failure(): Promise<TunnelFailure> {
    const event = await this.next();
    assert.ok(event.type === "lost", JSON.stringify(event));
    return event.failure;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.tunnel.stop();
  }
}
