/** A copy of everything in a store: what a backup of a profile is. */

import { createMemoryStore, type Store, Table } from "../../client/store/mod.ts";

/** A new store with the same rows and logs. */
export function copyStore(store: Store): Store {
  const copy = createMemoryStore();
  copy.write((writer) => {
    for (const table of Object.values(Table)) {
      for (const { id, row } of store.all(table)) writer.put(table, id, row);
    }
    for (const { id } of store.all("groups")) {
      if (!id.endsWith("/record")) continue;
      const log = id.replace("/record", "");
      for (const { row } of store.readLog(log, { limit: 100_000 })) writer.append(log, row);
    }
  });
  return copy;
}
