/** Looking for relays on the local network: what is found, and what others there cannot make of it. */

import assert from "node:assert/strict";
import { browse } from "../../client/discovery/mod.ts";
import { MAX_LAN_ENDPOINTS, MAX_LAN_RELAYS } from "../../client/limits.ts";
import {
  decodeDnsMessage,
  type DnsData,
  type DnsName,
  type DnsRecord,
  DnsType,
  encodeDnsMessage,
  FakeClock,
  formatLanTxt,
  LAN_SERVICE,
  lanHostName,
  lanInstanceName,
  type LanInterface,
  type LanService,
  parseIp,
  toBase64Url,
  utf8,
} from "../../proto/mod.ts";
import { startLanAnnouncer } from "../../server/discovery/mod.ts";
import { FakeLan, lanInterface } from "../helpers/fake_lan.ts";
import { Settling } from "../helpers/settling.ts";

const HERE = lanInterface("eth0", "192.168.1.9", "2001:db8::9");
const THERE = "192.168.1.5";

Deno.test("a relay on the network is found, with its name, fingerprint and endpoints", async () => {
  await using world = new World();
  world.announce("Home", 1, lanInterface("eth0", "192.168.1.5", "2001:db8::5"));
  await world.pass(4_000);
  assert.deepEqual(world.found, [{
    name: "Home",
    fingerprint: toBase64Url(fingerprintOf(1)),
    endpoints: ["192.168.1.5:7700", "[2001:db8::5]:7700"],
  }]);
});

Deno.test("a relay that has been there for long answers the first question", async () => {
  await using world = new World({ browsing: false });
  world.announce("Home", 1, lanInterface("eth0", THERE));
  await world.pass(60_000);
  world.browse();
  await world.pass(119);
  await world.pass(121);
  assert.equal(world.found.length, 1);
});

Deno.test("two relays of one name are two", async () => {
  await using world = new World();
  world.announce("Arona", 1, lanInterface("eth0", "192.168.1.5"));
  world.announce("Arona", 2, lanInterface("eth0", "192.168.1.6"));
  await world.pass(4_000);
  assert.deepEqual(new Set(world.found.map(({ fingerprint }) => fingerprint)).size, 2);
  assert.ok(world.found.every(({ name }) => name === "Arona"));
});

Deno.test("two relays on one machine are two", async () => {
  await using world = new World();
  world.announce("Arona", 1, lanInterface("eth0", THERE));
  world.announce("Arona", 2, lanInterface("eth0", THERE));
  await world.pass(4_000);
  assert.equal(world.found.length, 2);
});

Deno.test("a relay that is reached through two interfaces is one with two endpoints", async () => {
  await using world = new World({ interfaces: [HERE, lanInterface("wlan0", "10.0.0.9")] });
  world.announce("Home", 1, lanInterface("eth0", "192.168.1.5"), lanInterface("wlan0", "10.0.0.5"));
  await world.pass(4_000);
  assert.deepEqual(world.found.at(-1)!.endpoints.toSorted(), ["10.0.0.5:7700", "192.168.1.5:7700"]);
  assert.equal(new Set(world.found.map(({ fingerprint }) => fingerprint)).size, 1);
});

Deno.test("questions come after 20 to 120 ms, then after 1, 2, 4 s and so on, and say what is known", async () => {
  await using world = new World();
  const times: number[] = [];
  for (let ms = 0; ms < 8_000; ms += 10) {
    const before = world.lan.sent.length;
    await world.pass(10);
    if (world.lan.sent.length > before) times.push(ms + 10);
    if (ms === 500) world.say(records({ name: "Home", mark: 1 }));
  }
  assert.deepEqual(times, [70, 1_070, 3_070, 7_070]);
  const questions = world.questions();
  assert.deepEqual(questions.map(({ answers }) => answers.length), [0, 1, 1, 1]);
  assert.deepEqual(questions[0].questions, [{ name: LAN_SERVICE, type: DnsType.PTR }]);
});

Deno.test("what an announcement leaves out is asked for", async () => {
  await using world = new World();
  const all = records({ name: "Home", mark: 1 });
  const only = (...types: string[]) => all.filter(({ type }) => types.includes(type));
  const name = lanInstanceName({ name: "Home", fingerprint: fingerprintOf(1) });
  await world.pass(200);
  world.say(only("PTR"));
  await world.pass(1_000);
  assert.deepEqual(world.questions().at(-1)!.questions.slice(1), [{ name, type: DnsType.ANY }]);
  world.say(only("SRV", "TXT"));
  await world.pass(2_000);
  assert.deepEqual(world.questions().at(-1)!.questions.slice(1), [
    { name: lanHostName(fingerprintOf(1)), type: DnsType.ANY },
  ]);
  assert.deepEqual(world.found, []);
  world.say(only("A"));
  await world.pass(0);
  assert.equal(world.found.length, 1);
});

Deno.test("a relay that has said goodbye is not given out", async () => {
  await using world = new World();
  const all = records({ name: "Home", mark: 1 });
  world.say(all.filter(({ type }) => type !== "A"));
  world.say(all.map((record) => ({ ...record, ttlSeconds: 0 })));
  world.say(all.filter(({ type }) => type === "A"));
  await world.pass(100);
  assert.deepEqual(world.found, []);
});

Deno.test("a relay that is called something else comes again", async () => {
  await using world = new World();
  for (const name of ["Before", "Before", "After"]) {
    world.say(records({ name, mark: 1 }));
    await world.pass(10);
  }
  assert.deepEqual(world.found.map(({ name }) => name), ["Before", "After"]);
});

for (
  const [what, address] of [
    ["this computer", "127.0.0.1"],
    ["another network", "10.1.2.3"],
    ["the internet", "93.184.216.34"],
    ["this computer, as IPv6", "::1"],
    ["another network, as IPv6", "2001:db8:1::1"],
  ]
) {
  Deno.test(`an announcement that leads to ${what} is not followed`, async () => {
    await using world = new World();
    world.say(records({ name: "Home", mark: 1, addresses: [address] }));
    await world.pass(100);
    assert.deepEqual(world.found, []);
  });
}

Deno.test("nothing is believed that comes from another network or another port", async () => {
  await using world = new World();
  const bytes = encodeDnsMessage({ kind: "response", answers: records({ name: "Home", mark: 1 }) });
  world.lan.inject(bytes, { hostname: THERE, port: 5354 });
  world.hearFromAbroad(bytes);
  await world.pass(100);
  assert.deepEqual(world.found, []);
});

for (
  const [what, strings] of [
    ["without a fingerprint", ["txtvers=1", "v=2", "name=x"]],
    ["with half of one", ["txtvers=1", "fp=AAAA", "v=2", "name=x"]],
    ["of another version", ["txtvers=2", `fp=${toBase64Url(fingerprintOf(1))}`, "v=2"]],
    ["with a name that would move the cursor", [
      "txtvers=1",
      `fp=${toBase64Url(fingerprintOf(1))}`,
      "v=2",
      "name=\x1b[2J",
    ]],
  ] as const
) {
  Deno.test(`an announcement ${what} is not given out`, async () => {
    await using world = new World();
    world.say(
      records({ name: "Home", mark: 1 }).map((record) =>
        record.type === "TXT" ? { ...record, strings: strings.map(utf8) } : record
      ),
    );
    await world.pass(100);
    assert.deepEqual(world.found, []);
  });
}

Deno.test("somebody who makes up relays gets a bounded list, and a relay found before stays", async () => {
  await using world = new World();
  world.say(records({ name: "Home", mark: 1 }));
  await world.pass(100);
  for (let mark = 2; mark < 200; mark++) {
    world.say(records({ name: "x".repeat(60), mark }));
    await world.pass(20);
  }
  assert.equal(world.found.length, MAX_LAN_RELAYS);
  assert.equal(world.found[0].name, "Home");
});

Deno.test("somebody who makes up addresses gets a bounded list", async () => {
  await using world = new World();
  for (let i = 10; i < 200; i += 10) {
    const addresses = Array.from({ length: 10 }, (_, j) => `192.168.1.${i + j}`);
    world.say(records({ name: "Home", mark: 1, addresses }));
    await world.pass(20);
  }
  assert.ok(world.found.every(({ endpoints }) => endpoints.length <= MAX_LAN_ENDPOINTS));
});

Deno.test("what does not decode is passed over", async () => {
  await using world = new World();
  world.lan.inject(new Uint8Array(12).fill(255), { hostname: THERE });
  world.say(records({ name: "Home", mark: 1 }));
  await world.pass(100);
  assert.equal(world.found.length, 1);
});

Deno.test("it ends when it is told to, and closes the socket", async () => {
  const world = new World();
  await world.pass(100);
  world.end();
  await world.finished;
  assert.ok(world.socket.closed);
  assert.equal(world.clock.pendingTimers, 0);
});

Deno.test("it ends when nobody wants to hear more, and closes the socket", async () => {
  const lan = new FakeLan();
  const socket = lan.open();
  const clock = new FakeClock();
  const services = browse({
    socket,
    interfaces: [HERE],
    clock,
    random: () => 0.5,
    signal: new AbortController().signal,
  });
  const first = services.next();
  await new Settling().settled();
  lan.inject(encodeDnsMessage({ kind: "response", answers: records({ name: "Home", mark: 1 }) }), {
    hostname: THERE,
  });
  assert.equal((await first).value?.name, "Home");
  await services.return(undefined);
  assert.ok(socket.closed);
  assert.equal(clock.pendingTimers, 0);
});

/** A network with somebody who looks for relays. */
class World implements AsyncDisposable {
  readonly lan = new FakeLan();
  readonly clock = new FakeClock();
  readonly socket = this.lan.open();
  readonly found: LanService[] = [];
  readonly #abort = new AbortController();
  readonly #settling = new Settling();
  readonly #announcers: { stop(): Promise<void> }[] = [];
  readonly #interfaces: readonly LanInterface[];
  finished: Promise<void> = Promise.resolve();

  constructor(options: { browsing?: boolean; interfaces?: readonly LanInterface[] } = {}) {
    this.#interfaces = options.interfaces ?? [HERE];
    if (options.browsing ?? true) this.browse();
  }

  browse(): void {
    this.finished = (async () => {
      const { socket, clock } = this;
      const signal = this.#abort.signal;
      for await (
        const service of browse({ socket, clock, signal, interfaces: this.#interfaces, random: () => 0.5 })
      ) this.found.push(service);
    })();
  }

  announce(name: string, mark: number, ...interfaces: readonly LanInterface[]): void {
    this.#announcers.push(startLanAnnouncer({
      relay: {
        name,
        fingerprint: fingerprintOf(mark),
        protocols: [2],
        listen: { hostname: "::", port: 7700 },
      },
      socket: this.lan.open(),
      interfaces,
      clock: this.clock,
      random: () => 0.5,
    }));
  }

  say(answers: readonly DnsRecord[]): void {
    this.lan.inject(encodeDnsMessage({ kind: "response", answers }), { hostname: THERE });
  }

  /** A packet from elsewhere that comes in through the interface all the same. */
  hearFromAbroad(bytes: Uint8Array): void {
    this.socket.hear({ bytes, hostname: "203.0.113.9", port: 5353 }, "192.168.1");
  }

  questions() {
    return this.lan.sent.filter(({ hostname }) => hostname === HERE.ipv4.address)
      .map(({ bytes }) => decodeDnsMessage(bytes));
  }

  /** In steps, so that what is answered at once is heard at once. */
  async pass(ms: number): Promise<void> {
    await this.#settling.settled();
    for (let left = ms; left > 0; left -= 10) {
      this.clock.advance(Math.min(10, left));
      await this.#settling.settled();
    }
  }

  end(): void {
    this.#abort.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.end();
    await this.finished;
    for (const announcer of this.#announcers) await announcer.stop();
  }
}

function fingerprintOf(mark: number): Uint8Array {
  return new Uint8Array(32).fill(7).fill(mark, 0, 4);
}

function records(
  options: { name: string; mark: number; addresses?: readonly string[] },
): DnsRecord[] {
  const { name, mark, addresses = [THERE] } = options;
  const fingerprint = fingerprintOf(mark);
  const instance = lanInstanceName({ name, fingerprint });
  const host = lanHostName(fingerprint);
  const record = (name: DnsName, data: DnsData): DnsRecord => ({
    ...data,
    name,
    ttlSeconds: 120,
    flush: false,
  });
  return [
    record(LAN_SERVICE, { type: "PTR", target: instance }),
    record(instance, { type: "SRV", port: 7700, target: host }),
    record(instance, { type: "TXT", strings: formatLanTxt({ name, fingerprint, protocols: [2] }) }),
    ...addresses.map((text) => {
      const address = parseIp(text)!;
      return record(host, { type: address.length === 4 ? "A" : "AAAA", address });
    }),
  ];
}
