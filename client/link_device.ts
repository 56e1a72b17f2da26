/** The new device's side of linking: asks at the rendezvous that the code names, and becomes a further device of whoever answers. */

import {
  AronaError,
  type Clock,
  connectSecure,
  type CryptoProvider,
  decodeControl,
  type DeviceCode,
  encodeControl,
  equalBytes,
  FrameType,
  isAronaError,
  ObjectAssembler,
  rendezvousOf,
  type SecureConnection,
  solvePow,
  utf8,
} from "../proto/mod.ts";
import {
  type Dial,
  encodeKnownRelay,
  freshDocument,
  type KnownRelay,
  relayFromLink,
  splitEndpoint,
} from "./discovery/mod.ts";
import {
  acceptAnswer,
  decodeIdentity,
  encodeIdentity,
  type LocalIdentity,
  newDeviceKeys,
  openAnswer,
  requestFor,
  sealRequest,
} from "./identity/mod.ts";
import type { Store } from "./store/mod.ts";

/** What {@link linkDevice} needs. */
export interface LinkOptions {
  readonly crypto: CryptoProvider;
  readonly clock: Clock;
  readonly dial: Dial;
  readonly code: DeviceCode;
  /** What the other device calls this one. */
  readonly label: string;
  /** A device that was linked before and gets new certificates. @default a new device */
  readonly existing?: Store;
  readonly signal?: AbortSignal;
}

/** A device that was let in, to be kept in a store. */
export interface LinkedDevice {
  readonly identity: LocalIdentity;
  /** What the device that made the identity is called. */
  readonly primaryLabel: string;
  /** Puts everything into the profile's store. */
  save(store: Store): void;
}

/**
 * Asks for the certificates.
 *
 * @throws {AronaError} `AUTH_FAILED` where nobody waits with this code, `WRONG_RELAY`, `UNREACHABLE`, `BAD_CERTIFICATE`;
 *   `USAGE` where `existing` is another person's profile, or the device that made its identity
 */
export async function linkDevice(options: LinkOptions): Promise<LinkedDevice> {
  const { crypto, clock, code } = options;
  const before = options.existing === undefined ? null : existingIdentity(options.existing);
  const own = before === null ? await newDeviceKeys(crypto) : { device: before.device, pairs: before.keys };
  const { connection, relay } = await connect(options);
  let identity: LocalIdentity;
  let primaryLabel: string;
  try {
    const requestBox = sealRequest(crypto, code, requestFor(own, options.label));
    const box = await ask(connection, requestBox, options);
    const answer = openAnswer(crypto, code, { requestBox, box });
    identity = await acceptAnswer(crypto, { own, answer, clock });
    primaryLabel = answer.label;
  } catch (error) {
    throw isAronaError(error, "BAD_ENCODING")
      ? new AronaError(
        "BAD_CERTIFICATE",
        "Cannot add this device: the relay gave another answer than was sent",
        {
          cause: error,
          hint: "Make a new code with `arona device add`. Where it happens again, do not trust the relay.",
        },
      )
      : error;
  } finally {
    connection.abort();
  }
  if (before !== null && !equalBytes(before.identityKey, identity.identityKey)) {
    throw new AronaError(
      "USAGE",
      `Cannot use this profile: it is ${before.account}'s, and the code is another identity's`,
      {
        hint: "Use another profile: --profile NAME.",
      },
    );
  }
  return {
    identity,
    primaryLabel,
    save(store) {
      store.write((writer) => {
        writer.put("profile", "identity", encodeIdentity(identity));
        if (before === null) writer.put("profile", "relay", encodeKnownRelay(relay));
        writer.put("profile", "registered", utf8("yes"));
        writer.put("profile", `device label ${identity.primary}`, utf8(primaryLabel));
      });
    },
  };
}

function existingIdentity(store: Store): LocalIdentity {
  const row = store.get("profile", "identity");
  if (row === null) throw new AronaError("CORRUPT_STORE", "Cannot read identity: the profile has none");
  const identity = decodeIdentity(row);
  if (identity.identitySeed === null) return identity;
  throw new AronaError("USAGE", "Cannot link this profile: it is the device that made its identity", {
    hint: "Use the code on another device, or in another profile: --profile NAME.",
  });
}

/** With a fresh document: a profile that is new has no other. */
async function connect(options: LinkOptions): Promise<{ connection: SecureConnection; relay: KnownRelay }> {
  const { crypto, clock, dial, signal, code } = options;
  const { relay, document } = await freshDocument(relayFromLink(code), { crypto, clock, dial, signal });
  const transport = await dial({ ...splitEndpoint(relay.endpoints[0]), signal });
  return { connection: await connectSecure({ transport, crypto, clock, document, signal }), relay };
}

async function ask(
  connection: SecureConnection,
  box: Uint8Array,
  { crypto, code, signal }: LinkOptions,
): Promise<Uint8Array> {
  const rendezvous = rendezvousOf(crypto, code.secret);
  const { exporter, greeting: { powBits: bits } } = connection;
  const pow = await solvePow(crypto, { exporter, rendezvous, bits }, { signal });
  const stop = () => connection.abort();
  signal?.addEventListener("abort", stop, { once: true });
  try {
    connection.queue(...encodeControl(FrameType.LINK, { id: 1, rendezvous, pow }, { blobs: [box] }));
    const [frame] = await connection.receive() ?? [];
    if (frame?.type !== FrameType.OK) throw notLinked();
    const [answer] = decodeControl(frame.body, new ObjectAssembler()).blobs;
    if (answer === undefined) throw notLinked();
    return answer;
  } catch (error) {
    signal?.throwIfAborted();
    throw isAronaError(error, "AUTH_FAILED") ? error : notLinked(error);
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

function notLinked(cause?: unknown): AronaError {
  return new AronaError("AUTH_FAILED", "Cannot add this device: nobody waits with this code", {
    cause,
    hint:
      "Is `arona device add` still running on the other device, and its code not older than 10 minutes? A code works once.",
  });
}
