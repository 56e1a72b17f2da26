/** A session that was taken over: tries everything that it should not be able to do, and fails with what came of it. */

import { dirname, join } from "node:path";
import {
  type CryptoProvider,
  formatEndpoint,
  parseEndpoint,
  PROTOCOL_VERSION,
  relayKeyId,
  selectProvider,
  signDocument,
} from "../../proto/mod.ts";
import { runRole } from "../../workers/role.ts";
import { moved } from "../../workers/rpc.ts";
import type { SessionContract } from "../../workers/session_worker.ts";

runRole<SessionContract>(async (init, { host }) => {
  if (init.kind !== "client") throw new Error("this one makes no links");
  const { folder, relay } = init;
  const { signal } = new AbortController();
  const own = parseEndpoint(relay!.endpoints[0]);
  const other = { hostname: "127.0.0.1", port: Number(await host.passphrase(false)) };
  const outside = join(dirname(folder), "outside");
  const dial = (endpoint: typeof own, document: Uint8Array | null) =>
    host.dial(1, { endpoint, document }, moved(new MessageChannel().port2), signal);
  const look = (source: Parameters<typeof host.look>[0]) => host.look(source, { document: null }, signal);
  const forged = await forgedDocument(await selectProvider(), formatEndpoint(other));
  const attempts: Record<string, () => unknown> = {
    "write and read in the folder": async () => {
      await Deno.mkdir(folder, { recursive: true });
      await Deno.writeTextFile(join(folder, "mine"), "x");
      await Deno.readTextFile(join(folder, "mine"));
    },
    "connect to the relay by itself": () => Deno.connect(own),
    "connect to another address by itself": () => Deno.connect(other),
    "listen": () => Deno.listen({ hostname: "127.0.0.1", port: 0 }),
    "fetch": () => fetch(`http://127.0.0.1:${other.port}/`),
    "read outside": () => Deno.readTextFile(outside),
    "write outside": () => Deno.writeTextFile(outside, "x"),
    "read the environment": () => Deno.env.get("HOME"),
    "run a program": () => new Deno.Command("true").output(),
    "load a library": () => Deno.dlopen("libc.so.6", {}),
    "ask for the machine's name": () => Deno.hostname(),
    "start a worker with more rights": () => {
      const deno = { permissions: { net: true } } as const;
      new Worker(new URL("./probe_worker.ts", import.meta.url), { type: "module", deno });
    },
    "be connected with the relay": () => dial(own, null),
    "be connected with another address": () => dial(other, null),
    "be connected with an address of a forged document": () => dial(other, forged),
    "have a Gist looked at": () => look({ kind: "gist", id: "0123456789abcdef0123456789abcdef" }),
    "have another address looked at": () => look({ kind: "endpoint", ...other }),
    "have the local network looked at": () => look({ kind: "lan" }),
    "ask for the passphrase again": () => host.passphrase(true),
    "name another relay": () => host.relayFor({ ...relay!, fingerprint: new Uint8Array(32) }),
  };
  const outcomes: Record<string, string> = {};
  for (const [what, attempt] of Object.entries(attempts)) {
    try {
      await attempt();
      outcomes[what] = "done";
    } catch (error) {
      outcomes[what] = (error as { code?: string }).code ?? (error as Error).name;
    }
  }
  throw new Error(JSON.stringify(outcomes));
});

/** Rightly signed, by somebody else than the relay. */
async function forgedDocument(crypto: CryptoProvider, endpoint: string): Promise<Uint8Array> {
  const identity = await crypto.signatureKeyPair("ML-DSA-65");
  const { publicKey } = await crypto.kemKeyPair("X-Wing");
  const nowMs = Date.now();
  const [notBeforeMs, notAfterMs] = [nowMs - 60_000, nowMs + 3_600_000];
  return await signDocument(crypto, {
    name: "forged",
    endpoints: [endpoint],
    relayKey: { id: relayKeyId(crypto, publicKey), publicKey, notBeforeMs, notAfterMs },
    protocols: [PROTOCOL_VERSION],
    sequence: 1,
    issuedAtMs: nowMs,
    expiresAtMs: notAfterMs,
  }, { identity });
}
