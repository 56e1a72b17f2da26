/** A main thread that gives its rights up and says what it can still do; started by product_test.ts. */

import { systemIo } from "../../cli/system_io.ts";

const io = systemIo({ plain: true });
const file = Deno.makeTempFileSync();

const TRIES: Readonly<Record<string, () => unknown>> = {
  read: () => Deno.readTextFileSync(file),
  write: () => Deno.writeTextFileSync(file, "x"),
  listen: () => Deno.listen({ hostname: "127.0.0.1", port: 0 }).close(),
  run: () => new Deno.Command(Deno.execPath(), { args: ["--version"] }).outputSync(),
  variable: () => Deno.env.get("OTHER"),
  machine: () => Deno.hostname(),
};

const secrets = () => ["GITHUB_TOKEN", "ARONA_PASSPHRASE"].map((name) => io.env(name) ?? null);

const before = possible();
const secretsBefore = secrets();
await io.dropRights(["read"]);
const after = possible();
await io.dropRights([]);
const last = possible();
console.log(
  JSON.stringify({
    ...{ before, after, last, own: io.env("ARONA_TEST"), other: io.env("OTHER") ?? null },
    secrets: [secretsBefore, secrets()],
  }),
);

function possible(): Record<string, boolean> {
  return Object.fromEntries(
    Object.entries(TRIES).map(([name, attempt]) => {
      try {
        attempt();
        return [name, true];
      } catch (error) {
        if (!(error instanceof Deno.errors.NotCapable)) throw error;
        return [name, false];
      }
    }),
  );
}
