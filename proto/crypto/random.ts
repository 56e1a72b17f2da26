/** Random bytes from the system, for both providers. */

/** `getRandomValues` gives no more at once. */
const MAX_CHUNK_BYTES = 65_536;

/** `length` bytes from the system's cryptographic generator. */
export function randomBytes(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let offset = 0; offset < length; offset += MAX_CHUNK_BYTES) {
    crypto.getRandomValues(bytes.subarray(offset, offset + MAX_CHUNK_BYTES));
  }
  return bytes;
}
