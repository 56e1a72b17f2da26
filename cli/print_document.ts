/** `arona discover --document`: the relay's newest document as a web server has to have it. */

import { distinctRelays, type Finding } from "../client/discovery/mod.ts";
import { fromUtf8 } from "../proto/mod.ts";
import { nameText } from "./event_text.ts";
import { usageFailure } from "./failure.ts";
import type { Output } from "./output.ts";

/** Prints it, byte for byte, where one relay is among the findings. @throws {CommandFailure} where there are several */
export function printDocument(output: Output, findings: readonly Finding[]): void {
  const relays = distinctRelays(findings);
  if (relays.length > 1) {
    const names = relays.map(({ document }) => nameText(document.name)).join(", ");
    throw usageFailure(
      `Cannot print one document: there are several relays, ${names}`,
      "Give the link of one of them.",
    );
  }
  for (const { bytes } of relays) output.raw(fromUtf8(bytes));
}
