/** `arona verify USER`: the safety number that two people compare. */

import { type CommandSpec, PROFILE_OPTIONS } from "../command.ts";
import { untilEnd } from "../ending.ts";
import { usageFailure } from "../failure.ts";

/** `arona verify`. */
export const verify: CommandSpec = {
  name: "verify",
  summary: "show the safety number with somebody, or mark it as compared",
  args: [{ name: "user", describe: "account name" }],
  options: ["confirm", "accept", ...PROFILE_OPTIONS],
  more:
    "Both of you run it and compare the numbers by voice or side by side. Where they are the same, nobody is between\n" +
    "you: --confirm remembers that. Where somebody's identity has changed, messages to them wait until --accept.",
  async run(context) {
    const { output, settings, args, signal, io } = context;
    if (settings.switch("confirm") && settings.switch("accept")) {
      throw usageFailure(
        "Cannot confirm and accept at once: the number changes when the identity does",
        "First --accept, then compare the new number, then --confirm.",
      );
    }
    const { openProfile } = await import("../open_client.ts");
    const { accountOf } = await import("../target.ts");
    await using opened = await openProfile(context, { connect: "try" });
    const { client } = opened;
    const account = accountOf(args[0]);
    let contact = await untilEnd(client.contact(account), signal);
    if (settings.switch("accept")) contact = client.verify(account, { accept: true });
    if (settings.switch("confirm")) contact = client.verify(account, { accept: false });
    const safetyNumber = client.safetyNumber(contact);
    const changed = contact.pending !== undefined;
    const { fingerprint, verified } = contact;
    output.object({ type: "Verification", account, safetyNumber, verified, changed, fingerprint });
    output.line(`Safety number of ${client.account} and ${account}:\n`);
    output.line(lines(safetyNumber));
    output.line(verified ? "\nVerified: you have compared it." : "\nNot verified yet.");
    if (changed) {
      output.note(
        `The identity of ${account} has changed. Ask them whether they have a new device, then run it with --accept.`,
      );
    } else if (!verified) output.note(`Where ${account} sees the same number, run it with --confirm.`);
    if (io.stdout.isTerminal && !output.json) {
      const { verificationText } = await import("../../client/identity/mod.ts");
      const { qrText } = await import("../qr.ts");
      output.line(qrText(verificationText({ own: client.fingerprint, contact: fingerprint })));
    }
  },
};

/** Three lines of four groups. */
function lines(safetyNumber: string): string {
  return (safetyNumber.match(/(?:\d{5} ?){1,4}/g) ?? [safetyNumber]).map((line) => `    ${line.trim()}`).join(
    "\n",
  );
}
