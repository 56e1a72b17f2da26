/** The connector: pauses, states, hurry, stop. */

import assert from "node:assert/strict";
import {
  HURRY_INTERVAL_MS,
  RECONNECT_FIRST_MS,
  RECONNECT_LONGEST_MS,
  STABLE_AFTER_MS,
  SURROUNDINGS_CHECK_MS,
} from "../../client/limits.ts";
import { type ConnectionState, Connector, type Dialled } from "../../client/session/connector.ts";
import type { Disturbance } from "../../client/session/surroundings.ts";
import { AronaError, type CryptoProvider, FakeClock } from "../../proto/mod.ts";

const GONE = new AronaError("UNREACHABLE", "nothing listens there");

/** A connector whose dials and connections the test decides. */
class Rig {
  readonly clock = new FakeClock();
  readonly states: ConnectionState[] = [];
  readonly probes: Disturbance[] = [];
  readonly network = { current: "192.0.2.1", addresses: () => this.network.current };
  readonly connector: Connector;
  dials: PromiseWithResolvers<Dialled>[] = [];
  #end = Promise.withResolvers<AronaError>();

  /** @param random the 16 bits that the provider gives for each pause */
  constructor(random = 0xffff) {
    const crypto = { randomBytes: () => Uint8Array.of(random >> 8, random & 0xff) };
    this.connector = new Connector((signal) => this.#dial(signal), {
      clock: this.clock,
      crypto: crypto as unknown as CryptoProvider,
      network: this.network,
      onState: (state) => this.states.push(state),
    });
  }

  get status(): string {
    return this.connector.state.status;
  }

  /** Starts, patiently; what becomes of it is not this test's concern. */
  start(): void {
    this.connector.start({ patient: true }).catch(() => {});
  }

  async succeed(): Promise<void> {
    this.#end = Promise.withResolvers();
    this.dials.at(-1)!.resolve({
      ended: this.#end.promise,
      probe: (disturbance) => this.probes.push(disturbance),
      close: () => Promise.resolve(),
    });
    await settle();
  }

  async fail(error: Error = GONE): Promise<void> {
    this.dials.at(-1)!.reject(error);
    await settle();
  }

  async lose(): Promise<void> {
    this.#end.resolve(GONE);
    await settle();
  }

  /** The pause that has begun, which it sits out. */
  async pause(): Promise<number> {
    const { state } = this.connector;
    assert.ok(state.status === "offline" && state.retryAtMs !== undefined);
    const pauseMs = state.retryAtMs - this.clock.now();
    const before = this.dials.length;
    this.clock.advance(pauseMs - 1);
    await settle();
    assert.equal(this.dials.length, before);
    this.clock.advance(1);
    await settle();
    assert.equal(this.dials.length, before + 1);
    return pauseMs;
  }

  async stop(): Promise<void> {
    const stopped = this.connector.stop();
    this.dials.at(-1)?.reject(GONE);
    this.#end.resolve(GONE);
    await stopped;
    assert.equal(this.clock.pendingTimers, 0);
    assert.equal(this.status, "offline");
  }

  #dial(signal: AbortSignal): Promise<Dialled> {
    const dial = Promise.withResolvers<Dialled>();
    signal.addEventListener("abort", () => dial.reject(signal.reason), { once: true });
    this.dials.push(dial);
    return dial.promise;
  }
}

/** Lets everything run that waits for nothing but its turn. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

Deno.test("pauses double from the first to the longest and stay there", async () => {
  const rig = new Rig();
  rig.start();
  const expected = [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000];
  const pauses: number[] = [];
  for (const _ of expected) {
    await rig.fail();
    pauses.push(await rig.pause());
  }
  assert.deepEqual(pauses, expected);
  await rig.stop();
});

Deno.test("jitter takes up to half of a pause away", async () => {
  for (const [random, first] of [[0, RECONNECT_FIRST_MS / 2], [0x8000, 188], [0xffff, RECONNECT_FIRST_MS]]) {
    const rig = new Rig(random);
    rig.start();
    await rig.fail();
    assert.equal(await rig.pause(), first);
    await rig.stop();
  }
});

Deno.test("only a connection that stood for a minute makes pauses small again", async () => {
  for (const [stoodMs, next] of [[STABLE_AFTER_MS - 1, 1_000], [STABLE_AFTER_MS, RECONNECT_FIRST_MS]]) {
    const rig = new Rig();
    rig.start();
    for (let i = 0; i < 2; i++) {
      await rig.fail();
      await rig.pause();
    }
    await rig.succeed();
    rig.clock.advance(stoodMs);
    await rig.lose();
    assert.equal(await rig.pause(), next);
    await rig.stop();
  }
});

Deno.test("states say since when, why, and when the next try is", async () => {
  const rig = new Rig();
  const startMs = rig.clock.now();
  assert.deepEqual(rig.connector.state, { status: "offline", sinceMs: startMs });
  rig.start();
  await rig.fail();
  const reason = GONE;
  const sinceMs = startMs;
  const retryAtMs = startMs + RECONNECT_FIRST_MS;
  assert.deepEqual(rig.connector.state, { status: "offline", sinceMs, reason, retryAtMs });
  await rig.pause();
  await rig.succeed();
  assert.deepEqual(rig.connector.state, { status: "online", sinceMs: retryAtMs });
  await rig.stop();
  assert.deepEqual(rig.states.map(({ status }) => status), ["connecting", "offline", "connecting", "online"]);
});

Deno.test("what no try can help is final, and leaves no timer", async () => {
  const rig = new Rig();
  const connecting = rig.connector.start({ patient: true });
  const reason = new AronaError("AUTH_FAILED", "refused");
  await rig.fail(reason);
  await assert.rejects(connecting, reason);
  assert.deepEqual(rig.connector.state, {
    status: "offline",
    sinceMs: rig.clock.now(),
    reason,
    final: true,
  });
  assert.equal(rig.clock.pendingTimers, 0);
});

for (const disturbance of ["woke", "network"] as const) {
  const disturb = async (rig: Rig) => {
    if (disturbance === "network") rig.network.current += "0";
    else rig.clock.suspend(60_000, { monotonic: false });
    rig.clock.advance(SURROUNDINGS_CHECK_MS);
    await settle();
  };

  Deno.test(`${disturbance}: a pause ends at once, and the next one is the first again`, async () => {
    const rig = new Rig();
    rig.start();
    for (let i = 0; i < 7; i++) {
      await rig.fail();
      await rig.pause();
    }
    await rig.fail();
    const dials = rig.dials.length;
    await disturb(rig);
    assert.equal(rig.status, "connecting");
    assert.equal(rig.dials.length, dials + 1);
    await rig.fail();
    assert.equal(await rig.pause(), RECONNECT_FIRST_MS);
    await rig.stop();
  });

  Deno.test(`${disturbance}: a connection that stands is probed, and after its loss the pause is the first`, async () => {
    const rig = new Rig();
    rig.start();
    for (let i = 0; i < 4; i++) {
      await rig.fail();
      await rig.pause();
    }
    await rig.succeed();
    await disturb(rig);
    assert.deepEqual(rig.probes, [disturbance]);
    assert.equal(rig.status, "online");
    await rig.lose();
    assert.equal(await rig.pause(), RECONNECT_FIRST_MS);
    await rig.stop();
  });
}

Deno.test("a clock that is set back neither probes nor dials", async () => {
  const rig = new Rig();
  rig.start();
  await rig.succeed();
  rig.clock.jump(0);
  rig.clock.advance(10 * SURROUNDINGS_CHECK_MS);
  await settle();
  assert.deepEqual(rig.probes, []);
  assert.equal(rig.dials.length, 1);
  await rig.stop();
});

Deno.test("hurry() works once in its interval, so that a network that flaps makes no storm of dials", async () => {
  const rig = new Rig();
  rig.start();
  await rig.fail();
  const spanMs = 60_000;
  for (let atMs = 0; atMs < spanMs; atMs += 50) {
    rig.connector.hurry();
    await settle();
    if (rig.status === "connecting") await rig.fail();
    rig.clock.advance(50);
    await settle();
  }
  // In each interval: the one that was hurried, and those after the first pauses (250, 500, 1,000).
  assert.ok(rig.dials.length <= 4 * spanMs / HURRY_INTERVAL_MS + 4, `${rig.dials.length} dials`);
  await rig.stop();
});

Deno.test("stop() leaves no timer and no dial in any state", async () => {
  const states: [string, (rig: Rig) => Promise<void>][] = [
    ["offline", () => Promise.resolve()],
    ["connecting", (rig) => Promise.resolve(rig.start())],
    ["online", async (rig) => {
      rig.start();
      await rig.succeed();
    }],
    ["offline", async (rig) => {
      rig.start();
      await rig.fail();
    }],
  ];
  for (const [status, prepare] of states) {
    const rig = new Rig();
    await prepare(rig);
    assert.equal(rig.status, status);
    await rig.stop();
    const { length } = rig.dials;
    rig.clock.advance(10 * RECONNECT_LONGEST_MS);
    await settle();
    assert.equal(rig.dials.length, length);
  }
});
