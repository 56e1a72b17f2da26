/**
 * `deno task bench [--json] [--only PART]`: the figures of DESIGN section 13 and how they grow. Nothing here decides a test: machines
 * are noisy, so compare rows of one run.
 */

import { selectProvider } from "../proto/mod.ts";
import { clientRows } from "./bench/client_rows.ts";
import { mlsRows } from "./bench/mls_rows.ts";
import { connectionRows, deliveryRows } from "./bench/relay_rows.ts";
import { catchUpRows, reconnectRows, restartRows } from "./bench/recovery_rows.ts";
import { printRow, type Row } from "./bench/rows.ts";
import { startupRows } from "./bench/startup_rows.ts";

const json = Deno.args.includes("--json");
const only = Deno.args.includes("--only") ? Deno.args[Deno.args.indexOf("--only") + 1] : undefined;
const crypto = await selectProvider();

const PARTS: Readonly<Record<string, () => Promise<Row[]>>> = {
  startup: () => startupRows(),
  delivery100: () => deliveryRows(crypto, 100, { rounds: 5 }),
  delivery100disk: () => deliveryRows(crypto, 100, { rounds: 5, mailbox: "disk" }),
  delivery500: () => deliveryRows(crypto, 500, { rounds: 5 }),
  connections: () => connectionRows(crypto, [10, 100, 1_000, 3_000]),
  mls: () => mlsRows(crypto, [2, 10, 50, 200]),
  client: () => clientRows(crypto),
  catchup: () => catchUpRows(crypto),
  reconnect: () => reconnectRows(crypto),
  restart: () => restartRows(crypto, 100),
};

if (only !== undefined && !(only in PARTS)) {
  console.error(`Cannot measure "${only}": the parts are ${Object.keys(PARTS).join(", ")}`);
  Deno.exit(2);
}
for (const [name, measure] of Object.entries(PARTS)) {
  if (only !== undefined && name !== only) continue;
  for (const row of await measure()) printRow(row, json);
}
Deno.exit(0);
