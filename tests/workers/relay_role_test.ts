import assert from "node:assert/strict";
import { type RelayRole, type RelayRoleOptions, startRelayRole } from "../../cli/relay/relay_role.ts";
import type { RelayLogEvent } from "../../server/mod.ts";
import type { RelayState } from "../../workers/mod.ts";

function startRole(folder: string, options: Omit<RelayRoleOptions, "folder">): Promise<RelayRole> {
  return startRelayRole({
    listen: { hostname: "127.0.0.1", port: 0 },
    databasePath: `${folder}/relay.db`,
    mailboxPath: `${folder}/mailbox.db`,
    controlPath: `${folder}/control.json`,
    mailbox: "memory",
    name: "Relay",
    publicAddresses: [],
    limits: {},
    logConnections: true,
  }, { folder, ...options });
}

async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = Deno.realPathSync(Deno.makeTempDirSync());
  try {
    await use(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("the relay's worker reports where it listens, what it does, and each new state", () =>
  withFolder(async (folder) => {
    const events: RelayLogEvent[] = [];
    const states: RelayState[] = [];
    {
      await using role = await startRole(folder, { log: (event) => events.push(event) });
      assert.match(role.state.address, /^127\.0\.0\.1:\d+$/);
      assert(role.state.link.startsWith(`arona://${role.state.address}#${role.state.fingerprint}`));
      role.watch((state) => states.push(state));
      await role.setPublicAddresses(["chat.example.org:7700"]);
      assert.match(role.state.link, /^arona:\/\/chat\.example\.org:7700#/);
      assert.equal(states.at(-1), role.state);
      assert.equal((await role.remote.stats()).connections, 0);
      assert.equal(typeof await role.remote.createInvite(), "string");
      await assert.rejects(role.remote.setLimits({ messageBurst: -1 }), { name: "AronaError" });
    }
    const types = events.map(({ type }) => type);
    assert.deepEqual([types.includes("started"), types.at(-1)], [true, "stopped"]);
  }));

Deno.test("a relay whose worker dies is reported, with the log up to then, and ends without a wait", () =>
  withFolder(async (folder) => {
    const events: RelayLogEvent[] = [];
    const module = new URL("./mortal_worker.ts", import.meta.url);
    await using role = await startRole(folder, { log: (event) => events.push(event), module });
    await assert.rejects(role.remote.limits(), { code: "INTERNAL" });
    await assert.rejects(role.ended, { message: /^Cannot go on: the relay ended: .*out of order/ });
    assert.deepEqual(events.map((event) => event.type === "internal_error" ? event.error : event.type), [
      "2 events came too fast",
      "relay_key_rotated",
    ]);
  }));

Deno.test("what a relay's worker says of itself is not taken where a terminal would act on it", () =>
  withFolder(async (folder) => {
    const events: RelayLogEvent[] = [];
    const module = new URL("./mortal_worker.ts", import.meta.url);
    await using role = await startRole(folder, { log: (event) => events.push(event), module });
    await role.remote.setPublicAddresses([]);
    assert.equal(role.state.link, "l");
    assert.deepEqual(events.map((event) => event.type === "internal_error" && `${event.error}`), [
      "AronaError: Cannot believe the relay's worker: its address is not printable",
    ]);
    await role.remote.limits().catch(() => {}); // its end
  }));
