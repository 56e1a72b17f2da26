/** A relay on the local network: its name, its answers, and what it does not let others make it do. */

import assert from "node:assert/strict";
import {
  type Datagram,
  decodeDnsMessage,
  type DnsData,
  type DnsMessage,
  type DnsName,
  DnsType,
  encodeDnsMessage,
  FakeClock,
  LAN_SERVICE,
  lanHostName,
  lanInstanceName,
  type LanInterface,
  parseLanTxt,
} from "../../proto/mod.ts";
import { LAN_PACKETS_PER_SECOND } from "../../server/mod.ts";
import { type LanAnnouncerEvent, type LanRelay, startLanAnnouncer } from "../../server/discovery/mod.ts";
import { FakeLan, type FakeSocket, lanInterface } from "../helpers/fake_lan.ts";
import { Settling } from "../helpers/settling.ts";

const FINGERPRINT = Uint8Array.from({ length: 32 }, (_, i) => 200 - i);
const RELAY: LanRelay = {
  name: "Home",
  fingerprint: FINGERPRINT,
  protocols: [2],
  listen: { hostname: "0.0.0.0", port: 7700 },
};
const ETHERNET = lanInterface("eth0", "192.168.1.5", "2001:db8::5");
const WLAN = lanInterface("wlan0", "10.0.0.5");
const NEIGHBOUR = "192.168.1.77";

Deno.test("a relay probes for its name three times, then announces it twice, then is silent", async () => {
  await using world = await World.start();
  await world.pass(250);
  await world.pass(750);
  const messages = world.messages();
  assert.deepEqual(messages.map(({ kind }) => kind), ["query", "query", "query", "response"]);
  const [probe] = messages;
  assert.deepEqual(probe.questions.map(({ name, type }) => [name[0], type]), [
    ["Home c8c7c6c5", DnsType.ANY],
    ["arona-c8c7c6c5c4c3c2c1", DnsType.ANY],
  ]);
  assert.deepEqual(probe.authorities.map(({ type }) => type), ["SRV", "TXT", "A"]);
  await world.pass(1_000);
  await world.pass(3_600_000);
  assert.deepEqual(world.kinds(), ["response"]);
  assert.deepEqual(world.events, [{ type: "announced", name: "Home c8c7c6c5", interfaces: ["eth0"] }]);
});

Deno.test("an announcement has everything that a client needs: name, host, port, fingerprint, address", async () => {
  await using world = await World.announced();
  const { answers } = world.lastAnswer();
  const of = <T extends DnsData["type"]>(type: T) =>
    answers.filter((record) => record.type === type) as unknown as Extract<DnsData, { type: T }>[];
  const instance = lanInstanceName(RELAY);
  assert.deepEqual(of("PTR").map(({ target }) => target), [instance]);
  assert.deepEqual(of("SRV").map(({ port, target }) => ({ port, target })), [
    { port: 7700, target: lanHostName(FINGERPRINT) },
  ]);
  assert.deepEqual(parseLanTxt(of("TXT")[0].strings), {
    fingerprint: FINGERPRINT,
    protocols: [2],
    name: "Home",
  });
  assert.deepEqual(of("A").map(({ address }) => address.join(".")), ["192.168.1.5"]);
  assert.deepEqual(of("AAAA"), [], "it listens on IPv4 only");
  assert.deepEqual(answers.map(({ type, flush }) => [type, flush]), [
    ["PTR", false],
    ["SRV", true],
    ["TXT", true],
    ["A", true],
  ]);
});

Deno.test("each interface is told its own addresses and nothing of the others", async () => {
  const relay = { ...RELAY, listen: { hostname: "::", port: 7700 } };
  await using world = await World.announced({ relay, interfaces: [ETHERNET, WLAN] });
  const addresses = (hostname: string) =>
    world.lastAnswer(hostname).answers.filter(({ type }) => type === "A" || type === "AAAA").length;
  assert.equal(addresses("192.168.1.5"), 2);
  assert.equal(addresses("10.0.0.5"), 1);
});

Deno.test("a relay that listens on one address is announced there alone", async () => {
  const relay = { ...RELAY, listen: { hostname: "10.0.0.5", port: 7700 } };
  await using world = await World.announced({ relay, interfaces: [ETHERNET, WLAN] });
  assert.deepEqual(new Set(world.lan.sent.map(({ hostname }) => hostname)), new Set(["10.0.0.5"]));
});

Deno.test("a question is answered within 120 ms, to everybody", async () => {
  await using world = await World.announced();
  world.ask();
  await world.pass(19);
  assert.deepEqual(world.kinds(), []);
  await world.pass(101);
  assert.deepEqual(world.kinds(), ["response"]);
});

for (
  const [what, name, type] of [
    ["the service", LAN_SERVICE, DnsType.PTR],
    ["the name in other letters", ["HOME C8c7c6c5", "_ARONA", "_tcp", "Local"], DnsType.SRV],
    ["its text", lanInstanceName(RELAY), DnsType.TXT],
    ["its host", lanHostName(FINGERPRINT), DnsType.A],
    ["everything about the service", LAN_SERVICE, DnsType.ANY],
    ["all kinds of services", ["_services", "_dns-sd", "_udp", "local"], DnsType.PTR],
  ] as const
) {
  Deno.test(`whoever asks for ${what} gets an answer`, async () => {
    await using world = await World.announced();
    world.ask({ questions: [{ name, type }] });
    await world.pass(120);
    assert.equal(world.kinds().length, 1);
  });
}

for (
  const [what, name, type] of [
    ["another service", ["_http", "_tcp", "local"], DnsType.PTR],
    ["another relay", lanInstanceName({ ...RELAY, name: "Work" }), DnsType.SRV],
    ["another kind of record", LAN_SERVICE, DnsType.SRV],
    ["a longer name", ["x", ...LAN_SERVICE], DnsType.PTR],
  ] as const
) {
  Deno.test(`whoever asks for ${what} gets none`, async () => {
    await using world = await World.announced();
    world.ask({ questions: [{ name, type }] });
    await world.pass(2_000);
    assert.deepEqual(world.kinds(), []);
  });
}

Deno.test("whoever knows the relay already gets no answer, until half of its time has gone", async () => {
  await using world = await World.announced();
  const known = (ttlSeconds: number) => [{
    type: "PTR" as const,
    name: LAN_SERVICE,
    target: lanInstanceName(RELAY),
    ttlSeconds,
    flush: false,
  }];
  world.ask({ answers: known(2_250) });
  await world.pass(2_000);
  assert.deepEqual(world.kinds(), []);
  world.ask({ answers: known(2_249) });
  await world.pass(120);
  assert.deepEqual(world.kinds(), ["response"]);
});

Deno.test("however many ask however often, an interface sees one answer a second", async () => {
  await using world = await World.announced({ interfaces: [ETHERNET, WLAN] });
  for (let ms = 0; ms < 10_000; ms += 50) {
    for (const hostname of [NEIGHBOUR, "192.168.1.78", "10.0.0.9"]) world.ask({}, { hostname });
    await world.pass(50);
  }
  for (const hostname of ["192.168.1.5", "10.0.0.5"]) {
    const count = world.answersFrom(hostname).length;
    assert.ok(count >= 9 && count <= 11, `${count} answers in 10 s`);
  }
});

Deno.test("nobody outside of the network, and nobody who wants an answer of their own, gets one", async () => {
  await using world = await World.announced();
  world.hear(question(), { hostname: "203.0.113.9" });
  world.ask({}, { hostname: NEIGHBOUR, port: 40_000 });
  await world.pass(2_000);
  assert.deepEqual(world.kinds(), []);
});

Deno.test("what does not decode is passed over, and so is more than can be read", async () => {
  await using world = await World.announced();
  for (
    const bytes of [
      new Uint8Array(),
      new Uint8Array(12).fill(255),
      new Uint8Array(9_001),
      question().slice(0, 30),
    ]
  ) {
    world.hear(bytes);
  }
  await world.pass(2_000);
  assert.deepEqual(world.kinds(), []);
  for (let i = 0; i < LAN_PACKETS_PER_SECOND; i++) world.hear(new Uint8Array(40));
  world.ask();
  await world.pass(200);
  assert.deepEqual(world.kinds(), [], "the question was not read");
  world.ask();
  await world.pass(200);
  assert.deepEqual(world.kinds(), ["response"]);
});

Deno.test("a name that another holds is given up for the next one", async () => {
  await using world = await World.start();
  await world.pass(250);
  world.say({ type: "SRV", port: 1, target: ["other", "local"] });
  await world.pass(1_000);
  assert.deepEqual(world.events, [
    { type: "renamed", name: "Home c8c7c6c5-2" },
    { type: "announced", name: "Home c8c7c6c5-2", interfaces: ["eth0"] },
  ]);
});

Deno.test("an announced name is kept where nobody holds it against a probe, and given up where somebody does", async () => {
  await using world = await World.announced();
  const other = { type: "SRV", port: 1, target: ["other", "local"] } as const;
  world.say(other);
  await world.pass(1_000);
  assert.deepEqual(world.events.map(({ type }) => type), ["announced", "announced"]);
  world.say(other);
  await world.pass(300);
  world.say(other);
  await world.pass(1_000);
  assert.deepEqual(world.events.slice(2).map(({ type }) => type), ["renamed", "announced"]);
});

Deno.test("somebody who contests every name makes a relay look for one in 5 s at most", async () => {
  await using world = await World.start();
  for (let ms = 0; ms < 120_000; ms += 100) {
    await world.pass(100);
    world.say({ type: "SRV", port: 1, target: ["other", "local"] }, world.currentName());
  }
  const renamed = world.events.filter(({ type }) => type === "renamed").length;
  assert.ok(renamed > 10 && renamed < 40, `${renamed} names in 120 s`);
});

Deno.test("of two relays that probe for one name at once, the one whose records come later gets it", async () => {
  await using world = await World.start();
  await world.pass(250);
  const claim = (port: number) =>
    world.hear(encodeDnsMessage({
      kind: "query",
      questions: [{ name: lanInstanceName(RELAY), type: DnsType.ANY }],
      authorities: [{
        type: "SRV",
        name: lanInstanceName(RELAY),
        port,
        target: lanHostName(FINGERPRINT),
        ttlSeconds: 120,
        flush: false,
      }],
    }));
  claim(9); // an A record, which we have, comes before an SRV record: theirs is later
  await world.pass(950);
  assert.deepEqual(world.events, [], "it waits a second");
  await world.pass(1_050);
  assert.deepEqual(world.events.map(({ type }) => type), ["announced"]);
});

Deno.test("what this machine itself says is no conflict, and its questions are answered", async () => {
  await using world = await World.announced({ interfaces: [ETHERNET, WLAN] });
  world.say({ type: "SRV", port: 1, target: ["other", "local"] }, lanInstanceName(RELAY), "192.168.1.5");
  await world.pass(2_000);
  assert.deepEqual(world.events.map(({ type }) => type), ["announced"]);
  world.ask({}, { hostname: "192.168.1.5" });
  world.takeSent();
  await world.pass(120);
  assert.deepEqual(world.kinds(), ["response"]);
});

Deno.test("at its end a relay takes back what it said, on every interface", async () => {
  const world = await World.announced({ interfaces: [ETHERNET, WLAN] });
  await world.announcer.stop();
  await world.announcer.stop();
  const messages = world.messages();
  assert.equal(messages.length, 2);
  for (const { kind, answers } of messages) {
    assert.equal(kind, "response");
    assert.ok(answers.length >= 4 && answers.every(({ ttlSeconds }) => ttlSeconds === 0));
  }
  assert.ok(world.socket.closed);
  assert.equal(world.clock.pendingTimers, 0);
});

Deno.test("a relay that is stopped while it probes says nothing more", async () => {
  const world = await World.start();
  await world.pass(300);
  const before = world.lan.sent.length;
  await world.announcer.stop();
  await world.pass(10_000);
  assert.equal(world.lan.sent.length, before);
  assert.equal(world.clock.pendingTimers, 0);
});

Deno.test("an interface that comes is used, one that goes is not any more", async () => {
  await using world = await World.announced({ interfaces: [ETHERNET] });
  await world.announcer.update({ interfaces: [WLAN] });
  await world.pass(3_000);
  assert.deepEqual(new Set(world.takeSent().map(({ hostname }) => hostname)), new Set(["10.0.0.5"]));
  await world.announcer.update({ interfaces: [] });
  world.ask();
  await world.pass(3_000);
  assert.deepEqual(world.takeSent().filter(({ hostname }) => hostname !== NEIGHBOUR), []);
});

Deno.test("a relay that is called something else takes its former name back and announces the new one", async () => {
  await using world = await World.announced();
  await world.announcer.update({ name: "Away" });
  await world.pass(3_000);
  const [goodbye, ...others] = world.messages();
  assert.ok(goodbye.answers.every(({ ttlSeconds }) => ttlSeconds === 0));
  assert.deepEqual(others.map(({ kind }) => kind), ["query", "query", "query", "response", "response"]);
  assert.deepEqual(world.events.at(-1), { type: "announced", name: "Away c8c7c6c5", interfaces: ["eth0"] });
});

Deno.test("an interface that does not work is told once, and the others are used", async () => {
  const socket = new FakeLan();
  await using world = await World.announced({
    interfaces: [ETHERNET, WLAN],
    lan: socket,
    broken: ["eth0"],
  });
  world.ask({}, { hostname: "10.0.0.9" });
  await world.pass(2_000);
  const failed = world.events.filter(({ type }) => type === "failed");
  assert.deepEqual(failed, [{ type: "failed", reason: "Cannot listen on eth0" }]);
  assert.equal(world.answersFrom("10.0.0.5").length, 1);
});

interface WorldOptions {
  readonly relay?: LanRelay;
  readonly interfaces?: readonly LanInterface[];
  readonly lan?: FakeLan;
  readonly broken?: readonly string[];
}

/** A relay on a network, and a neighbour that listens and speaks. */
class World implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly events: LanAnnouncerEvent[] = [];
  readonly socket: FakeSocket;
  readonly lan: FakeLan;
  readonly announcer: ReturnType<typeof startLanAnnouncer>;
  readonly #settling = new Settling();
  #seen = 0;

  private constructor(
    { relay = RELAY, interfaces = [ETHERNET], lan = new FakeLan(), broken = [] }: WorldOptions,
  ) {
    this.lan = lan;
    this.socket = lan.open();
    for (const name of broken) this.socket.broken.add(name);
    this.announcer = startLanAnnouncer({
      relay,
      interfaces,
      socket: this.socket,
      clock: this.clock,
      random: () => 0.5,
      onEvent: (event) => this.events.push(event),
    });
  }

  /** Before the first probe. */
  static async start(options: WorldOptions = {}): Promise<World> {
    const world = new World(options);
    await world.#settling.settled();
    return world;
  }

  /** When everything has been announced. */
  static async announced(options: WorldOptions = {}): Promise<World> {
    const world = await World.start(options);
    for (let i = 0; i < 10; i++) await world.pass(300);
    world.takeSent();
    return world;
  }

  async pass(ms: number): Promise<void> {
    await this.#settling.settled();
    this.clock.advance(ms);
    await this.#settling.settled();
  }

  /** What the relay has sent since the last look. */
  takeSent(): Datagram[] {
    const sent = this.lan.sent.slice(this.#seen);
    this.#seen = this.lan.sent.length;
    return sent;
  }

  messages(): DnsMessage[] {
    const own = this.takeSent().filter(({ hostname }) => hostname.endsWith(".5"));
    return own.map(({ bytes }) => decodeDnsMessage(bytes));
  }

  kinds(): string[] {
    return this.messages().map(({ kind }) => kind);
  }

  answersFrom(hostname: string): DnsMessage[] {
    return this.lan.sent.slice(this.#seen).filter((one) => one.hostname === hostname)
      .map(({ bytes }) => decodeDnsMessage(bytes)).filter(({ kind }) => kind === "response");
  }

  hear(bytes: Uint8Array, from: { hostname: string; port?: number } = { hostname: NEIGHBOUR }): void {
    if (from.hostname.startsWith("203.")) {
      // A packet from elsewhere that comes in through the interface all the same.
      this.socket.hear({ bytes, hostname: from.hostname, port: 5353 }, "192.168.1");
    } else this.lan.inject(bytes, from);
  }

  ask(
    message: Partial<DnsMessage> = {},
    from: { hostname: string; port?: number } = { hostname: NEIGHBOUR },
  ): void {
    this.hear(question(message), from);
  }

  /** Somebody says something of the relay's name. */
  say(data: DnsData, name: DnsName = this.currentName(), hostname = NEIGHBOUR): void {
    this.hear(
      encodeDnsMessage({ kind: "response", answers: [{ ...data, name, ttlSeconds: 120, flush: true }] }),
      { hostname },
    );
  }

  currentName(): DnsName {
    const renamed = this.events.findLast((event) => event.type !== "failed");
    return renamed?.type === "renamed" || renamed?.type === "announced"
      ? [renamed.name, ...LAN_SERVICE]
      : lanInstanceName(RELAY);
  }

  /** The last answer or announcement that the interface with this address has seen. */
  lastAnswer(hostname = "192.168.1.5"): DnsMessage {
    const { bytes } = this.lan.sent.findLast((one) => one.hostname === hostname)!;
    return decodeDnsMessage(bytes);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.announcer.stop();
  }
}

function question(message: Partial<DnsMessage> = {}): Uint8Array {
  return encodeDnsMessage({
    kind: "query",
    questions: [{ name: LAN_SERVICE, type: DnsType.PTR }],
    ...message,
  });
}
