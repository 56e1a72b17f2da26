import assert from "node:assert/strict";
import { Arona, TestRelay } from "./processes.ts";
import { run, temporaryFolder } from "./test_io.ts";

function objects(out: string): Record<string, unknown>[] {
  return out.trimEnd().split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

/** Runs a command on a machine of its own. */
async function on(home: string, ...args: string[]) {
  return await new Arona(home, args).outcome();
}

Deno.test("a second machine is linked by a code, reads, writes, and is removed again", async () => {
  await using relay = await TestRelay.start();
  await using machine = await temporaryFolder();
  await relay.ok("join", "#general", "--username", "alice");
  await relay.ok("join", "#general", "--username", "bob");

  await using add = relay.start("device", "add", "--profile", "alice", "--json");
  const [, code] = await add.until("out", /"code":"(arona:[^"]+)"/);
  await add.until("err", /arona device link CODE/);
  const link = await on(machine.path, "device", "link", code, "--json");
  assert.equal(link.code, 0, link.err);
  const [linked] = objects(link.out);
  assert.deepEqual([linked.type, linked.account, linked.profile], ["DeviceLinked", "alice", "alice"]);
  const added = await add.outcome();
  assert.equal(added.code, 0, added.err);
  assert.equal(objects(added.out)[1].device, linked.device);
  assert.match(added.err, /It is in all of them/);
  const again = await on(machine.path, "device", "link", code);
  assert.equal(again.code, 1);
  assert.match(again.err, /nobody waits with this code.*works once/);

  await using tail = new Arona(machine.path, ["tail", "#general", "--json", "--count", "2"]);
  await tail.until("err", /Listening in #general as alice/);
  await relay.ok("send", "#general", "from bob", "--username", "bob");
  await relay.ok("send", "#general", "from the laptop", "--profile", "alice");
  const heard = objects((await tail.outcome()).out).filter(({ type }) => type === "MsgCreated");
  assert.deepEqual(heard.map(({ text, own }) => [text, own]), [["from bob", false], [
    "from the laptop",
    true,
  ]]);
  const sent = await on(machine.path, "send", "#general", "from the phone");
  assert.equal(sent.code, 0, sent.err);
  const history = await relay.ok("tail", "--username", "bob", "--count", "2", "--json");
  const last = objects(history.out).filter(({ type }) => type === "MsgCreated").at(-1)!;
  assert.deepEqual([last.from, last.text], ["alice", "from the phone"]);

  const list = objects((await relay.ok("device", "list", "--profile", "alice", "--json")).out);
  assert.deepEqual(list.map(({ self, primary }) => [self, primary]), [[true, true], [false, false]]);
  assert.equal(list[1].device, linked.device);
  const fromThere = await on(machine.path, "device", "add");
  assert.equal(fromThere.code, 1);
  assert.match(fromThere.err, /only the device that made the identity can\. That is [0-9a-f]{8}/);

  const short = String(linked.device).slice(0, 8);
  const asked = await relay.run("device", "remove", short, "--profile", "alice");
  assert.equal(asked.code, 2);
  assert.match(asked.err, /--yes/);
  const own = await relay.run(
    "device",
    "remove",
    String(list[0].device).slice(0, 8),
    "--yes",
    "--profile",
    "alice",
  );
  assert.match(own.err, /Cannot remove this device from itself/);
  const removed = await relay.ok("device", "remove", short, "--yes", "--profile", "alice", "--json");
  assert.equal(objects(removed.out)[0].device, linked.device);
  const after = await on(machine.path, "groups");
  assert.equal(after.code, 1);
  assert.match(after.err, /this is no longer a device of alice/);
  const members = objects((await relay.ok("members", "#general", "--username", "bob", "--json")).out);
  assert.deepEqual(members.map(({ account }) => account), ["alice", "bob"]);
});

Deno.test("arona connect takes a code as well, and what is typed on one device shows on the other once", async () => {
  await using relay = await TestRelay.start();
  await using machine = await temporaryFolder();
  await using laptop = relay.start("connect", "--plain", "--username", "alice");
  await laptop.until("err", /You are nowhere yet/);
  await laptop.type("/join #general\n");
  await laptop.until("err", /You are in #general/);
  await laptop.type("/quit\n");
  await laptop.outcome();
  await using add = relay.start("device", "add", "--profile", "alice");
  const [code] = await add.until("out", /arona:\/\/\S+\.\S+/);
  await using phone = new Arona(machine.path, ["connect", code, "--plain"]);
  await phone.until("err", /You are alice/);
  await add.outcome();
  await using back = relay.start("connect", "--plain", "--profile", "alice");
  await back.until("err", /You are in #general/);
  await back.type("typed on the laptop\n");
  await phone.until("out", /alice: typed on the laptop\n/);
  await phone.type("/switch #general\ntyped on the phone\n");
  await back.until("out", /alice: typed on the phone\n/);
  await phone.endInput();
  const { out } = await phone.outcome();
  assert.ok(!out.includes("typed on the phone"), "what was typed here is on the screen already");
});

Deno.test("codes that cannot be right are refused before anything is made", async () => {
  await using folder = await temporaryFolder();
  const env = { ARONA_HOME: folder.path };
  const link = `arona://127.0.0.1:1#${"A".repeat(43)}`;
  const cases: [string[], RegExp][] = [
    [["device", "link", link], /that is a relay's link, not a code/],
    [["device", "link", `${link}.ABC`], /the secret has 3 characters instead of 26/],
    [["device", "link", "0".repeat(26)], /it does not know the relay/],
    [["device", "link", "U".repeat(26)], /mistyped/],
    [["join", "#a", "--relay", `${link}.${"0".repeat(26)}`, "--username", "alice"], /arona device link CODE/],
    [["device", "remove", "xyz"], /not the beginning of a device's id/],
  ];
  for (const [args, expected] of cases) {
    const { code, err } = await run(args, { env });
    assert.equal(code, 2, args.join(" "));
    assert.match(err, expected);
  }
  const unreachable = await run(["device", "link", `${link}.${"0".repeat(26)}`], { env });
  assert.equal(unreachable.code, 1);
  assert.deepEqual([...Deno.readDirSync(folder.path)], []);
});
