/** Noticing sleep, and changes of network. */

import assert from "node:assert/strict";
import { denoNetworkMonitor } from "../../client/mod.ts";
import { SURROUNDINGS_CHECK_MS } from "../../client/limits.ts";
import { watchSurroundings } from "../../client/session/surroundings.ts";
import { FakeClock } from "../../proto/mod.ts";

function watched(options: { addresses?: string } = {}) {
  const clock = new FakeClock();
  const seen: string[] = [];
  const network = { current: options.addresses ?? "192.0.2.1", addresses: () => network.current };
  const end = watchSurroundings({ clock, network, onDisturbance: (what) => seen.push(what) });
  return { clock, seen, network, end };
}

Deno.test("watchSurroundings() is silent while nothing happens, and its end leaves no timer", () => {
  const { clock, seen, end } = watched();
  clock.advance(100 * SURROUNDINGS_CHECK_MS);
  assert.deepEqual(seen, []);
  assert.equal(clock.pendingTimers, 1);
  end();
  assert.equal(clock.pendingTimers, 0);
});

for (const monotonic of [true, false]) {
  Deno.test(`a sleep is noticed once, at the next look (monotonic clock ${monotonic ? "goes on" : "stands still"})`, () => {
    const { clock, seen, end } = watched();
    clock.advance(SURROUNDINGS_CHECK_MS + 1);
    clock.suspend(3_600_000, { monotonic });
    clock.advance(SURROUNDINGS_CHECK_MS);
    assert.deepEqual(seen, ["woke"]);
    clock.advance(10 * SURROUNDINGS_CHECK_MS);
    assert.deepEqual(seen, ["woke"]);
    end();
  });
}

Deno.test("a clock that is set back is no wake; one that is set forward looks like one", () => {
  const { clock, seen, end } = watched();
  clock.jump(0);
  clock.advance(SURROUNDINGS_CHECK_MS);
  assert.deepEqual(seen, []);
  clock.jump(3_600_000);
  clock.advance(SURROUNDINGS_CHECK_MS);
  assert.deepEqual(seen, ["woke"]);
  end();
});

Deno.test("other addresses are one change of network each; with a wake it is told as the wake", () => {
  const { clock, seen, network, end } = watched();
  for (const addresses of ["", "198.51.100.7"]) {
    network.current = addresses;
    clock.advance(2 * SURROUNDINGS_CHECK_MS);
  }
  assert.deepEqual(seen, ["network", "network"]);
  network.current = "192.0.2.1";
  clock.suspend(60_000, { monotonic: false });
  clock.advance(2 * SURROUNDINGS_CHECK_MS);
  assert.deepEqual(seen, ["network", "network", "woke"]);
  end();
});

Deno.test("denoNetworkMonitor() knows the addresses that lead outside, in any order", () => {
  let addresses = ["127.0.0.1", "192.0.2.2", "::1", "fe80::1", "FEBF::1", "169.254.3.4", "2001:db8::2"];
  const monitor = denoNetworkMonitor(() => addresses.map((address) => ({ address })));
  assert.equal(monitor.addresses(), "192.0.2.2 2001:db8::2");
  addresses = ["2001:db8::2", "192.0.2.2", "192.0.2.2", "fe80::2"];
  assert.equal(monitor.addresses(), "192.0.2.2 2001:db8::2");
  addresses = [];
  assert.equal(monitor.addresses(), "");
});

Deno.test("denoNetworkMonitor() sees no change where it may not look", () => {
  let allowed = true;
  const monitor = denoNetworkMonitor(() => {
    if (!allowed) throw new Error("not allowed");
    return [{ address: "192.0.2.2" }];
  });
  assert.equal(monitor.addresses(), "192.0.2.2");
  allowed = false;
  assert.equal(monitor.addresses(), "192.0.2.2");
});

Deno.test("denoNetworkMonitor() reads this machine", () => {
  const monitor = denoNetworkMonitor();
  assert.equal(typeof monitor.addresses(), "string");
  assert.doesNotMatch(monitor.addresses(), /127\.0\.0\.1/);
});

Deno.test({
  name: "denoNetworkMonitor() neither asks nor fails without the permission",
  permissions: { sys: false },
  fn() {
    assert.equal(denoNetworkMonitor().addresses(), "");
  },
});
