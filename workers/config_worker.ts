/** Reads the configuration file again, for a supervisor that may read nothing any more. */

import { type Contract, runRole } from "./role.ts";

/** Bytes of a file at most. */
const MAX_BYTES = 1_048_576;

/** What the supervisor may ask. */
export interface ConfigContract extends Contract {
  readonly role: "config";
  readonly init: { readonly file: string };
  readonly methods: {
    /** The file's text. @throws what the system says */
    read(): Promise<string>;
  };
  readonly event: never;
  readonly host: Record<never, never>;
}

runRole<ConfigContract>(({ file }) => ({
  async read() {
    const { size } = await Deno.stat(file);
    if (size > MAX_BYTES) throw new Error(`it has ${size} bytes, ${MAX_BYTES} are allowed`);
    return await Deno.readTextFile(file);
  },
}));
