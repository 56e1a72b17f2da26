/** The relay's data folder: what is in it, and the lock that keeps a second relay out. */

import { join } from "node:path";
import type { CommandContext } from "../command.ts";
import { CommandFailure } from "../failure.ts";
import { lockFile } from "../../proto/lock/mod.ts";
import { controlPath } from "../control/control_file.ts";
import { reasonOf, relayDataFolder } from "../paths.ts";

const LOCK = "relay.lock";
const DATABASE = "relay.db";
const MAILBOXES = "mailbox.db";

/** Where things are in a data folder. */
export interface DataFolder {
  /** Absolute and without links on the way, so that it can be the bound of a right. */
  readonly path: string;
  readonly databasePath: string;
  readonly mailboxPath: string;
  readonly controlPath: string;
}

/** The folder that a command means: `--data`, else the one of ARONA_HOME. It need not exist. */
export function dataFolder({ settings, home }: Pick<CommandContext, "settings" | "home">): DataFolder {
  return filesOf(relayDataFolder({ settings, home }));
}

/** Makes the folder where it is missing and keeps other relays out of it until disposed. @throws {CommandFailure} */
export async function lockDataFolder(context: CommandContext): Promise<DataFolder & Disposable> {
  const folder = dataFolder(context).path;
  let path: string;
  let lock: Disposable | null;
  try {
    await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
    path = await Deno.realPath(folder);
    lock = lockFile(join(path, LOCK));
  } catch (cause) {
    throw new CommandFailure(`Cannot use data folder ${folder}: ${reasonOf(cause)}`, {
      cause,
      hint: "Choose a folder of yours with --data or ARONA_HOME.",
    });
  }
  if (lock === null) {
    throw new CommandFailure(`Cannot use data folder ${folder}: another relay uses it`, {
      hint: "Stop that one, or give this one its own folder with --data.",
    });
  }
  return { ...filesOf(path), [Symbol.dispose]: () => lock[Symbol.dispose]() };
}

function filesOf(path: string): DataFolder {
  return {
    path,
    databasePath: join(path, DATABASE),
    mailboxPath: join(path, MAILBOXES),
    controlPath: controlPath(path),
  };
}
