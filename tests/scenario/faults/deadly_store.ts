/** A store that ends its process with SIGKILL around one of its transactions. */

import type { Store } from "../../../client/store/mod.ts";
import type { Death } from "./lines.ts";

/** A store that counts its transactions. */
export interface CountedStore extends Store {
  readonly writes: number;
}

/** Wraps `inner`. @param death none: it only counts */
export function deadlyStore(inner: Store, death?: Death): CountedStore {
  let writes = 0;
  return {
    get writes() {
      return writes;
    },
    get: (table, id) => inner.get(table, id),
    all: (table) => inner.all(table),
    readLog: (log, options) => inner.readLog(log, options),
    write(action) {
      writes++;
      if (death === undefined || writes !== death.at) return inner.write(action);
      const result = inner.write((tx) => {
        const value = action(tx);
        if (death.when === "before") die();
        return value;
      });
      die();
      return result;
    },
    close: () => inner.close(),
  };
}

function die(): void {
  Deno.kill(Deno.pid, "SIGKILL");
}
