/** `arona invite`: a code that lets one new account in. */

import { selectProvider } from "../../proto/mod.ts";
import { openSqliteRelayStore, Registration } from "../../server/mod.ts";
import type { CommandContext } from "../command.ts";
import { CommandFailure } from "../failure.ts";
import { exists } from "../paths.ts";
import { dataFolder } from "./data_folder.ts";

/** A code that lets one new account in; works beside a relay that runs. @throws {AronaError | CommandFailure} */
export async function makeInvite(context: CommandContext): Promise<string> {
  const { path, databasePath } = dataFolder(context);
  if (!await exists(databasePath)) {
    throw new CommandFailure(`Cannot make an invite: there is no relay in ${path}`, {
      hint: "Run it where the relay runs, with the same --data.",
    });
  }
  const [crypto, clock] = await Promise.all([selectProvider(), context.io.clock()]);
  const store = openSqliteRelayStore(databasePath);
  try {
    return new Registration({ store, crypto, clock }, "invite-only").createInvite();
  } finally {
    store.close();
  }
}
