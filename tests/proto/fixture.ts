/** A relay's identity, keys and document for tests of the wire, and connections made with them. */

import {
  acceptSecure,
  type AcceptSecureOptions,
  connectSecure,
  connectTcp,
  type CryptoProvider,
  type DiscoveryDocument,
  type DiscoveryFields,
  FakeClock,
  type HandshakeRefusal,
  type KeyPair,
  listenTcp,
  memoryTransportPair,
  type RelayGreeting,
  type RelayHandshakeKeys,
  relayKeyId,
  ReplayGuard,
  type SecureConnection,
  selectProvider,
  signDocument,
  type Transport,
  verifyDocument,
} from "../../proto/mod.ts";
import { createNobleProvider } from "../../proto/crypto/noble.ts";

export const START_MS = Date.UTC(2026, 0, 1);
export const DAY_MS = 86_400_000;
export const noble = createNobleProvider();
export const provider = await selectProvider();

export const GREETING: RelayGreeting = {
  version: 2,
  boot: "00112233445566ff",
  name: "Arona at home",
  powBits: 8,
  inviteOnly: false,
  timeMs: START_MS,
};

/** Everything a relay has. */
export interface TestRelay {
  readonly identity: KeyPair;
  readonly relayKeyPair: KeyPair;
  readonly fields: DiscoveryFields;
  readonly bytes: Uint8Array;
  readonly document: DiscoveryDocument;
  readonly keys: RelayHandshakeKeys;
}

/** Makes a relay; `fill` decides all its keys. */
export async function testRelay(crypto: CryptoProvider = provider, fill = 1): Promise<TestRelay> {
  const identity = await crypto.signatureKeyPair("ML-DSA-65", new Uint8Array(32).fill(fill));
  const relayKeyPair = await crypto.kemKeyPair("X-Wing", new Uint8Array(32).fill(fill + 1));
  const fields: DiscoveryFields = {
    name: GREETING.name,
    endpoints: ["relay.example:7700", "[2001:db8::7]:7700"],
    relayKey: {
      id: relayKeyId(crypto, relayKeyPair.publicKey),
      publicKey: relayKeyPair.publicKey,
      notBeforeMs: START_MS,
      notAfterMs: START_MS + 30 * DAY_MS,
    },
    protocols: [2],
    sequence: 7,
    issuedAtMs: START_MS,
    expiresAtMs: START_MS + 7 * DAY_MS,
  };
  const bytes = await signDocument(crypto, fields, { identity });
  const document = await verifyDocument(crypto, bytes, { nowMs: START_MS });
  const keys = {
    fingerprint: document.fingerprint,
    keys: [{ id: fields.relayKey.id, privateKey: relayKeyPair.privateKey }],
  };
  return { identity, relayKeyPair, fields, bytes, document, keys };
}

let shared: Promise<TestRelay> | undefined;

/** One relay for all tests that do not care. */
export function sharedRelay(): Promise<TestRelay> {
  return shared ??= testRelay();
}

/** How tests reach a relay: in memory or over a real socket. */
export interface Wire {
  readonly name: string;
  /** A connected pair; `dispose` frees the rest. */
  open(): Promise<{ client: Transport; server: Transport; dispose: () => void }>;
}

export const memoryWire: Wire = {
  name: "memory",
  open() {
    const [client, server] = memoryTransportPair();
    return Promise.resolve({ client, server, dispose() {} });
  },
};

export const tcpWire: Wire = {
  name: "TCP",
  async open() {
    const listener = listenTcp({ hostname: "127.0.0.1", port: 0 });
    const accepting = listener.accept[Symbol.asyncIterator]().next();
    const client = await connectTcp(listener.address);
    const { value: server } = await accepting;
    return { client, server, dispose: () => listener.close() };
  },
};

/** A relay's end that waits for what a test sends by hand. */
export interface Accepting {
  readonly client: Transport;
  readonly accepted: Promise<SecureConnection | null>;
  /** Why it gave null. */
  readonly refusals: string[];
  readonly clock: FakeClock;
  dispose(): void;
}

/** Opens a wire with a relay behind it. */
export async function accepting(wire: Wire, options: Partial<AcceptSecureOptions> = {}): Promise<Accepting> {
  const relay = await sharedRelay();
  const clock = new FakeClock(START_MS);
  const { client, server, dispose } = await wire.open();
  const refusals: string[] = [];
  const accepted = acceptSecure({
    transport: server,
    crypto: provider,
    clock,
    relay: relay.keys,
    greeting: () => GREETING,
    document: () => relay.bytes,
    replay: new ReplayGuard(),
    onRefused: (reason: HandshakeRefusal | "document" | "timeout" | "cut-off") => refusals.push(reason),
    ...options,
  });
  return {
    client,
    accepted,
    refusals,
    clock,
    dispose() {
      client.close();
      server.close();
      dispose();
    },
  };
}

/** Two ends of a finished handshake. */
export interface Connected {
  readonly client: SecureConnection;
  readonly server: SecureConnection;
  readonly clock: FakeClock;
  /** The transports under them, for harm. */
  readonly transports: { client: Transport; server: Transport };
  dispose(): void;
}

/** Connects both ends; `tap` may stand in between on the client's side. */
export async function connected(
  wire: Wire,
  options: { tap?: (transport: Transport) => Transport; authenticated?: boolean; clock?: FakeClock } = {},
): Promise<Connected> {
  const relay = await sharedRelay();
  const clock = options.clock ?? new FakeClock(START_MS);
  const pair = await wire.open();
  const transport = options.tap?.(pair.client) ?? pair.client;
  const [client, server] = await Promise.all([
    connectSecure({ transport, crypto: provider, clock, document: relay.document }),
    acceptSecure({
      transport: pair.server,
      crypto: provider,
      clock,
      relay: relay.keys,
      greeting: () => GREETING,
      document: () => relay.bytes,
      replay: new ReplayGuard(),
    }),
  ]);
  if (server === null) throw new Error("the handshake failed");
  if (options.authenticated ?? true) {
    client.authenticated();
    server.authenticated();
  }
  return {
    client,
    server,
    clock,
    transports: { client: pair.client, server: pair.server },
    dispose() {
      client.abort();
      server.abort();
      pair.client.close();
      pair.server.close();
      pair.dispose();
    },
  };
}

/** Lets the event loop go round once. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** `body` with its length in front. */
export function framed(body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + body.length);
  new DataView(bytes.buffer).setUint32(0, body.length);
  bytes.set(body, 4);
  return bytes;
}

/** Everything the peer sends until it closes; a reset counts as a close. */
export async function drain(transport: Transport): Promise<number> {
  let count = 0;
  try {
    for await (const chunk of transport) count += chunk.length;
  } catch {
    // Closed with our bytes unread.
  }
  return count;
}
