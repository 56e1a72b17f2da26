/** A client's persistence: the Store port, its adapters, and profiles with key, lock and database. */

export {
  type LogEntry,
  MAX_ID_BYTES,
  type Row,
  type Store,
  type StoreReader,
  type StoreWriter,
  Table,
  type TableEntry,
} from "./store.ts";
export { createMemoryStore } from "./memory_store.ts";
export { type OpenProfileOptions, openProfileStore, type ProfileStore } from "./open.ts";
export { DEFAULT_SCRYPT_COST, type ScryptCost } from "./key_file.ts";
