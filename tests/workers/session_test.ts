/** A session behind its wall: the ChatClient suite over a real worker, what it may not do, and how it ends. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { type KnownRelay, relayFromLink } from "../../client/discovery/mod.ts";
import { AronaError, parseLink, systemClock } from "../../proto/mod.ts";
import type { LinkContract } from "../../workers/link_worker.ts";
import { Links } from "../../workers/links.ts";
import { moved } from "../../workers/rpc.ts";
import { type Session, startSession } from "../../workers/session.ts";
import type { SourceContract } from "../../workers/source_worker.ts";
import { spawnWorker } from "../../workers/spawn.ts";
import { WalledDiscovery } from "../../workers/walled_discovery.ts";
import { inWorld, type World } from "../helpers/world.ts";
import { chatClientSuite } from "../suites/chat_client_suite.ts";

interface Started extends AsyncDisposable {
  readonly session: Session;
  readonly folder: string;
  /** What the supervisor was told of the profile's relay. */
  readonly told: KnownRelay[];
  readonly asked: boolean[];
}

async function start(
  world: World,
  options: {
    link?: string;
    folder?: string;
    passphrases?: string[];
    tries?: number;
    module?: URL;
  } = {},
): Promise<Started> {
  const { link = world.relay.link, passphrases = [], tries = 1, module } = options;
  const temporary = await Deno.makeTempDir({ prefix: "arona-session-" });
  const folder = options.folder ?? join(temporary, "profiles", "alice");
  const links = new Links();
  const discovery = new WalledDiscovery({ clock: systemClock, links });
  const told: KnownRelay[] = [];
  const asked: boolean[] = [];
  const create = options.folder === undefined;
  const relay = create ? relayFromLink(parseLink(link)) : undefined;
  const stop = async () => {
    discovery[Symbol.dispose]();
    links[Symbol.dispose]();
    await Deno.remove(temporary, { recursive: true });
  };
  try {
    const session = await startSession({
      init: {
        kind: "client",
        folder,
        create,
        isNewFolder: create,
        tries,
        lan: false,
        relay,
        username: create ? "alice" : undefined,
      },
      ...{ clock: systemClock, links, discovery, named: relay, connects: true, module },
      passphrase(again) {
        asked.push(again);
        return Promise.resolve(passphrases.shift() ?? "");
      },
      relayFor(known) {
        told.push(known);
        return Promise.resolve(undefined);
      },
      onFault: (error) => {
        throw error;
      },
      signal: new AbortController().signal,
    });
    return {
      ...{ session, folder, told, asked },
      async [Symbol.asyncDispose]() {
        await session.close();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

chatClientSuite("client in a worker", async (world, { link }) => {
  const started = await start(world, { link });
  return { client: started.session.client, end: async () => await started[Symbol.asyncDispose]() };
});

Deno.test("a session tells what its profile knows of the relay, once, and goes on with it", () =>
  inWorld(async (world) => {
    await using first = await start(world, { passphrases: ["open sesame"] });
    const { session, folder, told } = first;
    assert.deepEqual([session.created, session.unprotected, told], [true, false, []]);
    await session.client.connect();
    await session.client.join("#tea");
    await session.close();
    await using again = await start(world, { folder, passphrases: ["open sesame"] });
    assert.deepEqual([again.session.created, again.told.length], [false, 1]);
    assert.deepEqual(again.session.client.conversations().map(({ title }) => title), ["#tea"]);
    await again.session.client.connect();
    assert.deepEqual((await again.session.client.channels()).length, 1);
  }));

Deno.test("a session asks again for a wrong passphrase, and as often as it may", () =>
  inWorld(async (world) => {
    await using first = await start(world, { passphrases: ["open sesame"] });
    const { folder } = first;
    await first.session.close();
    {
      await using second = await start(world, { folder, passphrases: ["no", "open sesame"], tries: 3 });
      assert.deepEqual(second.asked, [false, true]);
    }
    await assert.rejects(start(world, { folder, passphrases: ["a", "b", "c"], tries: 2 }), {
      name: "AronaError",
      code: "WRONG_PASSPHRASE",
    });
    await using last = await start(world, { folder, passphrases: ["open sesame"] });
    assert.equal(last.session.client.account, "alice", "nothing holds the profile any more");
  }));

Deno.test("a profile that a session has open is in use", () =>
  inWorld(async (world) => {
    await using first = await start(world);
    await assert.rejects(start(world, { folder: first.folder }), { code: "PROFILE_IN_USE" });
  }));

Deno.test("a session that made its profile for nothing can take it back", () =>
  inWorld(async (world) => {
    await using first = await start(world);
    await first.session.discard();
    await assert.rejects(Deno.stat(first.folder), Deno.errors.NotFound);
    await using second = await start(world);
    await second.session.close();
    await using third = await start(world, { folder: second.folder });
    await third.session.discard();
    assert.ok((await Deno.stat(second.folder)).isDirectory, "one that was there before stays");
  }));

Deno.test("a session that was taken over reaches its folder, and what was named, and nothing else", () =>
  inWorld(async (world) => {
    const other = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    try {
      const { port } = other.addr as Deno.NetAddr;
      const module = new URL("./rogue_session_worker.ts", import.meta.url);
      const tried = await start(world, { module, passphrases: [String(port)] }).then(
        () => assert.fail("it only reports"),
        (error) => JSON.parse(error.message) as Record<string, string>,
      );
      assert.deepEqual(tried, {
        "write and read in the folder": "done",
        "connect to the relay by itself": "NotCapable",
        "connect to another address by itself": "NotCapable",
        "listen": "NotCapable",
        "fetch": "NotCapable",
        "read outside": "NotCapable",
        "write outside": "NotCapable",
        "read the environment": "NotCapable",
        "run a program": "NotCapable",
        "load a library": "NotCapable",
        "ask for the machine's name": "NotCapable",
        "start a worker with more rights": "NotCapable",
        "be connected with the relay": "done",
        "be connected with another address": "FORBIDDEN",
        "be connected with an address of a forged document": "FORBIDDEN",
        "have a Gist looked at": "FORBIDDEN",
        "have another address looked at": "FORBIDDEN",
        "have the local network looked at": "FORBIDDEN",
        "name another relay": "WRONG_RELAY",
        "ask for the passphrase again": "FORBIDDEN",
      });
    } finally {
      other.close();
    }
  }));

Deno.test("a session follows its relay to an address that the relay's own document names", () =>
  inWorld(async (world) => {
    const { hostname, port } = parseLink(world.relay.link);
    await world.relay.setPublicAddresses([`${hostname}:${port}`]);
    // The link leads to a place where only the document can still be had.
    const before = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const handedOver = (async () => {
      const asking = await before.accept();
      before.close();
      const answering = await Deno.connect({ hostname, port });
      await Promise.allSettled([
        asking.readable.pipeTo(answering.writable),
        answering.readable.pipeTo(asking.writable),
      ]);
    })();
    const link = world.relay.link.replace(`:${port}`, `:${(before.addr as Deno.NetAddr).port}`);
    await using started = await start(world, { link });
    await started.session.client.connect();
    assert.equal(started.session.client.relay.endpoints[0], `${hostname}:${port}`);
    await handedOver;
  }));

Deno.test("a link carries bytes to its own address alone", async () => {
  const own = { hostname: "127.0.0.1", port: 9 };
  const { port1, port2 } = new MessageChannel();
  using worker = await spawnWorker<LinkContract>("link", {
    parameters: { endpoint: own },
    init: { endpoint: { ...own, port: 10 } },
  });
  const { signal } = new AbortController();
  await assert.rejects(worker.remote.connect(1, moved(port2), signal), {
    code: "UNREACHABLE",
    message: "Cannot connect to 127.0.0.1:10: no permission for this address",
  });
  port1.close();
});

Deno.test("a source worker asks its own server alone", async () => {
  const served: string[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, ({ url }) => {
    served.push(new URL(url).pathname);
    return new Response("no document", { status: 404 });
  });
  const here = { kind: "web", host: `127.0.0.1:${server.addr.port}` } as const;
  using worker = await spawnWorker<SourceContract>("source", {
    parameters: { urls: [`http://${here.host}`] },
    init: {},
  });
  const { signal } = new AbortController();
  await assert.rejects(worker.remote.look(here, {}, signal), { code: "NOT_FOUND" });
  assert.deepEqual(served, ["/.well-known/arona.json"]);
  await assert.rejects(worker.remote.look({ kind: "web", host: "127.0.0.1:9" }, {}, signal), {
    code: "UNREACHABLE",
  });
  await server.shutdown();
});

Deno.test("when its worker ends, a client's calls fail and the connection is lost for good", () =>
  inWorld(async (world) => {
    await using started = await start(world);
    const { client } = started.session;
    const finals: unknown[] = [];
    client.on("Status", (event) => finals.push(event.final));
    client.fail(new AronaError("INTERNAL", "Cannot go on: it has ended"), 0);
    assert.deepEqual([finals, client.online, client.status.status], [[true], false, "offline"]);
  }));
