import assert from "node:assert/strict";
import { Arona, TestRelay } from "./processes.ts";

function objects(out: string): Record<string, unknown>[] {
  return out.trimEnd().split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

Deno.test("alice joins, bob tails, alice sends: bob gets exactly one MsgCreated", async () => {
  await using relay = await TestRelay.start();
  assert.deepEqual(Object.keys(relay.listening), ["type", "address", "fingerprint", "link"]);
  await relay.ok("join", "#general", "--username", "alice");
  await using tail = relay.start("tail", "#general", "--username", "bob", "--json", "--count", "1");
  await tail.until("err", /Listening in #general as bob/);
  const sent = await relay.ok("send", "#general", "hello", "--username", "alice");
  assert.equal(sent.out, "");
  const { code, out } = await tail.outcome();
  assert.equal(code, 0);
  assert.match(
    out,
    /^\{"type":"MsgCreated","group":"#general","kind":"channel","from":"alice","id":"[0-9a-f]{32}","text":"hello","at":"[^"]+Z",.*\}\n$/,
  );
  assert.match(tail.err, /Profile bob has no passphrase/);
  assert.deepEqual([...Deno.readDirSync(`${relay.home}/profiles`)].map(({ name }) => name).sort(), [
    "alice",
    "bob",
  ]);

  // What waited while bob was away comes first; --json keeps stdout clean.
  const json = await relay.ok("send", "#general", "two", "--username", "alice", "--json");
  const [{ id, ...rest }] = objects(json.out);
  assert.deepEqual(rest, { type: "MsgSent", group: "#general", state: "accepted" });
  const later = await relay.ok("tail", "--username", "bob", "--json", "--count", "1");
  assert.equal(objects(later.out)[0].id, id);

  const history = await relay.ok("history", "#general", "--username", "bob", "--json");
  assert.deepEqual(objects(history.out).map(({ text }) => text), ["hello", "two"]);
  const members = objects((await relay.ok("members", "#general", "--username", "bob", "--json")).out);
  assert.deepEqual(members.map(({ account, admin }) => [account, admin]), [["alice", true], ["bob", false]]);
  const numbers = await Promise.all(["alice", "bob"].map(async (name) => {
    const other = name === "alice" ? "bob" : "alice";
    return objects((await relay.ok("verify", other, "--username", name, "--json")).out)[0];
  }));
  assert.equal(numbers[0].safetyNumber, numbers[1].safetyNumber);
  assert.match(String(numbers[0].safetyNumber), /^(\d{5} ){11}\d{5}$/);
  const confirmed = await relay.ok("verify", "@bob", "--confirm", "--username", "alice", "--json");
  assert.equal(objects(confirmed.out)[0].verified, true);
});

Deno.test("tail without enough messages ends at --timeout with exit code 1, and says how many came", async () => {
  await using relay = await TestRelay.start();
  const { code, out, err } = await relay.run(
    "tail",
    "#a",
    "--username",
    "bob",
    "--count",
    "2",
    "--timeout",
    "0.2",
  );
  assert.deepEqual([code, out], [1, ""]);
  assert.match(err, /Cannot wait any longer: 0 of 2 messages came in 0.2 s/);
  assert.equal((await relay.run("tail", "--username", "bob", "--timeout", "0.2")).code, 0);
});

Deno.test("groups from scripts: create, invite, deliver, remove", async () => {
  await using relay = await TestRelay.start();
  await relay.ok("join", "#general", "--username", "bob");
  const made = await relay.ok(
    "group",
    "create",
    "Tea time",
    "--username",
    "alice",
    "--suite",
    "aes256",
    "--json",
  );
  const [{ group, kind, suite }] = objects(made.out);
  assert.deepEqual([group, kind, suite], ["Tea time", "group", "MLS_192_MLKEM768_AES256GCM_SHA384_MLDSA65"]);
  await relay.ok("group", "invite", "Tea time", "@bob", "--username", "alice");
  await using tail = relay.start("tail", "Tea time", "--username", "bob", "--count", "1", "--json");
  await tail.until("err", /Listening/);
  const sent = await relay.ok(
    "send",
    "Tea time",
    "cake",
    "--username",
    "alice",
    "--wait",
    "delivered",
    "--json",
  );
  assert.equal(objects(sent.out)[0].state, "delivered");
  assert.equal(objects((await tail.outcome()).out)[0].text, "cake");
  await relay.ok("group", "remove", "Tea time", "bob", "--username", "alice");
  const groups = await relay.ok("groups", "--username", "bob", "--json");
  assert.deepEqual(objects(groups.out).map(({ group }) => group), ["#general"]);
  await relay.ok("part", "#general", "--username", "bob");
  const none = await relay.ok("groups", "--username", "bob", "--json");
  assert.equal(none.out, "");
  const unknown = await relay.run("send", "Nowhere", "x", "--username", "alice");
  assert.equal(unknown.code, 1);
  assert.match(unknown.err, /Cannot find "Nowhere".*`arona groups`/);
});

Deno.test("connect --plain: what one types the other reads, and the end of the input waits for the relay", async () => {
  await using relay = await TestRelay.start();
  await using bob = new Arona(relay.home, ["connect", relay.link, "--plain", "--username", "bob"]);
  await bob.until("err", /You are nowhere yet/);
  await bob.type("/join #general\n");
  await bob.until("err", /You are in #general/);
  const alice = relay.start("connect", "--plain", "--username", "alice");
  await alice.type("/join #general\nhello bob\n//not a command\n");
  await bob.until("out", /\d\d:\d\d \[#general\] alice: hello bob\n/);
  await bob.until("out", /alice: \/not a command\n/);
  await bob.type("/reply hello alice\n/react 👍\n");
  await alice.until(
    "out",
    /bob replies to alice “\/not a command”: hello alice\n.*bob reacted with 👍 to alice “\/not a command”\n/s,
  );
  await alice.type("/edit hello, all\n/nonsense\n/msg @bob psst\n");
  const ended = await alice.outcome();
  assert.equal(ended.code, 1, "something failed and the input was a pipe");
  assert.match(ended.err, /Cannot do \/nonsense/);
  assert.doesNotMatch(ended.out, /alice: /, "what was typed is not printed again");
  await bob.until("out", /alice edited “\/not a command”: hello, all\n/);
  await bob.until("out", /\[@alice\] alice has begun to talk with you .*\n.*\[@alice\] alice: psst\n/);
  await bob.type("/history\n/quit\n");
  assert.equal((await bob.outcome()).code, 0);
});

Deno.test("one Ctrl-C that arrives twice is one", async () => {
  await using relay = await TestRelay.start();
  await using tail = relay.start("tail", "#general", "--username", "bob");
  await tail.until("err", /Listening/);
  tail.signal("SIGINT");
  tail.signal("SIGINT");
  assert.equal((await tail.outcome()).code, 0);
});

Deno.test("Ctrl-C and SIGTERM end serve, tail and connect with exit code 0", async () => {
  await using relay = await TestRelay.start();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    await using tail = relay.start("tail", "#general", "--username", `tail-${signal.toLowerCase()}`);
    await tail.until("err", /Listening/);
    tail.signal(signal);
    assert.equal((await tail.outcome()).code, 0);
    assert.equal(tail.out, "");
    await using chat = relay.start("connect", "--plain", "--username", `chat-${signal.toLowerCase()}`);
    await chat.until("err", /You are nowhere yet/);
    chat.signal(signal);
    assert.equal((await chat.outcome()).code, 0);
  }
  relay.process.signal("SIGTERM");
  const { code, err } = await relay.process.outcome();
  assert.equal(code, 0);
  assert.match(err, /relay stopped/);
  assert.doesNotMatch(err, /tail-sigint/, "no names in the log");
});

Deno.test("another relay at the same address is refused, by known profiles and by links", async () => {
  await using relay = await TestRelay.start();
  await relay.ok("join", "#general", "--username", "alice");
  relay.process.signal("SIGTERM");
  await relay.process.outcome();
  const away = await relay.run("send", "#general", "x", "--username", "alice");
  assert.equal(away.code, 1);
  assert.match(away.err, /^arona: Cannot connect to 127\.0\.0\.1:\d+: nothing listens there\. [^\n]+\n$/);
  await using other = await TestRelay.start({ listen: relay.listening.address });
  for (
    const args of [["send", "#general", "x", "--username", "alice"], [
      "join",
      "#general",
      "--username",
      "dora",
    ]]
  ) {
    const { code, out, err } = await relay.run(...args);
    assert.deepEqual([code, out], [1, ""]);
    assert.match(err, /a relay answers there, but not the one this profile knows/);
  }
  const link = await new Arona(relay.home, ["groups", "--username", "alice", "--relay", other.link])
    .outcome();
  assert.equal(link.code, 1);
  assert.match(link.err, /the profile belongs to a relay with another key/);
  const profiles = [...Deno.readDirSync(`${relay.home}/profiles`)].map(({ name }) => name);
  assert.deepEqual(profiles, ["alice"], "nothing is left of a profile that came to nothing");
});

Deno.test("what is typed while the relay is away is kept, and commands that need the relay say so", async () => {
  await using relay = await TestRelay.start();
  await using chat = relay.start("connect", "--plain", "--username", "alice");
  await chat.type("/join #general\n");
  await chat.until("err", /You are in #general/);
  relay.process.signal("SIGTERM");
  await relay.process.outcome();
  await chat.until("err", /The relay is away, trying again …/);
  await chat.type("one\ntwo\n/join #other\n");
  await chat.until("err", /Cannot do that: the relay is away\. The connection is tried again/);
  assert.equal(chat.err.split("kept here until the relay is back").length, 2, "once");
  await using again = await TestRelay.start({ home: relay.home, listen: relay.listening.address });
  await chat.until("err", /Connected again\./);
  await chat.type("/delete\n/quit\n");
  assert.equal((await chat.outcome()).code, 1, "/join has failed");
  const history = await again.ok("history", "#general", "--username", "alice");
  assert.match(history.out, /alice: one\n.*alice deleted a message\n$/);
});

Deno.test("groups of one name get a short id behind it, by which they can be meant", async () => {
  await using relay = await TestRelay.start();
  await relay.ok("group", "create", "plans", "--username", "alice");
  const alone = await relay.ok("groups", "--username", "alice");
  assert.match(alone.out, /^plans {2}group/);
  await relay.ok("group", "create", "plans", "--username", "alice");
  const both = (await relay.ok("groups", "--username", "alice")).out;
  const [first, second] = [...both.matchAll(/^plans \[([0-9a-f]{8})\] {2}group/gm)].map((match) => match[1]);
  assert.notEqual(first, second);
  assert.equal((await relay.run("send", "plans", "x", "--username", "alice")).code, 1);
  await relay.ok("send", second, "to the second", "--username", "alice");
  const history = await relay.ok("history", second, "--username", "alice");
  assert.match(history.out, new RegExp(`\\[plans\\] \\[${second}\\] alice: to the second\n$`));
});

Deno.test("id shows the relay's fingerprint as it stands in the link, verify refuses strangers and oneself", async () => {
  await using relay = await TestRelay.start();
  await relay.ok("join", "#general", "--username", "alice");
  const [identity] = objects((await relay.ok("id", "--username", "alice", "--json")).out);
  const { fingerprint, fingerprintHex, endpoints } = identity.relay as Record<string, unknown>;
  assert.equal(fingerprint, relay.link.split("#")[1]);
  assert.match(String(fingerprintHex), /^[0-9a-f]{64}$/);
  assert.deepEqual(endpoints, [relay.listening.address]);
  assert.ok((await relay.ok("id", "--username", "alice")).out.includes(`relay key    ${fingerprint}\n`));
  const nobody = await relay.run("verify", "nobody", "--username", "alice");
  assert.equal(nobody.code, 1);
  assert.match(nobody.err, /^arona: Cannot find @nobody: nobody on this relay has that name/m);
  const self = await relay.run("verify", "alice", "--username", "alice");
  assert.equal(self.code, 2);
  assert.match(self.err, /Cannot verify alice: that is you/);
  relay.process.signal("SIGTERM");
  await relay.process.outcome();
  const away = await relay.run("verify", "nobody", "--username", "alice");
  assert.equal(away.code, 1);
  assert.match(away.err, /Cannot find @nobody: this profile has not met them, and the relay is away/);
});

Deno.test("tail outlives a restart of the relay", async () => {
  await using relay = await TestRelay.start();
  await using tail = relay.start("tail", "#general", "--username", "bob", "--count", "1");
  await tail.until("err", /Listening/);
  relay.process.signal("SIGTERM");
  await relay.process.outcome();
  await tail.until("err", /The relay is away, trying again …/);
  await using again = await TestRelay.start({ home: relay.home, listen: relay.listening.address });
  assert.equal(again.link, relay.link, "the same relay");
  await tail.until("err", /Connected again\./);
  await again.ok("send", "#general", "back", "--username", "alice");
  const { code, out } = await tail.outcome();
  assert.equal(code, 0);
  assert.match(out, /alice: back\n$/);
});

Deno.test("a name that is taken is refused, and the profile made for it goes again", async () => {
  await using relay = await TestRelay.start();
  await relay.ok("join", "#general", "--username", "alice");
  const taken = await relay.run("join", "#general", "--username", "alice", "--profile", "second");
  assert.equal(taken.code, 1);
  assert.match(taken.err, /arona: Cannot log in: the relay refused this account/);
  const again = await relay.run("join", "#general", "--username", "alicia", "--profile", "second");
  assert.equal(again.code, 0, again.err);
});

Deno.test("a profile with a passphrase: right, wrong, missing, and in use", async () => {
  await using relay = await TestRelay.start();
  const arona = (env: Record<string, string>, ...args: string[]) =>
    new Arona(relay.home, [...args, "--relay", relay.link, "--username", "alice"], { env });
  const right = { ARONA_PASSPHRASE: "correct horse" };
  const joined = await arona(right, "join", "#general").outcome();
  assert.equal(joined.code, 0, joined.err);
  assert.doesNotMatch(joined.err, /no passphrase/);
  const wrong = await arona({ ARONA_PASSPHRASE: "battery staple" }, "id").outcome();
  assert.equal(wrong.code, 1);
  assert.match(wrong.err, /the passphrase is wrong/);
  const missing = await arona({}, "id").outcome();
  assert.equal(missing.code, 1);
  assert.match(missing.err, /there is no terminal to ask for it\. Set ARONA_PASSPHRASE/);
  await using tail = arona(right, "tail", "#general");
  await tail.until("err", /Listening/);
  const second = await arona(right, "id").outcome();
  assert.equal(second.code, 1);
  assert.match(second.err, /process \d+ has it open/);
});

Deno.test("an invite-only relay lets in who has an invite, once", async () => {
  await using relay = await TestRelay.start({ args: ["--invite-only"] });
  const arona = (...args: string[]) => new Arona(relay.home, args).outcome();
  const refused = await relay.run("join", "#general", "--username", "alice");
  assert.equal(refused.code, 1);
  assert.match(refused.err, /--invite/);
  const made = await arona("invite");
  assert.equal(made.code, 0, made.err);
  const link = made.out.trim();
  assert.equal(link.replace(/\/invite\/[a-z2-9]{15}#/, "#"), relay.link, "the one thing to pass on");
  assert.match(made.err, /one new account in until .*: arona connect 'LINK'/);
  const alice = await arona("join", "#general", "--relay", link, "--username", "alice");
  assert.equal(alice.code, 0, alice.err);
  for (const args of [["--relay", link], ["--relay", relay.link, "--invite", link]]) {
    const again = await arona("join", "#general", ...args, "--username", "bob");
    assert.equal(again.code, 1);
    assert.match(again.err, /this invite has been used already\. .*Ask whoever runs the relay for another/);
  }
  await relay.ok("send", "#general", "still here", "--username", "alice");
});

Deno.test("invites are made in numbers, listed and revoked, beside the relay and without it", async () => {
  await using relay = await TestRelay.start({ args: ["--invite-only"] });
  const arona = (...args: string[]) => new Arona(relay.home, args).outcome();
  const objects = ({ out }: { out: string }) => out.trimEnd().split("\n").map((line) => JSON.parse(line));
  const made = objects(await arona("invite", "--count", "3", "--expires", "12h", "--json"));
  assert.equal(new Set(made.map(({ code }) => code)).size, 3);
  for (const { type, code, link, expires } of made) {
    assert.equal(type, "Invite");
    assert.ok(link.includes(`/invite/${code}#`));
    const hours = (Date.parse(expires) - Date.now()) / 3_600_000;
    assert.ok(hours > 11.9 && hours <= 12, `${hours}`);
  }
  const [{ link: used }, { code: byCode }, { id: byId }] = made;
  assert.equal((await arona("join", "#general", "--relay", used, "--username", "alice")).code, 0);
  assert.match((await arona("invite", "revoke", byCode)).err, /lets nobody in any more/);
  const listed = objects(await arona("invite", "list", "--json"));
  assert.deepEqual(listed.map(({ state, usedBy }) => [state, usedBy]), [
    ["used", "alice"],
    ["revoked", null],
    ["waiting", null],
  ]);
  const { out, err } = await arona("invite", "list");
  assert.doesNotMatch(out + err, new RegExp(byCode), "codes are not kept");
  assert.match(
    out.replaceAll("  ", " "),
    /^[0-9a-f]{8} used by alice\n[0-9a-f]{8} revoked\n[0-9a-f]{8} waiting until \d{4}-/,
  );
  const revoked = await arona(
    "join",
    "#general",
    "--relay",
    relay.link,
    "--username",
    "bob",
    "--invite",
    byCode,
  );
  assert.match(revoked.err, /this invite has been taken back/);

  relay.process.signal("SIGTERM");
  assert.equal((await relay.process.outcome()).code, 0);
  assert.equal((await arona("invite", "revoke", byId.slice(0, 8))).code, 0);
  for (
    const [invite, expected] of [[used, /used by alice/], [byCode, /it is revoked/], [
      "abcdef",
      /no such one/,
    ]] as const
  ) {
    const { code, err } = await arona("invite", "revoke", invite);
    assert.equal(code, 1);
    assert.match(err, expected);
  }
  const offline = await arona("invite");
  assert.match(offline.out, /^[a-z2-9]{15}\n$/);
  assert.match(offline.err, /The relay does not run/);
  for (const args of [["--expires", "forever"], ["--expires", "367d"], ["--count", "10001"]]) {
    assert.equal((await arona("invite", ...args)).code, 2, args.join(" "));
  }
});

Deno.test("serve says clearly why it cannot start", async () => {
  await using relay = await TestRelay.start();
  const { address } = relay.listening;
  const cases: [string[], RegExp][] = [
    [["--listen", address, "--data", `${relay.home}/second`], /the port is in use/],
    [["--listen", "127.0.0.1:0"], /Cannot use data folder .*: another relay uses it/],
    [["--listen", "127.0.0.1:0", "--data", "/dev/null/relay"], /Cannot use data folder \/dev\/null\/relay/],
    [
      ["--listen", "203.0.113.1:7700", "--data", `${relay.home}/third`],
      /Cannot listen on 203\.0\.113\.1:7700/,
    ],
  ];
  for (const [args, expected] of cases) {
    const { code, out, err } = await new Arona(relay.home, ["serve", ...args]).outcome();
    assert.deepEqual([code, out], [1, ""], err);
    assert.match(err, expected);
    assert.match(err.trimEnd().split("\n").at(-1)!, /^arona: Cannot /);
  }
  const missing = await new Arona(relay.home, ["invite", "--data", `${relay.home}/nothing`]).outcome();
  assert.equal(missing.code, 1);
  assert.match(missing.err, /there is no relay in/);
});

Deno.test("the link names the first public address", async () => {
  await using given = await TestRelay.start({ args: ["--public-address", "chat.example.org:7700"] });
  assert.match(given.link, /^arona:\/\/chat\.example\.org:7700#[\w-]{43}$/);
});

Deno.test("a reader that goes away ends the command without a word", async () => {
  await using relay = await TestRelay.start();
  await relay.ok("join", "#general", "--username", "bob");
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-check",
      new URL("../../main.ts", import.meta.url).pathname,
      "tail",
      "--username",
      "bob",
    ],
    env: { ARONA_HOME: relay.home },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  await child.stdout.cancel();
  await relay.ok("send", "#general", "nobody reads this", "--username", "alice");
  const { code } = await child.status;
  const err = await new Response(child.stderr).text();
  assert.equal(code, 0, err);
  assert.doesNotMatch(err, /arona:|Broken/);
});

Deno.test("serve --mailbox disk: what was sent before the relay was killed comes without its sender", async () => {
  await using relay = await TestRelay.start({ args: ["--mailbox", "disk"] });
  await relay.ok("join", "#general", "--username", "alice");
  await relay.ok("join", "#general", "--username", "bob");
  for (const text of ["one", "two"]) await relay.ok("send", "#general", text, "--username", "alice");
  relay.process.signal("SIGKILL");
  await relay.process.outcome();
  await Deno.remove(`${relay.home}/profiles/alice`, { recursive: true });
  const { address: listen } = relay.listening;
  await using again = await TestRelay.start({ home: relay.home, listen, args: ["--mailbox", "disk"] });
  const { out } = await again.ok("tail", "#general", "--username", "bob", "--count", "2", "--json");
  assert.deepEqual(objects(out).map(({ type, text }) => [type, text]), [
    ["MsgCreated", "one"],
    ["MsgCreated", "two"],
  ]);
  again.process.signal("SIGINT");
  assert.equal((await again.process.outcome()).code, 0);
  const files = () => [...Deno.readDirSync(`${relay.home}/relay`)].map(({ name }) => name);
  assert.equal(files().includes("mailbox.db"), true);
  await using memory = await TestRelay.start({ home: relay.home });
  assert.deepEqual(
    files().filter((name) => name.startsWith("mailbox.db")),
    [],
    "without the option nothing stays",
  );
  await memory.ok("send", "#general", "three", "--username", "bob");
});
