/** A role that only tests have: it tries what it is told to and reports what came of it. */

import type { Contract } from "../../workers/mod.ts";
import { runRole } from "../../workers/role.ts";

/** What a test says to the worker. */
export interface ProbeContract extends Contract {
  readonly role: "relay";
  readonly init: { readonly fail?: string };
  readonly methods: {
    /** Throws in a task of its own, where nobody catches it. */
    throwLater(text: string): void;
    /** Rejects where nobody catches it. */
    rejectLater(text: string): void;
    askHost(text: string): Promise<string>;
    wait(): Promise<never>;
  };
  readonly event: string;
  readonly host: { upper(text: string): string };
}

runRole<ProbeContract>(({ fail }, { host, emit }) => {
  if (fail !== undefined) throw new RangeError(fail);
  emit("begun");
  return {
    throwLater: (text) =>
      queueMicrotask(() => {
        throw new Error(text);
      }),
    rejectLater: (text) => void Promise.reject(new Error(text)),
    askHost: (text) => host.upper(text),
    wait: () => new Promise(() => {}),
  };
});
