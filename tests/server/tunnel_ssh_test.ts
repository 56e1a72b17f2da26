/** `--tunnel ssh:` with a real OpenSSH server on loopback and a real relay behind it. */

import assert from "node:assert/strict";
import { type Clock, connectTcp, FakeClock, parseEndpoint } from "../../proto/mod.ts";
import { TUNNEL_START_TIMEOUT_MS } from "../../server/tunnel/mod.ts";
import { freePort, openSsh, SshServer } from "../helpers/sshd.ts";
import { WatchedTunnel } from "../helpers/watched_tunnel.ts";
import { TestRelay } from "./test_relay.ts";

/** Another loopback address than the one where forwarded ports are, so that the relay's own port is free there. */
const RELAY = { listen: { hostname: "127.0.0.2", port: 0 }, publicAddresses: undefined };

openSsh.test("ssh: people log in and talk through the relay's own port at the server", async () => {
  await using relay = await TestRelay.start(RELAY);
  await using ssh = await SshServer.start();
  await using watched = watch(relay, ssh);
  const { hostname, port } = await watched.address();
  assert.deepEqual({ hostname, port }, { ...parseEndpoint(relay.relay.address), hostname: "127.0.0.1" });
  const [alice, bob] = [
    await relay.connect("alice", { transport: await connectTcp({ hostname, port }) }),
    await relay.connect("bob", { transport: await connectTcp({ hostname, port }) }),
  ];
  const group = await relay.group(alice, bob);
  const payload = relay.crypto.randomBytes(20_000);
  await alice.send(group, { epoch: 1, payload, flags: 0 });
  assert.deepEqual((await bob.deliveries.next()).payload, payload);
  const { log } = ssh;
  await watched.tunnel.stop();
  await assert.rejects(connectTcp({ hostname, port }), "nothing is left at the server");
  assert.match(log, /Accepted publickey/);
});

openSsh.test("ssh: where the relay's own port is taken at the server, the server chooses one, and it stays", async () => {
  await using relay = await TestRelay.start(RELAY);
  await using ssh = await SshServer.start();
  const { port: own } = parseEndpoint(relay.relay.address);
  using _taken = Deno.listen({ hostname: "127.0.0.1", port: own });
  await using watched = watch(relay, ssh);
  const { port } = await watched.address();
  assert.notEqual(port, own);
  await relay.connect("alice", { transport: await connectTcp({ hostname: "127.0.0.1", port }) });
  await ssh.kill();
  assert.equal((await watched.failure()).reason, "unreachable");
  await ssh.open();
  assert.deepEqual(await watched.addressInTheEnd(), { hostname: "127.0.0.1", port, changed: false });
});

openSsh.test("ssh: the server's death is noticed, and when it is back the same address works again", async () => {
  await using relay = await TestRelay.start(RELAY);
  await using ssh = await SshServer.start();
  const fixed = freePort();
  await using watched = watch(relay, ssh, { spec: `${ssh.spec}=127.0.0.1:${fixed}` });
  assert.equal((await watched.address()).port, fixed);
  for (let round = 0; round < 2; round++) {
    await ssh.kill();
    const { reason, text } = await watched.failure();
    assert.deepEqual([reason, /^Cannot keep tunnel ssh:/.test(text)], ["unreachable", true], text);
    await ssh.open();
    assert.deepEqual(await watched.addressInTheEnd(), { hostname: "127.0.0.1", port: fixed, changed: false });
  }
});

openSsh.test("ssh: a key that the server does not know, and a server whose key has changed, are told in words", async () => {
  await using relay = await TestRelay.start(RELAY);
  await using ssh = await SshServer.start();
  {
    await using watched = watch(relay, ssh); // its host key is kept now
    await watched.address();
  }
  await ssh.useStrangersKey();
  {
    await using watched = watch(relay, ssh);
    const { reason, text, hint } = await watched.failure();
    assert.equal(reason, "not_authenticated");
    assert.equal(text, `Cannot open tunnel ${ssh.spec}: the server does not let this user in (publickey)`);
    assert.match(hint!, /authorized_keys/);
  }
  await ssh.kill();
  await ssh.changeHostKey();
  await ssh.open();
  await using watched = watch(relay, ssh);
  const { reason, hint } = await watched.failure();
  assert.equal(reason, "host_key");
  assert.match(hint!, /ssh-keygen -R/);
});

openSsh.test("ssh: a server that does not forward, or not this port, is told in words", async () => {
  await using relay = await TestRelay.start(RELAY);
  await using ssh = await SshServer.start({ config: ["AllowTcpForwarding no"] });
  {
    await using watched = watch(relay, ssh);
    const { reason, text, hint } = await watched.failure();
    assert.equal(reason, "refused");
    assert.match(text, /the server does not forward ports$/);
    assert.match(hint!, /AllowTcpForwarding/);
    assert.equal(watched.tunnel.status.starts, 2, "the relay's own port, then any");
  }
  await ssh.kill();
  await ssh.open({ config: ["PermitListen localhost:1"] });
  await using watched = watch(relay, ssh, { spec: `${ssh.spec}=127.0.0.1:${freePort()}` });
  const { reason, text } = await watched.failure();
  assert.equal(reason, "refused");
  assert.match(text, /the server does not give port \d+$/);
});

openSsh.test("ssh: a server that forwards for itself only (GatewayPorts no) is told in words", async () => {
  await using relay = await TestRelay.start(RELAY);
  await using ssh = await SshServer.start();
  const clock = new FakeClock();
  await using watched = watch(relay, ssh, { spec: `${ssh.spec}=127.0.0.3`, clock });
  await ssh.logged(/Accepted publickey/);
  clock.advance(TUNNEL_START_TIMEOUT_MS);
  const { reason, text, hint } = await watched.failure();
  assert.equal(reason, "no_answer");
  assert.match(text, /the relay is not reached at 127\.0\.0\.3:\d+: nothing listens there$/);
  assert.match(hint!, /GatewayPorts clientspecified/);
});

openSsh.test("ssh: when the relay's process is killed, ssh ends with it", async () => {
  await using relay = await TestRelay.start(RELAY);
  await using ssh = await SshServer.start();
  const fixed = freePort();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", new URL("tunnel_child.ts", import.meta.url).pathname],
    env: { TUNNEL: `${ssh.spec}=127.0.0.1:${fixed}`, PROGRAM: ssh.program, LOCAL: relay.relay.address },
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  assert.equal(new TextDecoder().decode((await reader.read()).value), "up\n");
  assert.ok(!/Disconnected|Received disconnect/.test(ssh.log));
  child.kill("SIGKILL");
  await ssh.logged(/Received disconnect|Disconnected from user/);
  await child.status;
  await reader.cancel();
});

function watch(
  relay: TestRelay,
  { spec, program }: SshServer,
  options: { spec?: string; clock?: Clock } = {},
): WatchedTunnel {
  return new WatchedTunnel(relay, { spec, program, ...options });
}
