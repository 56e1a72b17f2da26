/** What `arona doctor` looks at in any case: the program, its cryptography, the terminal. */

import { selectProvider } from "../../proto/mod.ts";
import { VERSION } from "../commands/version.ts";
import type { Io } from "../io.ts";
import { type Finding, Findings } from "./finding.ts";

const MIN_COLUMNS = 40;

/** All of them. */
export async function checkProgram(io: Pick<Io, "env" | "stdout" | "os">): Promise<Finding[]> {
  const found = new Findings("program");
  const { deno } = Deno.version;
  found.ok("version", `arona ${VERSION}, deno ${deno}, ${Deno.build.os} ${Deno.build.arch}`);
  const provider = await selectProvider();
  if (provider.name === "native") found.ok("cryptography", "the runtime's own");
  else {
    found.warning(
      "cryptography",
      "in JavaScript: this runtime has no post-quantum algorithms of its own",
      "Everything works, signing takes longer. A newer runtime is faster.",
    );
  }
  checkTerminal(found, io);
  return found.all;
}

/** Whether the terminal client has what it needs. */
export function checkTerminal(found: Findings, { env, stdout, os }: Pick<Io, "env" | "stdout" | "os">): void {
  if (!stdout.isTerminal) return found.ok("terminal", "none here; `arona connect --plain` needs none");
  if (env("TERM") === "dumb") {
    return found.warning("terminal", "it cannot move its cursor (TERM=dumb)", "Use `arona connect --plain`.");
  }
  const locale = env("LC_ALL") || env("LC_CTYPE") || env("LANG") || "";
  if (os !== "windows" && !/utf-?8/i.test(locale)) {
    return found.warning(
      "terminal",
      `its characters are not known to be UTF-8 (${locale || "no LANG"})`,
      "export LANG=C.UTF-8",
    );
  }
  if (stdout.columns < MIN_COLUMNS) {
    return found.warning(
      "terminal",
      `${stdout.columns} columns`,
      `Make it at least ${MIN_COLUMNS} wide, or use --plain.`,
    );
  }
  found.ok("terminal", `${stdout.columns} columns, UTF-8`);
}
