/** Making an encrypted connection over any Transport, from either side, and fetching the document (PROTOCOL.md sections 2 to 4). */

import { BodyStream, Deadline } from "./body_stream.ts";
import type { Clock } from "./clock.ts";
import type { RelayGreeting, SecureConnection } from "./connection.ts";
import type { CryptoProvider } from "./crypto/provider.ts";
import { type DiscoveryDocument, PROTOCOL_VERSION } from "./document.ts";
import { AronaError } from "./errors.ts";
import {
  answerHandshake,
  finishHandshake,
  HandshakeKind,
  type HandshakeRefusal,
  type RelayHandshakeKeys,
  startHandshake,
} from "./handshake.ts";
import { HANDSHAKE_TIMEOUT_MS, M1_BYTES, M2_BYTES, MAX_DOCUMENT_BYTES } from "./limits.ts";
import { RecordConnection } from "./record_connection.ts";
import type { ReplayGuard } from "./replay_guard.ts";
import type { Transport } from "./transport.ts";

/** Options of {@link connectSecure}. */
export interface ConnectSecureOptions {
  readonly transport: Transport;
  readonly crypto: CryptoProvider;
  readonly clock: Clock;
  /** Verified, and from the relay that is meant. */
  readonly document: Pick<DiscoveryDocument, "fingerprint" | "relayKey">;
  readonly signal?: AbortSignal;
  /** @default HANDSHAKE_TIMEOUT_MS */
  readonly timeoutMs?: number;
}

/**
 * The client's side of the handshake. The transport is closed where it fails.
 *
 * @throws {AronaError} `BAD_HANDSHAKE`, `BAD_DOCUMENT` (its relay key has expired), `TIMEOUT`, `UNKNOWN_VERSION`, `CLOSED`; the signal's reason
 */
export async function connectSecure(options: ConnectSecureOptions): Promise<SecureConnection> {
  const { crypto, clock, document } = options;
  const stream = new BodyStream(options.transport, M2_BYTES);
  const guard = guardStream(stream, options);
  try {
    if (clock.now() > document.relayKey.notAfterMs) {
      throw new AronaError("BAD_DOCUMENT", "Cannot connect securely: the relay's key has expired", {
        hint: "Get the relay's current discovery document, and check this computer's clock.",
      });
    }
    const handshake = await startHandshake(crypto, document);
    await stream.send(handshake.m1);
    const m2 = await stream.receive();
    if (m2 === null) {
      throw new AronaError(
        "BAD_HANDSHAKE",
        "Cannot connect securely: the relay closed the connection without an answer",
        {
          hint:
            "Its key may have changed, then its current discovery document helps; or it has too many connections.",
        },
      );
    }
    const { secrets, greeting } = await finishHandshake(crypto, handshake, m2);
    guard.check();
    return new RecordConnection({
      stream,
      crypto,
      clock,
      secrets,
      greeting,
      fingerprint: document.fingerprint,
      side: "client",
    });
  } catch (error) {
    options.transport.close();
    guard.check();
    throw error;
  } finally {
    guard.release();
  }
}

/** Options of {@link acceptSecure}. */
export interface AcceptSecureOptions {
  readonly transport: Transport;
  readonly crypto: CryptoProvider;
  readonly clock: Clock;
  readonly relay: RelayHandshakeKeys;
  readonly greeting: () => RelayGreeting;
  /** The current discovery document's bytes. */
  readonly document: () => Uint8Array;
  readonly replay: ReplayGuard;
  /** From accept until `authenticated()` is called on the connection. @default HANDSHAKE_TIMEOUT_MS */
  readonly timeoutMs?: number;
  /** Hears what became of a connection that gave null; for counters, not for the peer. */
  readonly onRefused?: (reason: HandshakeRefusal | "document" | "timeout" | "cut-off") => void;
}

/**
 * The relay's side: serves the document, or makes the handshake. Never throws for what the peer does.
 *
 * @returns null where there is no connection: the document was served, or the peer got no answer. The transport is closed then.
 */
export async function acceptSecure(options: AcceptSecureOptions): Promise<SecureConnection | null> {
  const { transport, crypto, clock, relay } = options;
  const stream = new BodyStream(transport, M1_BYTES);
  const deadline = new Deadline(clock, options.timeoutMs ?? HANDSHAKE_TIMEOUT_MS, () => transport.close());
  const refuse = (reason: HandshakeRefusal | "document" | "cut-off"): null => {
    deadline.cancel();
    transport.close();
    options.onRefused?.(deadline.expired ? "timeout" : reason);
    return null;
  };
  try {
    const first = await stream.receive();
    if (first === null) return refuse("cut-off");
    if (first[0] === HandshakeKind.DOCUMENT_REQUEST) {
      if (first.length !== 2 || first[1] !== PROTOCOL_VERSION) return refuse("version");
      await stream.send(prefixed(HandshakeKind.DOCUMENT, options.document()));
      return refuse("document");
    }
    const greeting = options.greeting();
    const answer = await answerHandshake(crypto, first, { relay, replay: options.replay, greeting });
    if (answer.kind === "refused") return refuse(answer.reason);
    await stream.send(answer.m2);
    if (deadline.expired) return refuse("cut-off");
    return new RecordConnection({
      stream,
      crypto,
      clock,
      secrets: answer.secrets,
      greeting,
      fingerprint: relay.fingerprint,
      side: "relay",
      deadline,
    });
  } catch (error) {
    if (error instanceof AronaError && error.code === "TOO_LARGE") return refuse("length");
    if (error instanceof AronaError) return refuse("cut-off");
    deadline.cancel();
    transport.close();
    throw error; // ours, not the peer's
  }
}

/**
 * Asks for the discovery document on a fresh transport, which is closed afterwards. What comes is still to be verified.
 *
 * @throws {AronaError} `BAD_DOCUMENT`, `TIMEOUT`, `CLOSED`; the signal's reason
 */
export async function fetchDocument(
  options: { transport: Transport; clock: Clock; signal?: AbortSignal; timeoutMs?: number },
): Promise<Uint8Array> {
  const stream = new BodyStream(options.transport, 1 + MAX_DOCUMENT_BYTES);
  const guard = guardStream(stream, options);
  try {
    await stream.send(Uint8Array.of(HandshakeKind.DOCUMENT_REQUEST, PROTOCOL_VERSION));
    const answer = await stream.receive();
    if (answer === null || answer[0] !== HandshakeKind.DOCUMENT) {
      throw new AronaError(
        "BAD_DOCUMENT",
        "Cannot get discovery document: what answered is not an Arona relay",
        {
          hint: "Check the address and the port.",
        },
      );
    }
    return answer.slice(1);
  } catch (error) {
    guard.check();
    throw error;
  } finally {
    guard.release();
    options.transport.close();
  }
}

/** Closes the stream at the deadline or the signal; `check()` then throws what happened. */
function guardStream(
  stream: BodyStream,
  options: { clock: Clock; signal?: AbortSignal; timeoutMs?: number },
): { check(): void; release(): void } {
  const { clock, signal } = options;
  const close = () => stream.transport.close();
  const deadline = new Deadline(clock, options.timeoutMs ?? HANDSHAKE_TIMEOUT_MS, close);
  signal?.addEventListener("abort", close, { once: true });
  if (signal?.aborted) close();
  return {
    check() {
      signal?.throwIfAborted();
      if (deadline.expired) {
        throw new AronaError("TIMEOUT", "Cannot connect securely: the relay did not answer in time", {
          hint: "Check the address and the port; something else may be listening there.",
        });
      }
    },
    release() {
      deadline.cancel();
      signal?.removeEventListener("abort", close);
    },
  };
}

function prefixed(kind: number, bytes: Uint8Array): Uint8Array {
  const body = new Uint8Array(1 + bytes.length);
  body[0] = kind;
  body.set(bytes, 1);
  return body;
}
