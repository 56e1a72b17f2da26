/** A tunnel's supervision: agents that the test plays, on a clock that stands still. */

import assert from "node:assert/strict";
import { AronaError, type Endpoint, FakeClock, formatEndpoint } from "../../proto/mod.ts";
import { readLines } from "../../server/tunnel/lines.ts";
import {
  type AgentProcess,
  MAX_AGENT_LINE_CHARACTERS,
  parseTunnelSpec,
  startTunnel,
  TUNNEL_API_INTERVAL_MS,
  TUNNEL_FIRST_LOOK_MS,
  TUNNEL_FIRST_PAUSE_MS,
  TUNNEL_LONGEST_PAUSE_MS,
  TUNNEL_PERSON_PAUSE_MS,
  TUNNEL_PROBE_INTERVAL_MS,
  TUNNEL_PROBE_RETRY_MS,
  TUNNEL_PROBE_TIMEOUT_MS,
  TUNNEL_PROBE_TOLERANCE,
  TUNNEL_STABLE_AFTER_MS,
  TUNNEL_START_TIMEOUT_MS,
  TUNNEL_STOP_GRACE_MS,
  type TunnelEvent,
} from "../../server/tunnel/mod.ts";

const encoder = new TextEncoder();

/** An agent's process that the test plays. */
class Agent implements AgentProcess {
  readonly stdout: ReadableStream<Uint8Array>;
  readonly stderr: ReadableStream<Uint8Array>;
  readonly #out = new TransformStream<Uint8Array, Uint8Array>();
  readonly #err = new TransformStream<Uint8Array, Uint8Array>();
  readonly #writer = this.#out.writable.getWriter();
  readonly #end = Promise.withResolvers<{ code: number }>();
  readonly signals: string[] = [];
  inputEnded = false;
  /** Whether SIGTERM ends it. */
  obeys = true;

  constructor(readonly args: readonly string[]) {
    this.stdout = this.#out.readable;
    this.stderr = this.#err.readable;
    this.#writer.closed.catch(() => {}); // nobody reads on
  }

  get ended(): Promise<{ code: number }> {
    return this.#end.promise;
  }

  endInput(): void {
    this.inputEnded = true;
  }

  kill(signal: "SIGTERM" | "SIGKILL"): void {
    this.signals.push(signal);
    if (this.obeys || signal === "SIGKILL") this.exit(143);
  }

  async say(text: string): Promise<void> {
    await this.#writer.write(encoder.encode(`${text}\n`));
    await settle();
  }

  exit(code: number): void {
    this.#end.resolve({ code });
    void this.#writer.close().catch(() => {});
    void this.#err.writable.close().catch(() => {});
  }
}

/** A tunnel and the world around it. */
class Rig implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly events: TunnelEvent[] = [];
  readonly agents: Agent[] = [];
  readonly probes: string[] = [];
  /** Where the relay answers. */
  readonly reached = new Set<string>();
  readonly tunnel;
  spawnError: Error | null = null;
  hangingProbes = false;
  api: (url: string) => Response = () => new Response("", { status: 404 });

  constructor(spec = "bore", options: { random?: number; local?: Endpoint } = {}) {
    const { random = 1, local = { hostname: "127.0.0.1", port: 7700 } } = options;
    this.tunnel = startTunnel({
      spec: parseTunnelSpec(spec),
      local,
      clock: this.clock,
      random: () => random,
      spawn: (args) => {
        if (this.spawnError !== null) throw this.spawnError;
        const agent = new Agent(args);
        this.agents.push(agent);
        return agent;
      },
      fetch: (input) => Promise.resolve(this.api(String(input))),
      probe: (endpoint, { signal }) => this.#probe(endpoint, signal),
      onEvent: (event) => this.events.push(event),
    });
  }

  get agent(): Agent {
    return this.agents.at(-1)!;
  }

  /** Lets time go by, in steps short enough for whatever happens in between. */
  async pass(ms: number): Promise<void> {
    const untilMs = this.clock.monotonic() + ms;
    await settle();
    while (this.clock.monotonic() < untilMs) {
      this.clock.advance(Math.min(TUNNEL_FIRST_LOOK_MS, untilMs - this.clock.monotonic()));
      await settle();
    }
  }

  /** Waits until the agent is started again, and no longer. */
  async restarted(): Promise<void> {
    const { status } = this.tunnel;
    assert.ok(status.state === "down");
    await this.pass(status.retryAtMs - this.clock.now());
  }

  /** A tunnel that works. */
  async up(address = "bore.pub:12345"): Promise<this> {
    this.reached.add(address);
    await settle();
    await this.agent.say(`INFO bore_cli::client: listening at ${address}`);
    assert.equal(this.tunnel.status.state, "up");
    return this;
  }

  /** What was reported, in short. */
  told(): string[] {
    return this.events.splice(0).map((event) =>
      event.type === "address"
        ? `${formatEndpoint(event.endpoint)}${event.changed ? " changed" : ""}`
        : event.failure.reason
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const agent of this.agents) agent.obeys = true;
    await this.tunnel.stop();
  }

  async #probe(endpoint: Endpoint, signal: AbortSignal): Promise<void> {
    const address = formatEndpoint(endpoint);
    this.probes.push(address);
    if (this.hangingProbes) {
      await new Promise((_, reject) =>
        signal.addEventListener("abort", () => reject(signal.reason), { once: true })
      );
    }
    if (!this.reached.has(address)) {
      throw new AronaError("UNREACHABLE", `Cannot connect to ${address}: nothing listens there`);
    }
  }
}

Deno.test("the address counts when the relay answers through it, and not before", async () => {
  await using rig = new Rig();
  await settle();
  assert.equal(rig.tunnel.status.state, "opening");
  await rig.agent.say("2026-01-01T00:00:00Z  INFO bore_cli::client: listening at bore.pub:12345");
  await rig.pass(3_000);
  assert.deepEqual(rig.told(), []);
  rig.reached.add("bore.pub:12345");
  await rig.pass(TUNNEL_PROBE_RETRY_MS);
  assert.deepEqual(rig.told(), ["bore.pub:12345 changed"]);
  const { state, spec, endpoint, starts } = rig.tunnel.status;
  assert.deepEqual([state, spec, endpoint, starts], ["up", "bore", { hostname: "bore.pub", port: 12345 }, 1]);
});

Deno.test("a line counts however it is cut into pieces, coloured, and on whichever stream", async () => {
  const lines: string[] = [];
  const text = "\x1b[2m2026\x1b[0m  \x1b[32mINFO\x1b[0m bore: listening at bore.pub:1\r\n\n" +
    `${"x".repeat(3 * MAX_AGENT_LINE_CHARACTERS)}\nlast – without end`;
  const bytes = encoder.encode(text);
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      for (let i = 0; i < bytes.length; i += 7) controller.enqueue(bytes.subarray(i, i + 7));
      controller.close();
    },
  });
  await readLines(stream, { signal: new AbortController().signal, onLine: (line) => lines.push(line) });
  assert.deepEqual(lines, [
    "2026  INFO bore: listening at bore.pub:1",
    "x".repeat(MAX_AGENT_LINE_CHARACTERS),
    "last – without end",
  ]);
});

Deno.test("an agent that ends is started anew, with pauses that grow, are shortened by chance, and end at a limit", async () => {
  await using rig = new Rig("bore", { random: 0 });
  let pauseMs = TUNNEL_FIRST_PAUSE_MS / 2;
  for (let start = 1; start <= 12; start++) {
    await settle();
    assert.equal(rig.tunnel.status.starts, start);
    rig.agent.exit(1);
    await settle();
    const status = rig.tunnel.status;
    assert.ok(status.state === "down");
    assert.equal(status.retryAtMs - rig.clock.now(), pauseMs);
    rig.clock.advance(pauseMs - 1);
    await settle();
    assert.equal(rig.agents.length, start);
    rig.clock.advance(1);
    pauseMs = Math.min(pauseMs * 2, TUNNEL_LONGEST_PAUSE_MS / 2);
  }
  assert.equal(pauseMs, TUNNEL_LONGEST_PAUSE_MS / 2);
});

Deno.test("a tunnel that worked for a while begins with the first pause again; one that did not, does not", async () => {
  await using rig = new Rig();
  const pauseAfter = async (workedMs: number) => {
    await rig.up();
    await rig.pass(workedMs);
    rig.agent.exit(1);
    await settle();
    const status = rig.tunnel.status;
    assert.ok(status.state === "down");
    const pauseMs = status.retryAtMs - rig.clock.now();
    await rig.restarted();
    return pauseMs;
  };
  assert.equal(await pauseAfter(10_000), TUNNEL_FIRST_PAUSE_MS);
  assert.equal(await pauseAfter(10_000), 2 * TUNNEL_FIRST_PAUSE_MS);
  assert.equal(await pauseAfter(TUNNEL_STABLE_AFTER_MS), TUNNEL_FIRST_PAUSE_MS);
});

Deno.test("each failure is told once, another one again, and the same one again after the tunnel has worked", async () => {
  await using rig = new Rig();
  const fail = async (line: string) => {
    await settle();
    await rig.agent.say(line);
    rig.agent.exit(1);
    await settle();
    await rig.restarted();
  };
  for (let i = 0; i < 3; i++) await fail("Error: could not connect to bore.pub:7835");
  assert.deepEqual(rig.told(), ["unreachable"]);
  for (let i = 0; i < 3; i++) await fail("Error: server error: invalid secret");
  assert.deepEqual(rig.told(), ["not_authenticated"]);
  assert.equal(rig.tunnel.status.failure?.reason, "not_authenticated");
  await rig.up();
  assert.equal(rig.tunnel.status.failure, undefined);
  await fail("Error: server error: invalid secret");
  assert.deepEqual(rig.told(), ["bore.pub:12345 changed", "not_authenticated"]);
});

Deno.test("where only a person can help, the server is not asked more than about once a minute", async () => {
  await using rig = new Rig("ssh:me@vps.example.org");
  await settle();
  await rig.agent.say("me@vps.example.org: Permission denied (publickey).");
  const status = rig.tunnel.status;
  assert.ok(status.state === "down");
  assert.equal(status.retryAtMs - rig.clock.now(), TUNNEL_PERSON_PAUSE_MS);
  assert.match(
    status.failure.text,
    /^Cannot open tunnel ssh:me@vps\.example\.org: the server does not let this user in/,
  );
  assert.match(status.failure.hint!, /authorized_keys/);
});

Deno.test("the relay is looked for now and then; one look that finds nothing is no reason, several in a row are", async () => {
  await using rig = new Rig();
  await rig.up();
  rig.told();
  rig.probes.length = 0;
  await rig.pass(10 * TUNNEL_PROBE_INTERVAL_MS);
  assert.equal(rig.probes.length, 10);
  rig.reached.clear();
  await rig.pass(TUNNEL_PROBE_INTERVAL_MS + (TUNNEL_PROBE_TOLERANCE - 2) * TUNNEL_PROBE_RETRY_MS);
  assert.equal(rig.tunnel.status.state, "up");
  rig.reached.add("bore.pub:12345");
  await rig.pass(TUNNEL_PROBE_INTERVAL_MS);
  rig.reached.clear();
  assert.deepEqual(rig.told(), []);
  await rig.pass((TUNNEL_PROBE_TOLERANCE + 1) * TUNNEL_PROBE_RETRY_MS);
  assert.deepEqual(rig.told(), ["no_answer"]);
  assert.match(
    rig.tunnel.status.failure!.text,
    /^Cannot keep tunnel bore: .* at bore\.pub:12345: nothing listens there$/,
  );
  assert.deepEqual(rig.agents[0].signals, ["SIGTERM"]);
  assert.ok(rig.agents[0].inputEnded);
});

Deno.test("a look that hangs counts as one that finds nothing", async () => {
  await using rig = new Rig();
  await rig.up();
  rig.told();
  rig.hangingProbes = true;
  await rig.pass(
    TUNNEL_PROBE_INTERVAL_MS + TUNNEL_PROBE_TOLERANCE * (TUNNEL_PROBE_TIMEOUT_MS + TUNNEL_PROBE_RETRY_MS),
  );
  assert.deepEqual(rig.told(), ["no_answer"]);
  assert.match(rig.events.length === 0 ? rig.tunnel.status.failure!.text : "", /no answer in time/);
});

Deno.test("the port that a server gave is asked for again, and another one where it is taken, at once", async () => {
  await using rig = new Rig();
  await rig.up("bore.pub:12345");
  rig.agent.exit(0);
  await rig.pass(TUNNEL_FIRST_PAUSE_MS);
  assert.deepEqual(rig.agent.args.slice(-2), ["--port", "12345"]);
  await rig.agent.say("Error: server error: port already in use");
  assert.equal(rig.agents.length, 3);
  assert.equal(rig.agent.args.includes("--port"), false);
  rig.told();
  await rig.up("bore.pub:23456");
  assert.deepEqual(rig.told(), ["bore.pub:23456 changed"]);
  rig.agent.exit(0);
  await rig.pass(2 * TUNNEL_FIRST_PAUSE_MS);
  rig.told();
  await rig.up("bore.pub:23456");
  assert.deepEqual(rig.told(), ["bore.pub:23456"], "the same as before");
});

Deno.test("ssh: a port that it says nothing about is looked at from the start; the server's choice takes its place", async () => {
  await using rig = new Rig("ssh:me@vps.example.org");
  await rig.pass(1_000);
  assert.deepEqual([...new Set(rig.probes)], ["vps.example.org:7700"]);
  await rig.agent.say("Error: remote port forwarding failed for listen port 7700");
  assert.equal(rig.agents.length, 2);
  rig.reached.add("vps.example.org:40001");
  await rig.agent.say("Allocated port 40001 for remote forward to 127.0.0.1:7700");
  assert.deepEqual(rig.told(), ["vps.example.org:40001 changed"]);
  rig.agent.exit(255);
  await rig.pass(TUNNEL_FIRST_PAUSE_MS);
  assert.ok(rig.agent.args.includes("0.0.0.0:40001:127.0.0.1:7700"));
});

Deno.test("ssh: a public port of its own is never exchanged for another", async () => {
  await using rig = new Rig("ssh:me@vps.example.org=chat.example.org:4430");
  await settle();
  await rig.agent.say("Error: remote port forwarding failed for listen port 4430");
  assert.equal(rig.agents.length, 1);
  assert.deepEqual(rig.told(), ["refused"]);
  await rig.pass(TUNNEL_PERSON_PAUSE_MS);
  assert.ok(rig.agent.args.includes("0.0.0.0:4430:127.0.0.1:7700"));
});

Deno.test("ssh: a forwarding that nobody reaches from outside is given up in the end, with what to change on the server", async () => {
  await using rig = new Rig("ssh:me@vps.example.org");
  await rig.pass(TUNNEL_START_TIMEOUT_MS);
  assert.deepEqual(rig.told(), ["no_answer"]);
  assert.match(rig.tunnel.status.failure!.hint!, /GatewayPorts/);
});

Deno.test("an agent that names no address is ended, and what it said is told", async () => {
  await using rig = new Rig();
  await settle();
  await rig.agent.say("thinking\x07 about it");
  await rig.pass(TUNNEL_START_TIMEOUT_MS);
  assert.deepEqual(rig.told(), ["no_address"]);
  assert.match(
    rig.tunnel.status.failure!.text,
    /bore runs and names no address; it said last: thinking about it$/,
  );
});

Deno.test("an address that changes while the agent goes on is told", async () => {
  await using rig = new Rig("ngrok");
  const started = (port: number) =>
    rig.agent.say(
      JSON.stringify({ lvl: "info", msg: "started tunnel", url: `tcp://0.tcp.ngrok.io:${port}` }),
    );
  rig.reached.add("0.tcp.ngrok.io:1").add("0.tcp.ngrok.io:2");
  await settle();
  await started(1);
  await started(1);
  await started(2);
  assert.deepEqual(rig.told(), ["0.tcp.ngrok.io:1 changed", "0.tcp.ngrok.io:2 changed"]);
  rig.probes.length = 0;
  await rig.pass(TUNNEL_PROBE_INTERVAL_MS);
  assert.deepEqual(rig.probes, ["0.tcp.ngrok.io:2"], "the former address is looked at no more");
});

Deno.test("ngrok: where the log names no address, its interface does, at the place that the log names", async () => {
  await using rig = new Rig("ngrok");
  const asked: string[] = [];
  let answer = "nonsense";
  rig.api = (url) => {
    asked.push(url);
    return new Response(answer);
  };
  rig.reached.add("1.tcp.ngrok.io:7");
  await settle();
  await rig.agent.say(JSON.stringify({ lvl: "info", msg: "starting web service", addr: "127.0.0.1:4049" }));
  await rig.pass(TUNNEL_API_INTERVAL_MS);
  answer = `{"tunnels":[{"proto":"tcp","public_url":"tcp://1.tcp.ngrok.io:7"}]}`;
  await rig.pass(TUNNEL_API_INTERVAL_MS);
  assert.deepEqual(rig.told(), ["1.tcp.ngrok.io:7 changed"]);
  await rig.pass(10 * TUNNEL_API_INTERVAL_MS);
  assert.deepEqual(asked, Array(2).fill("http://127.0.0.1:4049/api/tunnels"));
});

Deno.test("ngrok: a limit of the account is told at once, though the agent goes on trying", async () => {
  await using rig = new Rig("ngrok");
  await settle();
  await rig.agent.say(JSON.stringify({
    err:
      "authentication failed: Your account is limited to 1 simultaneous ngrok agent sessions.\r\nERR_NGROK_108\r\n",
    lvl: "eror",
    msg: "failed to reconnect session",
  }));
  assert.deepEqual(rig.told(), ["quota"]);
  assert.deepEqual(rig.agents[0].signals, ["SIGTERM"]);
});

Deno.test("a program that is not there is told with how to get it, and found once it is installed", async () => {
  await using rig = new Rig();
  rig.spawnError = Object.assign(new Error("No such file"), { name: "NotFound" });
  await settle();
  rig.agent.exit(1);
  await rig.pass(TUNNEL_FIRST_PAUSE_MS);
  const told = rig.events.at(-1)!;
  assert.ok(told.type === "lost");
  assert.equal(told.failure.reason, "not_installed");
  assert.match(told.failure.hint!, /github\.com\/ekzhang\/bore/);
  rig.spawnError = null;
  await rig.pass(TUNNEL_PERSON_PAUSE_MS);
  assert.equal(rig.agents.length, 2);
});

Deno.test("stop() ends the agent in good order, by force where it does not go, and nothing is left", async () => {
  const rig = new Rig();
  await rig.up();
  rig.agent.obeys = false;
  const stopped = rig.tunnel.stop();
  await settle();
  assert.deepEqual([rig.agent.inputEnded, rig.agent.signals], [true, ["SIGTERM"]]);
  rig.clock.advance(TUNNEL_STOP_GRACE_MS);
  await stopped;
  assert.deepEqual(rig.agent.signals, ["SIGTERM", "SIGKILL"]);
  assert.equal(rig.tunnel.status.state, "stopped");
  await rig.tunnel.stop();
  assert.equal(rig.clock.pendingTimers, 0);
});

Deno.test("stop() ends a pause, a first look and a start alike", async () => {
  for (const bring of ["pause", "look", "start"]) {
    const rig = new Rig();
    await settle();
    if (bring === "pause") rig.agent.exit(1);
    if (bring === "look") await rig.agent.say("listening at bore.pub:1");
    rig.hangingProbes = true;
    await settle();
    await rig.tunnel.stop();
    assert.equal(rig.clock.pendingTimers, 0, bring);
    assert.equal(rig.agents.length, 1);
  }
});

async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise<void>((turn) => setImmediate(turn));
}
