/**
 * Checks that whatever a `mod.ts` exports has a docstring. Prints one line per symbol without one.
 *
 * A constant whose name says what it counts (`MAX_RECORD_BYTES`) may stand under the comment of the one before it, and one
 * docstring serves a constant and the type of the same name.
 */

const TELLING_NAME = /^MAX_|_PER_|_(BYTES|MS|CHARACTERS|BITS)$/;

if (import.meta.main) Deno.exit(await checkDocs());

/** What `deno doc --json` says of one symbol, as far as it matters here. */
export interface DocumentedSymbol {
  readonly name: string;
  readonly declarations: readonly {
    readonly kind: string;
    readonly jsDoc?: unknown;
    readonly location: { readonly filename: string; readonly line: number };
  }[];
}

/** Whether a reader finds a docstring on `symbol`. */
export function isDocumented(symbol: DocumentedSymbol): boolean {
  if (symbol.declarations.some((declaration) => declaration.jsDoc !== undefined)) return true;
  return TELLING_NAME.test(symbol.name) &&
    symbol.declarations.every((declaration) => declaration.kind === "variable");
}

async function checkDocs(): Promise<number> {
  const root = new URL("../", import.meta.url);
  const symbols: DocumentedSymbol[] = [];
  for (const door of doorFiles(root)) symbols.push(...await symbolsOf(root, door));
  const missing = new Set(
    symbols.filter((symbol) => !isDocumented(symbol)).map((symbol) => describe(root, symbol)),
  );
  for (const line of missing) console.error(line);
  console.log(`${symbols.length} exported symbols, ${missing.size} without a docstring`);
  return missing.size === 0 ? 0 : 1;
}

/** One door at a time: of several together, `deno doc` gives what they share as references without docstrings. */
async function symbolsOf(root: URL, door: URL): Promise<DocumentedSymbol[]> {
  const doc = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", door.href],
    cwd: root,
    stderr: "inherit",
  }).output();
  if (!doc.success) throw new Error("Cannot read the documentation: `deno doc` failed");
  const { nodes } = JSON.parse(new TextDecoder().decode(doc.stdout)) as {
    nodes: Record<string, { symbols?: DocumentedSymbol[] }>;
  };
  return Object.values(nodes).flatMap((node) => node.symbols ?? []);
}

function describe(root: URL, symbol: DocumentedSymbol): string {
  const { filename, line } = symbol.declarations[0].location;
  const file = filename.startsWith(root.href) ? filename.slice(root.href.length) : filename;
  return `${file}:${line + 1}: ${symbol.name} has no docstring`;
}

function* doorFiles(folder: URL): Generator<URL> {
  for (const entry of Deno.readDirSync(folder)) {
    const skipped = entry.name.startsWith(".") ||
      ["node_modules", "tests", "dist", "coverage"].includes(entry.name);
    if (entry.isDirectory && !skipped) yield* doorFiles(new URL(`${entry.name}/`, folder));
    else if (entry.isFile && entry.name === "mod.ts") yield new URL(entry.name, folder);
  }
}
