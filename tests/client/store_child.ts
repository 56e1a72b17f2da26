/**
 * A process with an open profile, for the tests that need a second one: `hold` keeps it open, `write` writes until it is
 * killed and prints the number of each transaction once that is done.
 */

import { openProfileStore, Table } from "../../client/store/mod.ts";
import { utf8 } from "../../proto/bytes.ts";
import { createNativeProvider } from "../../proto/crypto/native.ts";

const [mode, folder] = Deno.args;
const passphrase = () => Promise.resolve("");
const profile = await openProfileStore({ folder, passphrase, crypto: createNativeProvider(), create: true });
console.log("open");
if (mode === "hold") {
  await new Response(Deno.stdin.readable).arrayBuffer();
  profile.close();
} else {
  for (;;) {
    const number = profile.store.write((tx) => {
      const next = tx.append("log", utf8("entry"));
      tx.put(Table.GROUPS, "state", utf8(`${next}`.padEnd(6_000, ".")));
      tx.put(Table.OUTBOX, `${next}`, utf8("waiting"));
      tx.delete(Table.OUTBOX, `${next - 1}`);
      return next;
    });
    console.log(number);
  }
}
