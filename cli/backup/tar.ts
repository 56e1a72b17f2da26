/**
 * The container of a backup: a tar file (POSIX ustar) of plain files, so that any tar shows what is in it.
 *
 *     [header 512 | content, padded to 512] …  1,024 zero bytes
 *
 * What is read has to be exactly what is written here: nothing but plain files with short names, zeros where zeros belong, no end before
 * the end and nothing after it. `tar --extract` is more generous.
 */

const BLOCK_BYTES = 512;
const CHUNK_BYTES = 1_048_576;
/** What fits into 11 octal digits: 8 GiB. */
const MAX_ENTRY_BYTES = 0o77777777777;
const NAME_PATTERN = /^[a-z0-9][a-z0-9_.-]{0,98}$/;

/** A file in the container. */
export interface TarEntry {
  /** Without folders. */
  readonly name: string;
  readonly bytes: number;
}

/** Writes a container, entry by entry, into an open file. */
export class TarWriter {
  constructor(
    private readonly file: Pick<Deno.FsFile, "write">,
    private readonly options: { readonly mtimeMs: number },
  ) {}

  /** Adds a file of known length. @throws {Error} where `chunks` are longer or shorter */
  async add(entry: TarEntry, chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
    await writeAll(this.file, tarHeader(entry, this.options.mtimeMs));
    let written = 0;
    for await (const chunk of chunks) {
      written += chunk.length;
      if (written > entry.bytes) break;
      await writeAll(this.file, chunk);
    }
    if (written !== entry.bytes) throw new Error(`${entry.name} has changed its length`);
    await writeAll(this.file, new Uint8Array(padding(entry.bytes)));
  }

  /** Marks the end. */
  async end(): Promise<void> {
    await writeAll(this.file, new Uint8Array(2 * BLOCK_BYTES));
  }
}

/** Reads a container. Take each entry's content before the next entry. */
export class TarReader {
  constructor(private readonly file: Pick<Deno.FsFile, "read">) {}

  /** @throws {Error} where it is none, is damaged or ends early */
  async *entries(): AsyncGenerator<TarEntry & { readonly content: AsyncIterable<Uint8Array> }> {
    for (;;) {
      const header = await this.#exactly(BLOCK_BYTES);
      if (header.every((byte) => byte === 0)) return await this.#end();
      const entry = parseHeader(header);
      let taken = false;
      yield { ...entry, content: this.#content(entry.bytes, () => taken = true) };
      if (!taken) throw new Error(`${entry.name} was not read`);
    }
  }

  async *#content(bytes: number, onEnd: () => void): AsyncGenerator<Uint8Array> {
    for (let left = bytes; left > 0;) {
      const chunk = await this.#exactly(Math.min(left, CHUNK_BYTES));
      left -= chunk.length;
      yield chunk;
    }
    if ((await this.#exactly(padding(bytes))).some((byte) => byte !== 0)) {
      throw new Error("its padding is not zero");
    }
    onEnd();
  }

  async #end(): Promise<void> {
    if ((await this.#exactly(BLOCK_BYTES)).some((byte) => byte !== 0)) throw new Error("its end is not zero");
    if (await this.file.read(new Uint8Array(1)) !== null) throw new Error("something follows its end");
  }

  async #exactly(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length;) {
      const read = await this.file.read(bytes.subarray(at));
      if (read === null) throw new Error("it has been cut short");
      at += read;
    }
    return bytes;
  }
}

/** A file's content in chunks. */
export async function* fileChunks(path: string): AsyncGenerator<Uint8Array> {
  using file = await Deno.open(path);
  for (;;) {
    const chunk = new Uint8Array(CHUNK_BYTES);
    const read = await file.read(chunk);
    if (read === null) return;
    yield chunk.subarray(0, read);
  }
}

/** Writes all of it. */
export async function writeAll(file: Pick<Deno.FsFile, "write">, bytes: Uint8Array): Promise<void> {
  for (let rest = bytes; rest.length > 0;) rest = rest.subarray(await file.write(rest));
}

function tarHeader({ name, bytes }: TarEntry, mtimeMs: number): Uint8Array {
  if (!NAME_PATTERN.test(name)) throw new Error(`${name} does not fit into a tar file`);
  if (bytes > MAX_ENTRY_BYTES) throw new Error(`${name} is larger than 8 GiB`);
  const header = new Uint8Array(BLOCK_BYTES);
  const put = (at: number, text: string) => header.set(new TextEncoder().encode(text), at);
  put(0, name);
  put(100, "0000600\0");
  put(108, "0000000\0");
  put(116, "0000000\0");
  put(124, `${bytes.toString(8).padStart(11, "0")}\0`);
  put(136, `${Math.floor(mtimeMs / 1_000).toString(8).padStart(11, "0")}\0`);
  put(156, "0");
  put(257, "ustar\0" + "00");
  put(148, `${checksum(header).toString(8).padStart(6, "0")}\0 `);
  return header;
}

/** One way to write each header: whatever does not come out the same again is damaged, or not ours. */
function parseHeader(header: Uint8Array): TarEntry {
  const text = (at: number, length: number) =>
    new TextDecoder().decode(header.subarray(at, at + length)).replace(/\0.*$/s, "");
  const name = text(0, 100);
  const bytes = parseInt(text(124, 12), 8);
  const mtime = parseInt(text(136, 12), 8);
  if (!NAME_PATTERN.test(name) || !Number.isSafeInteger(bytes) || !Number.isSafeInteger(mtime)) {
    throw new Error("it is damaged, or no backup");
  }
  const again = tarHeader({ name, bytes }, mtime * 1_000);
  if (header.some((byte, i) => byte !== again[i])) throw new Error("it is damaged, or no backup");
  return { name, bytes };
}

/** The sum of all bytes, those of the field itself taken as spaces. */
function checksum(header: Uint8Array): number {
  return header.reduce((sum, byte, i) => sum + (i >= 148 && i < 156 ? 32 : byte), 0);
}

function padding(bytes: number): number {
  return (BLOCK_BYTES - bytes % BLOCK_BYTES) % BLOCK_BYTES;
}
