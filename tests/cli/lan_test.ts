/** Relays on a local network, each in a network namespace of its own: announced, found, gone. */

import assert from "node:assert/strict";
import { networks, onHost, TestNetwork } from "../helpers/network.ts";
import { requirement, requireTool } from "../require.ts";
import { Arona } from "./processes.ts";

const withTerminal = requirement(
  networks.present && requireTool("script").present,
  "network namespaces (iproute2 as root) or script are not there",
);
const MAIN = path("../../main.ts");
const BROWSE = path("../helpers/browse_main.ts");

networks.test("a relay on one machine is found from another, and says goodbye when it ends", async () => {
  await using world = await World.create(2);
  const relay = await world.serve(0, ["--name", "Zuhause"]);
  await relay.process.until("err", /announced on the local network/);
  const looking = world.browse(1);
  const found = await looking.next();
  assert.deepEqual(found, {
    name: "Zuhause",
    fingerprint: relay.listening.fingerprint,
    endpoints: [`${world.address(0)}:7700`],
  });
  relay.process.signal("SIGTERM");
  assert.equal((await relay.process.outcome()).code, 0);
  const successor = await world.serve(0, ["--name", "Next", "--data", `${world.home}/next`]);
  const after = await world.browse(1).next();
  assert.equal(after.fingerprint, successor.listening.fingerprint, "nobody answers for the first one");
});

networks.test("two relays of one name are both found, and whoever looks sees only whom it can reach", async () => {
  await using world = await World.create(3);
  const relays = [await world.serve(0), await world.serve(1)];
  await using _ = await world.plug(0, 7); // a further network, which the others are not in
  const looking = world.browse(2);
  const found = [await looking.next(), await looking.next()];
  assert.deepEqual(
    found.map(({ fingerprint }) => fingerprint).toSorted(),
    relays.map(({ listening }) => listening.fingerprint).toSorted(),
  );
  assert.deepEqual(found.flatMap(({ endpoints }) => endpoints).toSorted(), [
    `${world.address(0)}:7700`,
    `${world.address(1)}:7700`,
  ]);
});

withTerminal.test("whoever sits at a terminal is asked which of two relays it shall be", async () => {
  await using world = await World.create(3);
  const relays = [await world.serve(0, ["--name", "Home"]), await world.serve(1, ["--name", "Work"])];
  for (const { process } of relays) await process.until("err", /announced on the local network/);
  const found = await world.arona(2, ["discover", "lan", "--json"]).outcome();
  assert.deepEqual(
    objects(found.out).map(({ link }) => link).toSorted(),
    relays.map(({ listening }) => listening.link).toSorted(),
  );
  await using chat = world.atTerminal(2, ["connect", "--plain", "--username", "alice"]);
  const [, number] = await chat.until("out", /(\d) {2}Work at .*[^]*Which relay\?/);
  await chat.type(`${number}\n`);
  await chat.until("out", /First contact with the relay Work/);
  await chat.until("out", /You are alice/);
  await chat.type("/quit\n");
  await chat.outcome();
  const id = await world.arona(2, ["id", "--json"]).outcome();
  assert.equal(JSON.parse(id.out).relay.fingerprint, relays[1].listening.fingerprint);
});

networks.test("a relay is not announced with --no-lan, nor where it listens on loopback alone", async () => {
  await using world = await World.create(2);
  const quiet = [
    await world.serve(0, ["--no-lan", "--data", `${world.home}/quiet`, "--listen", "0.0.0.0:7701"]),
    await world.serve(0, ["--data", `${world.home}/loopback`, "--listen", "127.0.0.1:7702"]),
  ];
  const announced = await world.serve(0);
  assert.equal((await world.browse(1).next()).fingerprint, announced.listening.fingerprint);
  for (const { process } of quiet) assert.doesNotMatch(process.err, /local network/);
});

networks.test("arona discover finds the relays that are there; connect takes the only one, and asks where there are two", async () => {
  await using world = await World.create(3);
  const first = await world.serve(0, ["--name", "First"]);
  await first.process.until("err", /announced on the local network/);
  const alone = await world.arona(2, ["discover", "--json"]).outcome();
  assert.equal(alone.code, 0, alone.err);
  const [{ type, source, name, fingerprint, trust }] = objects(alone.out);
  assert.deepEqual([type, source, name], ["Discovered", `${world.address(0)}:7700`, "First"]);
  assert.deepEqual([fingerprint, trust], [first.listening.fingerprint, "first"]);

  const sent = await world.arona(2, ["send", "#general", "hello", "--username", "alice"]).outcome();
  assert.equal(sent.code, 0, sent.err);
  assert.match(sent.err, /Looking for a relay on the local network/);
  assert.match(
    sent.err,
    /First contact with the relay First\. Its key is remembered from now on: [\w-]{43}\./,
  );

  const second = await world.serve(1, ["--name", "Second"]);
  await second.process.until("err", /announced on the local network/);
  const both = await world.arona(2, ["discover", "lan"]).outcome();
  assert.match(both.out, /relay +First\n[^]*relay +Second\n|relay +Second\n[^]*relay +First\n/);
  const { code, err } = await world.arona(2, ["connect", "--plain", "--username", "bob"]).outcome();
  assert.equal(code, 2);
  assert.match(
    err,
    /Cannot choose a relay at lan: there are (First|Second) arona:\/\/.*, (First|Second) arona:\/\//,
  );
  assert.match(err, /Give the link of one of them/);
  const again = await world.arona(2, ["send", "#general", "again", "--username", "alice"]).outcome();
  assert.equal(again.code, 0, again.err); // whose profile knows its own
});

networks.test("a relay is announced in a network that it is put into later, and under the name that it gets later", async () => {
  await using world = await World.create(2);
  const config = `${world.home}/config.json`;
  await Deno.writeTextFile(config, JSON.stringify({ name: "Before" }));
  const relay = await world.serve(0, ["--config", config]);
  await relay.process.until("err", /announced on the local network/);
  await using _here = await world.plug(1, 7);
  const looking = world.browse(1);
  assert.deepEqual((await looking.next()).endpoints, [`${world.address(0)}:7700`]);
  await using _there = await world.plug(0, 7);
  assert.deepEqual((await looking.next()).endpoints, [`${world.address(0)}:7700`, "10.77.7.1:7700"]);
  await Deno.writeTextFile(config, JSON.stringify({ name: "After" }));
  relay.process.signal("SIGHUP");
  const renamed = world.browse(1); // may still hear the goodbye
  let found = await renamed.next();
  while (found.name !== "After") found = await renamed.next();
  assert.equal(found.fingerprint, relay.listening.fingerprint);
});

networks.test("a relay whose machine gets another address publishes that one, also where it keeps silent on the network", async () => {
  await using world = await World.create(2);
  const relay = await world.serve(0, ["--no-lan"]);
  assert.match(relay.listening.link, new RegExp(`^arona://${world.address(0)}:7700#`));
  await world.readdress(0, "10.77.0.99");
  const [line] = await relay.process.until("out", /^\{"type":"Address".*$/m);
  const { address, link } = JSON.parse(line);
  assert.equal(address, "10.77.0.99:7700");
  const found = await world.arona(1, ["discover", link, "--json"]).outcome();
  assert.equal(found.code, 0, found.err);
  assert.deepEqual(objects(found.out)[0].endpoints, ["10.77.0.99:7700"]);
});

networks.test("a relay goes on where the port of multicast DNS is taken, and says so in one line", async () => {
  await using world = await World.create(1);
  await using taken = world.run(0, ["eval", "--no-lock", TAKE_PORT]);
  await taken.until("out", /taken/);
  const relay = await world.serve(0);
  await relay.process.until("err", /not announced on the local network: .*\n/);
  const status = await world.arona(0, ["status", "--json"]).outcome();
  assert.equal(status.code, 0, status.err);
  assert.equal(JSON.parse(status.out).lan, null);
  assert.equal(relay.process.err.match(/local network/g)?.length, 1);
});

/** Has the port to itself, as a program that does not share it. */
const TAKE_PORT = `import { createSocket } from "node:dgram";
createSocket("udp4").bind(5353, "0.0.0.0", () => console.log("taken"));`;

interface Found {
  readonly name: string;
  readonly fingerprint: string;
  readonly endpoints: readonly string[];
}

/** A network, and everything that runs in it. */
class World implements AsyncDisposable {
  readonly #processes: Arona[] = [];

  private constructor(private readonly network: TestNetwork, readonly home: string) {}

  static async create(hosts: number): Promise<World> {
    return new World(await TestNetwork.create(hosts), await Deno.makeTempDir({ prefix: "arona-lan-" }));
  }

  address(host: number): string {
    return this.network.host(host).address;
  }

  /** A relay that listens on all addresses of its host. */
  async serve(host: number, args: readonly string[] = []) {
    const listen = args.includes("--listen") ? [] : ["--listen", "0.0.0.0:7700"];
    const process = this.arona(host, ["serve", "--json", ...listen, ...args]);
    const [line] = await process.until("out", /^.*\n/);
    return { process, listening: JSON.parse(line) as { fingerprint: string; link: string } };
  }

  /** A command; each host has a home of its own. */
  arona(host: number, args: readonly string[]): Arona {
    return this.run(host, ["run", "-A", "--no-check", MAIN, ...args]);
  }

  /** A command on a terminal that does not know its size. */
  atTerminal(host: number, args: readonly string[]): Arona {
    const command = [Deno.execPath(), "run", "-A", "--no-check", MAIN, ...args].join(" ");
    return this.start(host, ["script", "-qec", command, "/dev/null"]);
  }

  browse(host: number): { next(): Promise<Found> } {
    const process = this.run(host, ["run", "-A", "--no-check", BROWSE]);
    let read = 0;
    return {
      async next() {
        await process.until("out", new RegExp(`^(?:.*\\n){${++read}}`));
        return JSON.parse(process.out.split("\n")[read - 1]);
      },
    };
  }

  /** Runs Deno on a host. */
  run(host: number, args: readonly string[]): Arona {
    return this.start(host, [Deno.execPath(), ...args]);
  }

  start(host: number, line: readonly string[]): Arona {
    const [command, args] = onHost(this.network.host(host), line);
    const env = { ARONA_PASSPHRASE: "", ARONA_LAN: "1" };
    const process = new Arona(`${this.home}/${host}`, [], { program: { command, args }, env });
    this.#processes.push(process);
    return process;
  }

  readdress(host: number, address: string): Promise<void> {
    return this.network.readdress(host, address);
  }

  async plug(host: number, network: number): Promise<AsyncDisposable> {
    await this.network.plug(host, { network });
    return { [Symbol.asyncDispose]: () => this.network.unplug(host, { network }) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of this.#processes) await process[Symbol.asyncDispose]();
    await this.network[Symbol.asyncDispose]();
    await Deno.remove(this.home, { recursive: true });
  }
}

function objects(out: string): Record<string, unknown>[] {
  return out.trimEnd().split("\n").map((line) => JSON.parse(line));
}

function path(relative: string): string {
  return new URL(relative, import.meta.url).pathname;
}
