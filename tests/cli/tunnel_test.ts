/** `arona serve --tunnel` as people run it: processes, a real OpenSSH server, and links that are followed. */

import assert from "node:assert/strict";
import { type Endpoint, parseEndpoint, selectProvider, utf8, verifyDocument } from "../../proto/mod.ts";
import { type GithubStandIn, startGithub } from "../helpers/github.ts";
import { openSsh, SshServer } from "../helpers/sshd.ts";
import { standInAgents } from "../helpers/stand_in_agents.ts";
import { Arona } from "./processes.ts";

/** A relay whose announcements can be waited for, one after the other. */
class Serving implements AsyncDisposable {
  readonly #process: Arona;
  readonly #taken = new Map<string, number>();

  constructor(readonly home: string, args: readonly string[], env: Readonly<Record<string, string>>) {
    this.#process = new Arona(home, ["serve", "--json", ...args], { env });
  }

  /** The next object on stdout of a type; those of different types come in any order. */
  async next(type: "Listening" | "Published" | "Address"): Promise<Record<string, string>> {
    const number = (this.#taken.get(type) ?? 0) + 1;
    this.#taken.set(type, number);
    const upToIt = new RegExp(`(?:[^]*?^(\\{"type":"${type}".*)\n){${number}}`, "m");
    const [, line] = await this.#process.until("out", upToIt);
    return JSON.parse(line);
  }

  logged(pattern: RegExp): Promise<RegExpExecArray> {
    return this.#process.until("err", pattern);
  }

  get log(): string {
    return this.#process.err;
  }

  /** Ctrl-C. */
  async end(): Promise<number> {
    this.#process.signal("SIGINT");
    return (await this.#process.outcome()).code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }
}

openSsh.test("arona serve --tunnel ssh: the link that it prints lets people in, and a tunnel that dies comes back, elsewhere too", async () => {
  await using home = await folder();
  await using ssh = await SshServer.start();
  const env = { PATH: `${ssh.bin}:${Deno.env.get("PATH")}`, ARONA_PASSPHRASE: "" };
  await using relay = new Serving(home.path, ["--listen", "127.0.0.2:0", "--tunnel", ssh.spec], env);
  const listening = await relay.next("Listening");
  const first = await relay.next("Address");
  const { port } = parseEndpoint(listening.address);
  assert.equal(first.address, `127.0.0.1:${port}`);
  assert.ok(first.link.startsWith(`arona://127.0.0.1:${port}#`), first.link);

  await done(home.path, "send", "#general", "hello", "--username", "alice", "--relay", first.link);
  const status = await done(home.path, "status", "--json");
  assert.deepEqual(JSON.parse(status).tunnel, { up: true, address: first.address });

  await ssh.kill();
  const [, reason] = await relay.logged(/warning (Cannot keep tunnel ssh:[^\n]*)/);
  assert.match(reason, /Connection to 127\.0\.0\.1 closed by remote host|reset/);
  assert.match(
    JSON.parse(await done(home.path, "status", "--json")).tunnel.reason,
    /^Cannot (keep|open) tunnel ssh:/,
  );
  using _taken = Deno.listen({ hostname: "127.0.0.1", port });
  await ssh.open();
  const second = await relay.next("Address");
  assert.notEqual(second.address, first.address);
  await done(home.path, "send", "#general", "hello", "--username", "bob", "--relay", second.link);

  assert.equal(await relay.end(), 0);
  await ssh.logged(/Received disconnect|Disconnected from user/);
  assert.ok(!relay.log.includes(" error "), relay.log);
});

openSsh.test("a client follows a relay whose tunnel comes back elsewhere, by the Gist that is published again", async () => {
  await using home = await folder();
  await using ssh = await SshServer.start();
  await using github = await startGithub();
  const env = {
    PATH: `${ssh.bin}:${Deno.env.get("PATH")}`,
    GITHUB_TOKEN: github.addUser("octocat"),
    ARONA_GITHUB_API: github.url,
  };
  const args = ["--listen", "127.0.0.2:0", "--publish-gist", "--tunnel", ssh.spec];
  await using relay = new Serving(home.path, args, env);
  const { address: own } = await relay.next("Listening");
  const { link } = await relay.next("Published");
  const { address: first } = await relay.next("Address");
  await inGist(github, first);
  await using friend = new Arona(`${home.path}/friend`, ["connect", "--plain", link, "--username", "alice"], {
    env: { ARONA_GITHUB_API: github.url, ARONA_PASSPHRASE: "" },
  });
  await friend.type("/join #general\n");
  await friend.until("out", /#general/);

  await ssh.kill();
  await using _taken = somebodyElse(parseEndpoint(first));
  await ssh.open();
  const { address: second } = await relay.next("Address");
  assert.ok(second !== first && second !== own);
  await friend.until("out", new RegExp(`The relay has moved to ${second} \\(found by gist:`));
  await friend.type("still here\n/quit\n");
  const { code, err } = await friend.outcome();
  assert.equal(code, 0, err);
  assert.equal(await relay.end(), 0);
});

openSsh.test("arona serve --tunnel ssh: when the relay is killed, ssh ends with it", async () => {
  await using home = await folder();
  await using ssh = await SshServer.start();
  const env = { PATH: `${ssh.bin}:${Deno.env.get("PATH")}` };
  {
    await using relay = new Serving(home.path, ["--listen", "127.0.0.2:0", "--tunnel", ssh.spec], env);
    await relay.next("Address");
  } // SIGKILL
  await ssh.logged(/Received disconnect|Disconnected from user/);
});

openSsh.test("arona serve --tunnel ssh: a key that the server does not know is said in the log, and the relay goes on", async () => {
  await using home = await folder();
  await using ssh = await SshServer.start();
  await ssh.useStrangersKey();
  const env = { PATH: `${ssh.bin}:${Deno.env.get("PATH")}`, ARONA_PASSPHRASE: "" };
  await using relay = new Serving(home.path, ["--listen", "127.0.0.2:0", "--tunnel", ssh.spec], env);
  const { link } = await relay.next("Listening");
  await relay.logged(
    /warning Cannot open tunnel ssh:\S+: the server does not let this user in .*authorized_keys/,
  );
  await done(home.path, "send", "#general", "hello", "--username", "alice", "--relay", link);
});

Deno.test("arona serve --tunnel bore: an address that was given stays in the document, behind the tunnel's", async () => {
  await using home = await folder();
  await using agents = await standInAgents();
  const env = { PATH: agents.bin, ARONA_TUNNEL: "bore:127.0.0.1", ARONA_PASSPHRASE: "" };
  const args = ["--listen", "127.0.0.1:0", "--public-address", "chat.example.org:7700"];
  await using relay = new Serving(home.path, args, env);
  assert.ok((await relay.next("Listening")).link.startsWith("arona://chat.example.org:7700#"));
  const { address, link } = await relay.next("Address");
  assert.ok(link.startsWith(`arona://${address}#`));
  await done(home.path, "send", "#general", "hello", "--username", "alice", "--relay", link);
  assert.equal(await relay.end(), 0);
});

Deno.test("arona serve --tunnel: the program sees none of the relay's secrets", async () => {
  await using home = await folder();
  const out = `${home.path}/environment`;
  await Deno.mkdir(`${home.path}/bin`);
  const script = `#!/bin/sh\n/usr/bin/env > ${out}.part && /bin/mv ${out}.part ${out}\n`;
  await Deno.writeTextFile(`${home.path}/bin/bore`, script, { mode: 0o755 });
  const env = {
    PATH: `${home.path}/bin`,
    HOME: home.path,
    BORE_SECRET: "shared",
    GITHUB_TOKEN: "ghp_secret",
    ARONA_PASSPHRASE: "secret",
    ARONA_TUNNEL: "bore",
  };
  await using relay = new Serving(home.path, ["--listen", "127.0.0.1:0"], env);
  await relay.logged(/warning Cannot open tunnel bore: bore has ended \(exit code 0\)/);
  const seen = Object.fromEntries(
    (await Deno.readTextFile(out)).trim().split("\n").map((line) => line.split("=")),
  );
  for (const name of ["PWD", "_", "SHLVL", "OLDPWD"]) delete seen[name]; // the shell's own
  assert.deepEqual(Object.keys(seen).toSorted(), [
    ...["BORE_SECRET", "HOME", "NO_COLOR", "PATH"],
    ...(Deno.env.has("USER") ? ["USER"] : []),
  ]);
});

Deno.test("arona serve --tunnel: what is no tunnel, and a program that is not here, end the command with words", async () => {
  await using home = await folder();
  const serve = (tunnel: string) =>
    new Arona(home.path, ["serve", "--listen", "127.0.0.1:0", "--tunnel", tunnel], {
      env: { PATH: "/nowhere" },
    })
      .outcome();
  const option = await serve("ssh:-oProxyCommand=sh@host");
  assert.deepEqual([option.code, option.out], [2, ""]);
  assert.match(option.err, /^arona: Cannot use tunnel "ssh:-oProxyCommand=sh@host": .*Write ssh:USER@HOST/);
  const missing = await serve("ngrok");
  assert.equal(missing.code, 1);
  assert.match(
    missing.err,
    /Cannot open tunnel ngrok: there is no program ngrok in PATH\. Get it from https:\/\/ngrok/,
  );
});

/** Another service at an address: it hangs up on whoever comes. */
function somebodyElse(endpoint: Endpoint): AsyncDisposable {
  const listener = Deno.listen(endpoint);
  const serving = (async () => {
    for await (const connection of listener) connection.close();
  })();
  return {
    async [Symbol.asyncDispose]() {
      listener.close();
      await serving;
    },
  };
}

/** Resolves when the one Gist has a document that says `address`. */
async function inGist(github: GithubStandIn, address: string): Promise<void> {
  const crypto = await selectProvider();
  for (let seen = github.requests.length;; seen++) {
    const [gist] = github.gists.values();
    const document = await verifyDocument(crypto, utf8(gist.files.get("arona.json")!), { nowMs: Date.now() });
    if (document.endpoints.join() === address) return;
    await github.seen(seen);
    await github.requests.at(-1)?.answered;
  }
}

/** Runs a command that has to succeed. @returns what it prints */
async function done(home: string, ...args: string[]): Promise<string> {
  const { code, out, err } = await new Arona(home, args, { env: { ARONA_PASSPHRASE: "" } }).outcome();
  assert.equal(code, 0, `${args.join(" ")}: ${err}`);
  return out;
}

async function folder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir({ prefix: "arona-tunnel-" });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}
