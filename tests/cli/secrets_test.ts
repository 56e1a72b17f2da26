/** A whole life of a relay and its people at the most talkative level: nothing secret is in any log or output, nobody's name in the relay's. */

import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { readControlFile } from "../../cli/control/control_file.ts";
import { Arona, type Outcome, TestRelay } from "./processes.ts";
import { githubApi, startGithub } from "../helpers/github.ts";
import { temporaryFolder } from "./test_io.ts";

const PASSPHRASE = "correct horse battery staple";
const WRONG_PASSPHRASE = "incorrect donkey";
const TEXTS = ["the cake is in the kitchen", "no it is not"];

/** What was printed, by whom. */
interface Printed {
  readonly who: string;
  readonly text: string;
}

/** The forms that bytes can have in a text, and a beginning of each: enough to recognise it, too long to come about by chance. */
function formsOf(bytes: Uint8Array): string[] {
  const head = bytes.subarray(0, 24);
  const base64 = btoa(String.fromCharCode(...head));
  return [
    [...head].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
    base64,
    base64.replaceAll("+", "-").replaceAll("/", "_"),
    [...head].join(","), // as an array prints
    [...head].join(", "),
  ];
}

function relayKeys(path: string): Uint8Array[] {
  const database = new DatabaseSync(path);
  try {
    return ["identity", "relay_keys"].flatMap((table) =>
      database.prepare(`SELECT private_key FROM ${table}`).all().map((row) => row.private_key as Uint8Array)
    );
  } finally {
    database.close();
  }
}

githubApi.test("no token, key, passphrase, invite code or text is in any log or output, at debug level and through errors", async () => {
  await using places = await temporaryFolder();
  const home = await Deno.makeTempDir({ prefix: "arona-e2e-" });
  const printed: Printed[] = [];
  await using github = await startGithub();
  const token = github.addUser("octocat");
  const secrets = new Map<string, readonly string[]>([
    ["passphrase", [PASSPHRASE]],
    ["wrong passphrase", [WRONG_PASSPHRASE]],
    ["GitHub token", [token]],
    ["text", TEXTS],
  ]);
  const env = {
    ARONA_DEBUG: "1",
    ARONA_PASSPHRASE: PASSPHRASE,
    GITHUB_TOKEN: token,
    ARONA_GITHUB_API: github.url,
  };
  const run = async (args: readonly string[], more: Record<string, string> = {}): Promise<Outcome> => {
    const outcome = await new Arona(home, args, { env: { ...env, ...more } }).outcome();
    printed.push({ who: args.join(" "), text: outcome.err });
    return outcome;
  };
  const relayArgs = [
    "--invite-only",
    "--log-level",
    "debug",
    "--log-format",
    "json",
    "--metrics",
    "0",
    "--publish-gist",
  ];
  github.next({ kind: "status", status: 500, message: `cannot cope with ${token}` });
  {
    await using relay = await TestRelay.start({ home, args: relayArgs, env });
    const client = (...args: string[]) => [...args, "--relay", relay.link, "--json"];
    const invites = await Promise.all([1, 2, 3].map(async () => {
      const { out } = await new Arona(home, ["invite", "--json"], { env }).outcome();
      return String(JSON.parse(out).code); // the link would be found as a whole only
    }));
    assert.equal(new Set(invites).size, 3);
    secrets.set("invite", invites);
    secrets.set("control token", [(await readControlFile(`${home}/relay`))!.token]);

    // What goes well: registration, messages, a group.
    const join = await run(client("join", "#general", "--username", "alice", "--invite", invites[0]));
    assert.equal(join.code, 0, join.err);
    await using tail = new Arona(
      home,
      client("tail", "#general", "--username", "bob", "--invite", invites[1]),
      { env },
    );
    await tail.until("err", /Listening/);
    for (const text of TEXTS) {
      assert.equal((await run(client("send", "#general", text, "--username", "alice"))).code, 0);
    }
    await tail.until("out", new RegExp(TEXTS[1]));
    assert.equal((await run(client("group", "create", "plans", "--username", "alice"))).code, 0);
    // What does not.
    const asInvited = ["--username", "carol", "--invite"];
    assert.equal((await run(client("join", "#general", ...asInvited, invites[0]))).code, 1);
    assert.equal((await run(client("join", "#general", ...asInvited, "abcdefghjkmnpqr"))).code, 1);
    secrets.set("wrong invite", ["abcdefghjkmnpqr"]);
    assert.equal(
      (await run(client("groups", "--username", "alice"), { ARONA_PASSPHRASE: WRONG_PASSPHRASE })).code,
      1,
    );
    assert.equal((await run(client("send", "#nowhere!", TEXTS[0], "--username", "alice"))).code, 2);
    assert.equal((await run(client("send", "nobody's group", TEXTS[0], "--username", "alice"))).code, 1);
    // The operator.
    for (
      const args of [
        ["status"],
        ["admin", "limits", "--message-burst", "50"],
        ["admin", "kick", "bob"],
        ["admin", "ban", "bob"],
        ["admin", "bans"],
        ["config", "--json"],
        ["doctor", "--data", `${home}/relay`],
        ["backup", `${places.path}/relay.tar`, "--data", `${home}/relay`],
        ["backup", `${places.path}/alice.tar`, "--profile", "alice"],
      ]
    ) {
      const outcome = await run(args);
      assert.equal(outcome.code, 0, `${args.join(" ")}: ${outcome.err}`);
      printed.push({ who: `${args.join(" ")} (stdout)`, text: outcome.out });
    }
    assert.equal((await run(["restore", `${places.path}/alice.tar`])).code, 1);
    await tail.outcome();
    printed.push({ who: "tail", text: tail.err.replaceAll(/.*Listening.*/g, "") });
    const { address } = JSON.parse((await relay.process.until("out", /\{"type":"Metrics".*\n/))[0]);
    printed.push({ who: "metrics", text: await (await fetch(`http://${address}/metrics`)).text() });
    await relay.process.until("out", /"PublishFailed"/);
    relay.process.signal("SIGHUP");
    await relay.process.until("err", /reload_failed/);
    relay.process.signal("SIGTERM");
    const { code, out, err } = await relay.process.outcome();
    assert.equal(code, 0);
    printed.push({ who: "serve", text: out + err });
    assert.match(err, /"event":"session_ended"/, "it does talk");
    assert.match(err, /"reason":"auth_failed"/);
    for (const name of ["alice", "bob", "carol", "general", "plans"]) {
      assert.equal(err.includes(name), false, `the relay's log has ${name}`);
    }
    secrets.set("relay key", relayKeys(`${home}/relay/relay.db`).flatMap(formsOf));
  }
  let texts = 0;
  for (const { who, text } of printed) {
    texts += text.length;
    for (const [what, forms] of secrets) {
      for (const form of forms) {
        assert.equal(text.includes(form), false, `${what} in what ${who} prints:\n${text}`);
      }
    }
  }
  assert.ok(texts > 5_000 && printed.length > 20, "there was something to look at");
});

Deno.test("at the default level the relay's log names nobody and no address but its own", async () => {
  await using relay = await TestRelay.start();
  await relay.ok("send", "#general", TEXTS[0], "--username", "alice");
  assert.equal((await new Arona(relay.home, ["admin", "ban", "alice"]).outcome()).code, 0);
  relay.process.signal("SIGTERM");
  const { err } = await relay.process.outcome();
  assert.match(err, /account banned, 0 sessions ended/);
  const rest = err.replaceAll(relay.listening.address, "");
  assert.doesNotMatch(rest, /alice|general|\d+\.\d+\.\d+\.\d+|session started/);
});
