import assert from "node:assert/strict";
import { signalHandler } from "../../cli/signals.ts";
import { FakeClock } from "../../proto/mod.ts";

function handler() {
  const clock = new FakeClock();
  const done: string[] = [];
  const onSignal = signalHandler(
    { end: () => done.push("end"), force: () => done.push("force") },
    { monotonic: () => clock.monotonic() },
  );
  return { clock, done, onSignal };
}

Deno.test("two signals 1 ms apart are one", () => {
  const { clock, done, onSignal } = handler();
  onSignal();
  clock.advance(1);
  onSignal();
  assert.deepEqual(done, ["end"]);
});

Deno.test("a signal a second after the first one forces the end, whatever came between", () => {
  const { clock, done, onSignal } = handler();
  onSignal();
  clock.advance(999);
  onSignal();
  assert.deepEqual(done, ["end"]);
  clock.advance(1);
  onSignal();
  assert.deepEqual(done, ["end", "force"]);
});
