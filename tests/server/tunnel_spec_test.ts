/** What `--tunnel` takes, and what each agent's output means. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { isAronaError, parseEndpoint } from "../../proto/mod.ts";
import type { AgentNews } from "../../server/tunnel/agent.ts";
import { agentOf, environmentOf, formatTunnelSpec, parseTunnelSpec } from "../../server/tunnel/mod.ts";

const LOCAL = { hostname: "127.0.0.1", port: 7700 };

Deno.test("parseTunnelSpec() reads every form, and formatTunnelSpec() writes it back", () => {
  const ssh = { kind: "ssh", user: "me", host: "vps.example.org", port: null, reachedAt: null };
  const forms: [string, unknown][] = [
    ["ngrok", { kind: "ngrok" }],
    ["bore", { kind: "bore", host: "bore.pub" }],
    ["bore:bore.example.org", { kind: "bore", host: "bore.example.org" }],
    ["bore:[2001:db8::7]", { kind: "bore", host: "2001:db8::7" }],
    ["ssh:me@vps.example.org", ssh],
    ["ssh:me@vps.example.org:2222", { ...ssh, port: 2222 }],
    ["ssh:me@[2001:db8::7]:22", { ...ssh, host: "2001:db8::7", port: 22 }],
    ["ssh:me@My_vps=chat.example.org", {
      ...ssh,
      host: "My_vps", // of ~/.ssh/config
      reachedAt: { host: "chat.example.org", port: null },
    }],
    ["ssh:me@vps.example.org:22=[::1]:443", { ...ssh, port: 22, reachedAt: { host: "::1", port: 443 } }],
  ];
  for (const [text, spec] of forms) {
    assert.deepEqual(parseTunnelSpec(text), spec, text);
    assert.equal(formatTunnelSpec(parseTunnelSpec(text)), text);
  }
});

Deno.test("parseTunnelSpec() refuses whatever an agent could take for an option, and says how to write it", () => {
  const refused = [
    "",
    "ssh",
    "ssh:",
    "ssh:host",
    "ssh:@host",
    "ssh:me@",
    "ssh:-oProxyCommand=sh@host",
    "ssh:me@-oProxyCommand=sh",
    "ssh:me@-v",
    "ssh:-l@host",
    "ssh:me@host -v",
    "ssh:me me@host",
    "ssh:me@host\n",
    "ssh:me@ho\u0000st",
    "ssh:me@host;reboot",
    "ssh:me@$(reboot)",
    "ssh:me@host%h",
    "ssh:me@host:0",
    "ssh:me@host:65536",
    "ssh:me@host:x",
    "ssh:me@2001:db8::7",
    "ssh:me@[host]",
    "ssh:me@[2001:db8::7",
    "ssh:me@host=",
    "ssh:me@host=-x",
    "ssh:me@host=a=b",
    "ssh:me@hoſt",
    "bore:",
    "bore:-h",
    "bore:host:7835",
    "bore:a b",
    "ngrok:x",
    "Ngrok",
    "cloudflared",
    `ssh:me@${"a".repeat(254)}`,
    `ssh:${"u".repeat(65)}@host`,
  ];
  for (const text of refused) {
    assert.throws(
      () => parseTunnelSpec(text),
      (error) =>
        isAronaError(error, "USAGE") && /^Cannot use tunnel /.test(error.message) && error.hint !== undefined,
      JSON.stringify(text),
    );
  }
});

Deno.test("parseTunnelSpec(): whatever it takes, the host and the user stand alone after -l and --", () => {
  const parts = fc.constantFrom(
    "ssh:",
    "bore:",
    "-",
    "--",
    "@",
    ":",
    "=",
    "[",
    "]",
    "::1",
    "a",
    "me",
    "host",
    "7",
    " ",
    "\t",
    "%",
    "$",
  );
  fc.assert(fc.property(fc.array(parts, { maxLength: 10 }), (pieces) => {
    let spec;
    try {
      spec = parseTunnelSpec(pieces.join(""));
    } catch (error) {
      return assert.ok(isAronaError(error, "USAGE"));
    }
    const { args } = agentOf(spec).start({ local: LOCAL, port: 7700 });
    assert.deepEqual(parseTunnelSpec(formatTunnelSpec(spec)), spec);
    if (spec.kind === "ssh") {
      assert.deepEqual(args.slice(-2), ["--", spec.host]);
      assert.match(args[args.indexOf("-l") + 1], /^[A-Za-z0-9_]/);
    } else if (spec.kind === "bore") assert.match(args[args.indexOf("--to") + 1], /^[A-Za-z0-9:]/);
  }));
});

Deno.test("ssh asks for the relay's own port, on every address of the server, and never asks a person", () => {
  const agent = agentOf(parseTunnelSpec("ssh:me@vps.example.org:2222"));
  assert.equal(agent.firstPort(LOCAL), 7700);
  assert.equal(agent.firstPort({ ...LOCAL, port: 443 }), 0, "ports under 1024 are root's there");
  const { args, presumed } = agent.start({ local: LOCAL, port: 7700 });
  assert.deepEqual(presumed, parseEndpoint("vps.example.org:7700"));
  assert.equal(args[args.indexOf("-R") + 1], "0.0.0.0:7700:127.0.0.1:7700");
  assert.deepEqual(args.slice(-6), ["-l", "me", "-p", "2222", "--", "vps.example.org"]);
  for (const option of ["BatchMode=yes", "StrictHostKeyChecking=accept-new", "ExitOnForwardFailure=yes"]) {
    assert.equal(args[args.indexOf(option) - 1], "-o");
  }
  const windows = agentOf(parseTunnelSpec("ssh:me@vps"), { windows: true }).start({ local: LOCAL, port: 0 });
  assert.equal(windows.args.some((arg) => arg.startsWith("LocalCommand")), false, "there is no /bin/sh");
  assert.equal(windows.presumed, null);
});

Deno.test("ssh: a public port that is given is the one that is asked for, and no other", () => {
  const agent = agentOf(parseTunnelSpec("ssh:me@vps=chat.example.org:443"));
  assert.equal(agent.firstPort(LOCAL), 443);
  assert.equal(agent.portMayChange, false);
  const six = agentOf(parseTunnelSpec("ssh:me@[2001:db8::7]")).start({
    local: { hostname: "::1", port: 7700 },
    port: 7700,
  });
  assert.equal(six.args[six.args.indexOf("-R") + 1], "[::]:7700:[::1]:7700");
});

Deno.test("ssh: its words become an address or a failure that says what to do", () => {
  const read = reader("ssh:me@vps.example.org", 0);
  assert.deepEqual(read("Allocated port 38895 for remote forward to 127.0.0.1:7700"), {
    kind: "address",
    endpoint: { hostname: "vps.example.org", port: 38895 },
  });
  const failures: [string, string, RegExp][] = [
    ["me@vps.example.org: Permission denied (publickey,password).", "not_authenticated", /authorized_keys/],
    [
      "Received disconnect from 192.0.2.7 port 22:2: Too many authentication failures",
      "not_authenticated",
      /IdentitiesOnly/,
    ],
    ["Host key verification failed.", "host_key", /ssh-keygen -R/],
    ["@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @", "host_key", /ssh-keygen -R/],
    ["Error: remote port forwarding failed for listen port 0", "refused", /AllowTcpForwarding/],
    ["command-line: line 0: Bad configuration option: foo", "not_installed", /OpenSSH/],
    ["ssh: Could not resolve hostname vps.example.org: Name or service not known", "unreachable", /^$/],
    ["ssh: connect to host vps.example.org port 22: Connection refused", "unreachable", /^$/],
    ["kex_exchange_identification: Connection closed by remote host", "unreachable", /^$/],
    ["Timeout, server vps.example.org not responding.", "unreachable", /^$/],
    ["client_loop: send disconnect: Broken pipe", "unreachable", /^$/],
  ];
  for (const [line, reason, hint] of failures) {
    const news = read(line);
    assert.ok(news?.kind === "failure", line);
    assert.equal(news.failure.reason, reason, line);
    assert.match(news.failure.hint ?? "", hint, line);
    assert.notEqual(news.otherPort, true);
  }
  const taken = reader("ssh:me@vps", 7700)("Error: remote port forwarding failed for listen port 7700");
  assert.equal(taken?.kind === "failure" && taken.otherPort, true);
  for (
    const line of [
      "Warning: Permanently added 'vps' (ED25519) to the list of known hosts.",
      "Welcome",
      "Allocated port x",
    ]
  ) {
    assert.equal(read(line), null);
  }
});

Deno.test("bore: its log line becomes an address of the server that was asked", () => {
  const read = reader("bore:bore.example.org", 0);
  assert.deepEqual(
    read("2024-01-15T12:00:00.000000Z  INFO bore_cli::client: listening at bore.example.org:12345"),
    {
      kind: "address",
      endpoint: { hostname: "bore.example.org", port: 12345 },
    },
  );
  assert.equal(
    read("2024-01-15T12:00:00.000000Z  INFO bore_cli::client: connected to server remote_port=12345"),
    null,
  );
  assert.equal(read("2024-01-15T12:00:01.000000Z  INFO proxy{id=1}: bore_cli::client: new connection"), null);
  const failures: [string, string, boolean][] = [
    ["Error: could not connect to bore.example.org:7835", "unreachable", false],
    ["Error: server requires authentication, but no client secret was provided", "not_authenticated", false],
    ["Error: server error: invalid secret", "not_authenticated", false],
    ["Error: server error: failed to find an available port", "quota", false],
    ["Error: server error: port already in use", "refused", false],
  ];
  for (const [line, reason, otherPort] of failures) {
    const news = read(line);
    assert.ok(news?.kind === "failure", line);
    assert.deepEqual([news.failure.reason, news.otherPort], [reason, otherPort], line);
  }
  const again = agentOf(parseTunnelSpec("bore")).start({ local: LOCAL, port: 12345 });
  assert.deepEqual(again.args, [
    ...["local", "7700", "--local-host", "127.0.0.1", "--to", "bore.pub"],
    ...["--port", "12345"],
  ]);
  const taken = again.read("Error: server error: port already in use");
  assert.equal(taken?.kind === "failure" && taken.otherPort, true);
});

Deno.test("ngrok: its log becomes an address, its interface's place or a failure; a token in it is never repeated", () => {
  const agent = agentOf(parseTunnelSpec("ngrok"));
  const { args, read } = agent.start({ local: LOCAL, port: 0 });
  assert.deepEqual(args.slice(0, 2), ["tcp", "127.0.0.1:7700"]);
  const line = (fields: Record<string, unknown>) =>
    read(JSON.stringify({ t: "2026-01-01T00:00:00Z", ...fields }));
  assert.deepEqual(line({ lvl: "info", msg: "starting web service", obj: "web", addr: "127.0.0.1:4041" }), {
    kind: "api",
    url: "http://127.0.0.1:4041/api/tunnels",
  });
  assert.equal(line({ lvl: "info", msg: "starting web service", obj: "web", addr: "192.0.2.7:4040" }), null);
  assert.deepEqual(
    line({ addr: "//127.0.0.1:7700", lvl: "info", msg: "started tunnel", url: "tcp://0.tcp.ngrok.io:12345" }),
    { kind: "address", endpoint: { hostname: "0.tcp.ngrok.io", port: 12345 } },
  );
  assert.equal(line({ lvl: "info", msg: "started tunnel", url: "https://a.ngrok.app" }), null);
  assert.equal(line({ lvl: "info", msg: "started tunnel", url: "tcp://-x:1" }), null);
  assert.equal(line({ lvl: "info", msg: "open config file", err: "<nil>" }), null);
  const answer = {
    tunnels: [{ proto: "https", public_url: "https://a" }, { proto: "tcp", public_url: "tcp://b.example:7" }],
  };
  assert.deepEqual(agent.readAnswer!(answer), { hostname: "b.example", port: 7 });
  for (const nonsense of [null, 1, {}, { tunnels: 1 }, { tunnels: [null] }, []]) {
    assert.equal(agent.readAnswer!(nonsense), null);
  }
  const crash = (err: string) => line({ err, lvl: "crit", msg: "command failed" });
  const failures: [string, string][] = [
    [
      "authentication failed: Usage of ngrok requires a verified account and authtoken.\r\n\r\nERR_NGROK_4018\r\n",
      "not_authenticated",
    ],
    [
      "authentication failed: Your account is limited to 1 simultaneous ngrok agent session.\n\nERR_NGROK_108\r\n",
      "quota",
    ],
    ["failed to start tunnel: You must add a credit or debit card\r\n\r\nERR_NGROK_8013\r\n", "refused"],
    ["something new\r\nERR_NGROK_99999", "ended"],
  ];
  for (const [err, reason] of failures) {
    const news = crash(err);
    assert.ok(news?.kind === "failure", err);
    assert.equal(news.failure.reason, reason);
    assert.match(news.failure.state, /ERR_NGROK_\d+/);
    assert.doesNotMatch(news.failure.state, /[\r\n]/);
    assert.ok(news.failure.hint);
  }
  const secret = "2abcDEFsecretTOKEN_0";
  for (const code of ["ERR_NGROK_105", "ERR_NGROK_77777"]) {
    const text = `The authtoken you specified does not look right.\nYour authtoken: ${secret}\n\n${code}`;
    for (const news of [crash(text), ...text.split("\n").map((part) => read(`ERROR:  ${part}`))]) {
      assert.ok(!JSON.stringify(news).includes(secret), JSON.stringify(news));
    }
  }
});

Deno.test("whatever an agent prints, reading it never throws", () => {
  for (const text of ["ssh:me@vps", "bore", "ngrok"]) {
    const read = reader(text, 7700);
    fc.assert(fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.json()), (line) => void read(line)));
  }
});

Deno.test("an agent sees what it needs of the environment, and none of the relay's secrets", () => {
  const everything: Record<string, string> = {
    HOME: "/home/me",
    PATH: "/usr/bin",
    USER: "me",
    SSH_AUTH_SOCK: "/run/agent",
    NGROK_AUTHTOKEN: "n",
    BORE_SECRET: "b",
    GITHUB_TOKEN: "secret",
    ARONA_PASSPHRASE: "secret",
    ARONA_DATA: "/var/lib/arona",
    LD_PRELOAD: "/x.so",
    SSH_ASKPASS: "/bin/x",
    RUST_LOG: "trace",
  };
  const names = (text: string) =>
    Object.keys(environmentOf(agentOf(parseTunnelSpec(text)), (name) => everything[name])).toSorted();
  assert.deepEqual(names("ssh:me@vps"), ["HOME", "NO_COLOR", "PATH", "SSH_AUTH_SOCK", "USER"]);
  assert.deepEqual(names("bore"), ["BORE_SECRET", "HOME", "NO_COLOR", "PATH", "USER"]);
  assert.deepEqual(names("ngrok"), ["HOME", "NGROK_AUTHTOKEN", "NO_COLOR", "PATH", "USER"]);
});

function reader(spec: string, port: number): (line: string) => AgentNews | null {
  return agentOf(parseTunnelSpec(spec)).start({ local: LOCAL, port }).read;
}
