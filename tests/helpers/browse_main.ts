/** Looks for relays on the local network and prints each as one line of JSON, until it is ended. */

import { browseLan } from "../../cli/lan.ts";

const abort = new AbortController();
Deno.addSignalListener("SIGTERM", () => abort.abort());
for await (const service of browseLan(abort.signal)) console.log(JSON.stringify(service));
