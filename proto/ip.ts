/** Network addresses as bytes, and which of them lie in one network. */

/** An address of this machine and how many of its first bits it shares with its neighbours. */
export interface LocalAddress {
  /** IPv4 or IPv6, without brackets and zone. */
  readonly address: string;
  readonly prefixBits: number;
}

/** 4 or 16 bytes, or null where the text is no address. */
export function parseIp(text: string): Uint8Array | null {
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

/** The usual text of 4 or 16 bytes (RFC 5952). */
export function formatIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => bytes[2 * i] << 8 | bytes[2 * i + 1]);
  let [start, length] = [0, 1]; // the longest run of zeros; a single one stays as it is
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > length) [start, length] = [i, end - i];
  }
  const texts = groups.map((group) => group.toString(16));
  if (length === 1) return texts.join(":");
  return `${texts.slice(0, start).join(":")}::${texts.slice(start + length).join(":")}`;
}

/** Whether an address is in the network of one of this machine's own. */
export function isOnLink(address: Uint8Array, own: LocalAddress): boolean {
  const bytes = parseIp(own.address);
  if (bytes === null || bytes.length !== address.length) return false;
  for (let bit = 0; bit < own.prefixBits; bit += 8) {
    const mask = 0xff << Math.max(0, 8 - (own.prefixBits - bit)) & 0xff;
    if (((address[bit >> 3] ^ bytes[bit >> 3]) & mask) !== 0) return false;
  }
  return true;
}

function parseIpv4(text: string): Uint8Array | null {
  const parts = text.split(".");
  const fits = parts.length === 4 && parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255);
  return fits ? Uint8Array.from(parts, Number) : null;
}

function parseIpv6(text: string): Uint8Array | null {
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const [before, after = []] = halves.map((half) => half === "" ? [] : half.split(":"));
  const missing = 8 - before.length - after.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null;
  const groups = [...before, ...Array(missing).fill("0"), ...after];
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return null;
  return Uint8Array.from(groups.flatMap((group) => [parseInt(group, 16) >> 8, parseInt(group, 16) & 0xff]));
}
