/**
 * One client as a process of its own: opens the profile folder it is told, takes commands as JSON lines and reports every event and
 * every answer as JSON lines (lines.ts). It ends with its input, in good order.
 */

import { type AronaClient, type Conversation, openClient } from "../../../client/mod.ts";
import { openProfileStore } from "../../../client/store/mod.ts";
import { connectTcp, isAronaError, selectProvider } from "../../../proto/mod.ts";
import { type CountedStore, deadlyStore } from "./deadly_store.ts";
import { fastClock } from "./fast_clock.ts";
import { type ChildOptions, type Command, type Fault, historyOf, type Line, linesOf } from "./lines.ts";

if (import.meta.main) await run(JSON.parse(Deno.args[0]));

async function run(options: ChildOptions): Promise<void> {
  const crypto = await selectProvider();
  const { folder, link, username, through } = options;
  let profile;
  let store: CountedStore;
  let client: AronaClient;
  try {
    profile = await openProfileStore({ folder, crypto, create: true, passphrase: () => Promise.resolve("") });
    store = deadlyStore(profile.store, options.death);
    client = await openClient({
      store,
      crypto,
      clock: fastClock(options.speed),
      dial: (address) =>
        connectTcp(through === undefined ? address : { ...address, hostname: "127.0.0.1", port: through }),
      link,
      username,
    });
  } catch (error) {
    say({ kind: "failed", fault: faultOf(error) });
    Deno.exit(1);
  }
  client.onAny((event) => say({ kind: "event", event }));
  say({ kind: "opened" });
  const running = new Set<Promise<void>>();
  for await (const line of linesOf(Deno.stdin.readable)) {
    const { id, ...command } = JSON.parse(line) as Command & { id: number };
    const done: Promise<void> = carryOut(client, store, command as Command).then(
      (value) => say({ kind: "answer", id, value: value ?? null }),
      (error) => say({ kind: "refused", id, fault: faultOf(error) }),
    ).finally(() => running.delete(done));
    running.add(done);
    if (command.do === "close") break;
  }
  await client.close();
  await Promise.all(running);
  profile.close();
  Deno.exit(0);
}

async function carryOut(client: AronaClient, store: CountedStore, command: Command): Promise<unknown> {
  switch (command.do) {
    case "connect":
      return await client.connect({ patient: true });
    case "join":
      return (await client.join(command.channel)).id;
    case "direct":
      return (await client.openDirect(command.account)).id;
    case "create":
      return (await client.createGroup(command.name)).id;
    case "invite":
      return await client.invite(client.find(command.to), command.account);
    case "send": {
      const conversation = client.find(command.to);
      const { id: message, accepted } = client.send(conversation, command.text);
      accepted.then(
        () => say({ kind: "accepted", conversation: conversation.id, message, text: command.text }),
        () => {}, // MsgFailed tells
      );
      return message;
    }
    case "renew":
      return await client.renewKeys(client.find(command.to));
    case "history":
      return historyOf(client, conversationOf(client, command.to));
    case "members":
      return (await client.members(client.find(command.to))).map((member) => member.account);
    case "conversations":
      return client.conversations().map(({ id, title, participation }) => ({ id, title, participation }));
    case "writes":
      return store.writes;
    case "close":
      return;
  }
}

/** The one called `id`, left ones too. */
function conversationOf(client: AronaClient, id: string): Conversation {
  return client.conversations().find((conversation) => conversation.id === id) ?? client.find(id);
}

function faultOf(error: unknown): Fault {
  if (!isAronaError(error)) return { code: "THROWN", message: String(error) };
  const { code, message, hint } = error;
  return { code, message, hint };
}

/** Synchronous: what has been said is in the pipe, whatever happens to this process next. */
function say(line: Line): void {
  const bytes = new TextEncoder().encode(`${JSON.stringify(line)}\n`);
  for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
}
