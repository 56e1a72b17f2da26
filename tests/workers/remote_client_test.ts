/** The ChatClient suite on a client in this thread, and on one at the other end of a port. */

import { type AronaClient, openClient } from "../../client/mod.ts";
import { createMemoryStore } from "../../client/store/mod.ts";
import { connectTcp } from "../../proto/mod.ts";
import {
  type ClientMessage,
  type ClientMethods,
  MessageQueue,
  serveClient,
} from "../../workers/client_service.ts";
import { RemoteClient } from "../../workers/remote_client.ts";
import { Rpc } from "../../workers/rpc.ts";
import type { World } from "../helpers/world.ts";
import { chatClientSuite } from "../suites/chat_client_suite.ts";

function openAlice(world: World, link = world.relay.link): Promise<AronaClient> {
  const { crypto } = world;
  return openClient({ store: createMemoryStore(), crypto, dial: connectTcp, link, username: "alice" });
}

chatClientSuite("client in this thread", async (world, { link }) => {
  const client = await openAlice(world, link);
  return { client, end: () => client.close() };
});

chatClientSuite("client at a port", async (world, { link }) => {
  const near = remote(await openAlice(world, link));
  return {
    client: near.client,
    async end() {
      await near.client.close();
      near.stop();
    },
  };
});

function remote(client: AronaClient) {
  const { port1, port2 } = new MessageChannel();
  // As in a worker: the methods are there once the service is made.
  const methods: Record<string, (...args: never[]) => unknown> = {};
  const far = new Rpc<Record<never, never>, never, ClientMessage>(port2, { methods });
  const service = serveClient(
    client,
    new MessageQueue({ emit: (message) => far.emit(message), room: () => far.room() }),
  );
  Object.assign(methods, service.methods);
  const near = new Rpc<ClientMethods, ClientMessage>(port1, { onEvent: (message) => result.take(message) });
  const result = new RemoteClient(near.remote, service);
  const stop = () => {
    near.close();
    far.close();
  };
  return { client: result, stop };
}
