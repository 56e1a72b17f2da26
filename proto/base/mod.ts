/**
 * The wire without the implementations of its cryptography, which take long to load: for programs that leave those to a worker.
 */

export * from "../auth.ts";
export * from "../bytes.ts";
export * from "../clock.ts";
export * from "../connection.ts";
export * from "../control.ts";
export * from "../crypto/provider.ts";
export {
  AEAD_KEY_BYTES,
  AEAD_NONCE_BYTES,
  AEAD_TAG_BYTES,
  KEM_SIZES,
  ML_DSA_SEED_BYTES,
  ML_DSA_SIZES,
} from "../crypto/sizes.ts";
export { Deframer } from "../deframer.ts";
export * from "../device_code.ts";
export * from "../dns.ts";
export * from "../document.ts";
export * from "../endpoint.ts";
export * from "../errors.ts";
export * from "../frame.ts";
export * from "../github.ts";
export * from "../handshake.ts";
export * from "../identity.ts";
export * from "../ip.ts";
export { deriveSecret, type SessionSecrets } from "../key_schedule.ts";
export * from "../lan.ts";
export * from "../limits.ts";
export * from "../link.ts";
export * from "../memory_transport.ts";
export * from "../message.ts";
export * from "../multicast.ts";
export { padmeLength } from "../padme.ts";
export { Direction, MAX_PLAINTEXT_BYTES, type RecordOptions } from "../record.ts";
export { RecordOpener } from "../record_opener.ts";
export { RecordSealer } from "../record_sealer.ts";
export { ReplayGuard } from "../replay_guard.ts";
export * from "../secure_connection.ts";
export * from "../source.ts";
export * from "../statement.ts";
export * from "../time_limit.ts";
export { connectTcp, listenTcp } from "../tcp.ts";
export * from "../transport.ts";
