/** The Store port's suite on both adapters. */

import { createMemoryStore } from "../../client/store/mod.ts";
import { createRowSealer } from "../../client/store/sealed_rows.ts";
import { createSqliteStore } from "../../client/store/sqlite_file.ts";
import { createNativeProvider } from "../../proto/crypto/native.ts";
import { storeSuite } from "../suites/store_suite.ts";

storeSuite("memory store", () => ({ store: createMemoryStore(), dispose: () => {} }));

storeSuite("SQLite store", () => {
  const folder = Deno.makeTempDirSync();
  const crypto = createNativeProvider();
  const store = createSqliteStore(`${folder}/profile.db`, createRowSealer(crypto, crypto.randomBytes(32)));
  return { store, dispose: () => Deno.removeSync(folder, { recursive: true }) };
});
