/** Where a profile's passphrase comes from: the environment, a file, or the person at the terminal. */

import { CommandFailure } from "./failure.ts";
import type { Io } from "./io.ts";
import { reasonOf } from "./paths.ts";

const MAX_FILE_BYTES = 65_536;

/**
 * The passphrase of a profile; empty for none.
 *
 * ARONA_PASSPHRASE and the first line of the file ARONA_PASSPHRASE_FILE come before any question, set but empty too. Without a
 * terminal nothing is asked: a new profile gets no passphrase then.
 *
 * @param options.isNew whether the passphrase is to be chosen
 * @throws {CommandFailure} where an existing profile needs one and nobody can be asked
 */
export async function getPassphrase(
  io: Io,
  options: { profile: string; isNew: boolean },
): Promise<string> {
  const given = io.env("ARONA_PASSPHRASE");
  if (given !== undefined) return given;
  const file = io.env("ARONA_PASSPHRASE_FILE");
  if (file !== undefined) return file === "" ? "" : await readPassphraseFile(file);
  if (io.interactive) {
    return options.isNew
      ? await askTwice(io, options.profile)
      : await io.prompts.secret(`Passphrase of profile ${options.profile}`);
  }
  if (options.isNew) return "";
  throw new CommandFailure(
    `Cannot unlock profile ${options.profile}: it has a passphrase, and there is no terminal to ask for it`,
    { hint: "Set ARONA_PASSPHRASE or ARONA_PASSPHRASE_FILE." },
  );
}

/** Whether another try can give another passphrase. */
export function isPassphraseAsked(io: Io): boolean {
  return io.interactive && io.env("ARONA_PASSPHRASE") === undefined &&
    io.env("ARONA_PASSPHRASE_FILE") === undefined;
}

async function askTwice(io: Io, profile: string): Promise<string> {
  for (;;) {
    const first = await io.prompts.secret(`Choose a passphrase for profile ${profile} (may be left empty)`);
    if (first === "" || await io.prompts.secret("The same again") === first) return first;
    await io.stderr.write("The two differ; once more.\n");
  }
}

async function readPassphraseFile(path: string): Promise<string> {
  let text: string;
  try {
    const { size } = await Deno.stat(path);
    if (size > MAX_FILE_BYTES) throw new Error("it is too long for a passphrase");
    text = await Deno.readTextFile(path);
  } catch (cause) {
    throw new CommandFailure(`Cannot read ARONA_PASSPHRASE_FILE ${path}: ${reasonOf(cause)}`, {
      cause,
      hint: "Let it name a readable file whose first line is the passphrase, or unset it.",
    });
  }
  return text.split("\n", 1)[0].replace(/\r$/, "");
}
