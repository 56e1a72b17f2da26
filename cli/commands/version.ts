/** `arona version`: what is running. */

import project from "../../deno.json" with { type: "json" };
import { COMMIT } from "../build.ts";
import type { CommandSpec } from "../command.ts";

/** The program's version. */
export const VERSION: string = project.version;

/** `arona version`. */
export const version: CommandSpec = {
  name: "version",
  summary: "print the version",
  options: ["json"],
  run({ output }) {
    const { deno } = Deno.version;
    const { os, arch } = Deno.build;
    output.data(
      { type: "Version", version: VERSION, commit: COMMIT, runtime: `deno ${deno}`, os, arch },
      `arona ${VERSION} (${
        COMMIT === null ? "from a checkout" : `commit ${COMMIT}`
      }, deno ${deno}, ${os} ${arch})`,
    );
    return Promise.resolve();
  },
};
