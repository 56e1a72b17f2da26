/** Login tickets: which files count as an older copy, whatever is lost between a device and the relay. */

import assert from "node:assert/strict";
import { type DeviceId, FakeClock, selectProvider } from "../../proto/mod.ts";
import { LOGINS_FLUSH_MS } from "../../server/limits.ts";
import { Logins } from "../../server/logins.ts";
import { MemoryRelayStore } from "../../server/mod.ts";

const device = "d" as DeviceId;

Deno.test("a device that shows the ticket it was given last is up to date; one that shows an earlier one is an older copy", async () => {
  const { logins } = await make();
  const tickets = [""];
  for (let i = 0; i < 4; i++) {
    const { stale, ticket } = logins.begin(device, tickets.at(-1)!);
    assert.equal(stale, false);
    logins.confirm(device, ticket);
    tickets.push(ticket);
  }
  for (const old of tickets.slice(0, -1)) assert.equal(logins.begin(device, old).stale, true);
  assert.equal(logins.begin(device, tickets.at(-1)!).stale, false);
});

Deno.test("a device whose answer was lost shows the same ticket again and is up to date", async () => {
  const { logins } = await make();
  const { ticket } = logins.begin(device, "");
  logins.confirm(device, ticket);
  for (let i = 0; i < 3; i++) assert.equal(logins.begin(device, ticket).stale, false);
  const offered = logins.begin(device, ticket);
  // This one arrived, and nothing was sent after it.
  const next = logins.begin(device, offered.ticket);
  assert.equal(next.stale, false);
  assert.equal(logins.begin(device, ticket).stale, true, "it has had a later one");
});

Deno.test("an older copy is told so until it shows a ticket that it was given since", async () => {
  const { logins } = await make();
  const copy = logins.begin(device, "").ticket;
  logins.confirm(device, copy);
  logins.confirm(device, logins.begin(device, copy).ticket);
  for (let i = 0; i < 3; i++) assert.equal(logins.begin(device, copy).stale, true);
  const { ticket } = logins.begin(device, copy);
  assert.equal(logins.begin(device, ticket).stale, false, "it has written down that it was one");
  assert.equal(logins.begin(device, copy).stale, true, "the same copy put back once more");
});

Deno.test("what the relay has forgotten makes nobody an older copy, and tickets outlast its restart", async () => {
  const { clock, logins, store } = await make();
  const first = logins.begin(device, "").ticket;
  logins.confirm(device, first);
  clock.advance(LOGINS_FLUSH_MS);
  const second = logins.begin(device, first).ticket;
  logins.confirm(device, second);
  // Killed before that was written.
  const restarted = (await make({ store })).logins;
  const { stale, ticket } = restarted.begin(device, second);
  assert.equal(stale, false);
  restarted.confirm(device, ticket);
  restarted.stop();
  const again = (await make({ store })).logins;
  assert.deepEqual([first, second].map((old) => again.begin(device, old).stale), [true, true]);
  assert.equal(again.begin(device, ticket).stale, false);
});

Deno.test("what is no ticket is that of an older copy once the device has had one", async () => {
  const { logins } = await make();
  const { ticket } = logins.begin(device, "");
  logins.confirm(device, ticket);
  for (const shown of ["", "x", "-1.00", "99999999999999999999.00", "9007199254740991.00", `${ticket}0`]) {
    assert.equal(logins.begin(device, shown).stale, true, shown);
  }
  assert.equal(logins.begin(device, ticket).stale, false);
});

async function make({ store = new MemoryRelayStore() } = {}) {
  const clock = new FakeClock();
  const crypto = await selectProvider();
  const logins = new Logins({ store, clock, crypto, log: (event) => assert.fail(event.type) });
  return { clock, logins, store };
}
