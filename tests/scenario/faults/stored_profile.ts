/** A profile read back without its relay, as a client sees it that opens it anew. */

import { openClient } from "../../../client/mod.ts";
import { openProfileStore } from "../../../client/store/mod.ts";
import { selectProvider } from "../../../proto/mod.ts";
import { historyOf, type ShownEntry } from "./lines.ts";

/** The history of each conversation, by id, oldest first. @throws {AronaError} */
export async function readProfile(folder: string): Promise<Map<string, ShownEntry[]>> {
  const crypto = await selectProvider();
  const passphrase = () => Promise.resolve("");
  const profile = await openProfileStore({ folder, crypto, create: false, passphrase });
  try {
    const dial = () => Promise.reject(new Error("nobody connects here"));
    const client = await openClient({ store: profile.store, crypto, dial });
    try {
      return new Map(client.conversations().map((place) => [place.id, historyOf(client, place)]));
    } finally {
      await client.close();
    }
  } finally {
    profile.close();
  }
}
