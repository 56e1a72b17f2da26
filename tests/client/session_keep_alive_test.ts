/** The keep-alive's state machine: silence, questions, sleep, and clocks that are set. */

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  DEAD_AFTER_MS,
  PING_AFTER_MS,
  PROBE_TIMEOUT_MS,
  SLEPT_AFTER_MS,
  SURROUNDINGS_CHECK_MS,
} from "../../client/limits.ts";
import {
  type KeepAlive,
  type KeepAliveInput,
  startKeepAlive,
  stepKeepAlive,
} from "../../client/session/keep_alive.ts";
import { momentOf } from "../../client/session/moment.ts";
import { FakeClock } from "../../proto/mod.ts";

/** A dead peer is noticed within this time. */
const NOTICED_WITHIN_MS = 45_000;

/** The machine with a timer, as a link drives it. */
class Rig {
  readonly clock = new FakeClock();
  state: KeepAlive = startKeepAlive(momentOf(this.clock));
  pings = 0;
  heardMs = 0;
  deadAtMs: number | null = null;
  onPing = () => {};
  #cancel = () => {};

  constructor() {
    this.#schedule();
  }

  hear(): void {
    this.heardMs = this.clock.monotonic();
  }

  step(cause: KeepAliveInput["cause"]): void {
    const { state, ping } = stepKeepAlive(this.state, {
      cause,
      at: momentOf(this.clock),
      heardMs: this.heardMs,
    });
    this.state = state;
    if (state.kind === "dead") this.deadAtMs ??= this.clock.monotonic();
    if (ping) {
      this.pings++;
      this.onPing();
    }
    this.#schedule();
  }

  #schedule(): void {
    this.#cancel();
    if (this.state.kind === "dead") return;
    const delayMs = this.state.dueMs - this.clock.monotonic();
    this.#cancel = this.clock.schedule(delayMs, () => this.step("timer"));
  }
}

Deno.test("the limits add up: a silent relay, a timer that comes late and the question after it fit in 45 s", () => {
  assert.ok(DEAD_AFTER_MS <= 40_000);
  assert.ok(DEAD_AFTER_MS + SLEPT_AFTER_MS + PROBE_TIMEOUT_MS <= NOTICED_WITHIN_MS);
  assert.ok(SURROUNDINGS_CHECK_MS + PROBE_TIMEOUT_MS < 10_000);
});

Deno.test("whenever the relay falls silent, it is asked once and given up after the same silence", () => {
  for (let silentFromMs = 0; silentFromMs <= 2 * DEAD_AFTER_MS; silentFromMs += 500) {
    const rig = new Rig();
    for (let atMs = 0; atMs < silentFromMs; atMs += 500) {
      rig.clock.advance(500);
      rig.hear();
    }
    assert.equal(rig.pings, 0);
    rig.clock.advance(DEAD_AFTER_MS - 1);
    assert.equal(rig.deadAtMs, null);
    rig.clock.advance(1);
    assert.equal(rig.deadAtMs, silentFromMs + DEAD_AFTER_MS);
    assert.equal(rig.pings, 1);
    assert.equal(rig.clock.pendingTimers, 0);
  }
});

Deno.test("answers alone keep it alive, one PING for each silence", () => {
  const rig = new Rig();
  rig.onPing = () => rig.clock.schedule(100, () => rig.hear());
  rig.clock.advance(10 * (PING_AFTER_MS + 100) + 1_000);
  assert.equal(rig.state.kind === "dead", false);
  assert.equal(rig.pings, 10);
});

for (const disturbance of ["woke", "network"] as const) {
  Deno.test(`${disturbance}: asked at once; no answer ends it in 5 s, an answer changes nothing`, () => {
    const dead = new Rig();
    dead.clock.advance(3_000);
    dead.step(disturbance);
    assert.equal(dead.pings, 1);
    dead.clock.advance(PROBE_TIMEOUT_MS);
    assert.equal(dead.deadAtMs, 3_000 + PROBE_TIMEOUT_MS);

    const alive = new Rig();
    alive.clock.advance(3_000);
    alive.step(disturbance);
    alive.clock.advance(4_000);
    alive.hear();
    alive.clock.advance(PING_AFTER_MS - 1);
    assert.equal(alive.pings, 1);
    assert.equal(alive.deadAtMs, null);
  });
}

for (const monotonic of [true, false]) {
  Deno.test(`a timer that runs first after a sleep asks before it gives up (monotonic clock ${monotonic ? "goes on" : "stands still"})`, () => {
    for (const sleptAtMs of [0, PING_AFTER_MS - 1, PING_AFTER_MS + 1, DEAD_AFTER_MS - 1]) {
      const rig = new Rig();
      rig.clock.advance(sleptAtMs);
      const before = rig.pings;
      rig.clock.suspend(8 * 3_600_000, { monotonic });
      const due = rig.state.kind === "dead" ? 0 : rig.state.dueMs - rig.clock.monotonic();
      rig.clock.advance(Math.max(0, due));
      assert.equal(rig.deadAtMs, null);
      assert.equal(rig.pings, before + 1);
      rig.clock.advance(PROBE_TIMEOUT_MS - 1);
      rig.hear();
      rig.clock.advance(PING_AFTER_MS - 1);
      assert.equal(rig.deadAtMs, null);
    }
  });
}

Deno.test("after a sleep without an answer it is given up 5 s after the question", () => {
  const rig = new Rig();
  rig.clock.advance(PING_AFTER_MS + 1);
  rig.clock.suspend(3_600_000, { monotonic: true });
  rig.clock.advance(0);
  const wokeMs = rig.clock.monotonic();
  rig.clock.advance(PROBE_TIMEOUT_MS);
  assert.equal(rig.deadAtMs, wokeMs + PROBE_TIMEOUT_MS);
});

Deno.test("a clock that is set back changes nothing at all", () => {
  const rig = new Rig();
  rig.clock.advance(1_000);
  rig.clock.jump(0);
  rig.clock.advance(PING_AFTER_MS - 1_001);
  assert.equal(rig.pings, 0);
  rig.clock.advance(1);
  assert.equal(rig.pings, 1);
  rig.clock.jump(-86_400_000);
  rig.clock.advance(DEAD_AFTER_MS - PING_AFTER_MS);
  assert.equal(rig.deadAtMs, DEAD_AFTER_MS);
});

const disturbances = fc.array(
  fc.record({
    waitMs: fc.integer({ min: 0, max: 30_000 }),
    what: fc.constantFrom("network", "woke", "back", "forward", "sleep", "slept", "frame"),
  }),
  { maxLength: 40 },
);

Deno.test("a relay that answers is never given up, whatever happens to the machine", () => {
  fc.assert(
    fc.property(disturbances, fc.integer({ min: 0, max: PROBE_TIMEOUT_MS - 1 }), (story, latencyMs) => {
      const rig = new Rig();
      rig.onPing = () => rig.clock.schedule(latencyMs, () => rig.hear());
      for (const { waitMs, what } of story) {
        rig.clock.advance(waitMs);
        if (what === "network" || what === "woke") rig.step(what);
        if (what === "back") rig.clock.jump(rig.clock.now() - 3_600_000);
        if (what === "forward") rig.clock.jump(rig.clock.now() + 3_600_000);
        if (what === "sleep" || what === "slept") {
          rig.clock.suspend(waitMs * 100, { monotonic: what === "sleep" });
        }
        if (what === "frame") rig.hear();
        assert.equal(rig.deadAtMs, null);
      }
    }),
  );
});

Deno.test("a relay that is gone is noticed within 45 s, whatever the phase, with the network changing and a clock being set", () => {
  fc.assert(fc.property(
    fc.array(fc.integer({ min: 0, max: 30_000 }), { maxLength: 8 }),
    fc.array(fc.record({ waitMs: fc.nat(10_000), what: fc.constantFrom("network", "back", "write") })),
    fc.nat(NOTICED_WITHIN_MS),
    (gapsMs, story, setForwardAtMs) => {
      const rig = new Rig();
      const { clock } = rig;
      rig.onPing = () => rig.hear();
      for (const gapMs of gapsMs) {
        clock.advance(gapMs);
        rig.hear();
      }
      rig.onPing = () => {}; // from here on nothing comes any more
      const goneMs = clock.monotonic();
      clock.schedule(setForwardAtMs, () => clock.jump(clock.now() + 3_600_000));
      for (const { waitMs, what } of story) {
        clock.advance(waitMs);
        if (what === "network") rig.step("network");
        if (what === "back") clock.jump(clock.now() - 3_600_000);
      }
      clock.advance(NOTICED_WITHIN_MS);
      assert.ok(rig.deadAtMs !== null && rig.deadAtMs - goneMs <= NOTICED_WITHIN_MS);
    },
  ));
});
