/** `arona verify USER`: the safety number that two people compare. */

import { type CommandSpec, PROFILE_OPTIONS } from "../command.ts";
import { usageFailure } from "../failure.ts";

/** `arona verify`. */
export const verify: CommandSpec = {
  name: "verify",
  summary: "show the safety number with somebody, or mark it as compared",
  args: [{ name: "user", describe: "account name" }],
  options: ["confirm", "accept", ...PROFILE_OPTIONS],
  more:
    "Both of you run it and compare the numbers by voice or side by side. Where they are the same, nobody is between\n" +
    "you: --confirm remembers that. Where somebody's identity has changed, both numbers are shown and messages to them\n" +
    "wait until --accept.",
  async run(context) {
    const { output, settings, args, signal } = context;
    const confirm = settings.switch("confirm");
    const accept = settings.get("accept").value; // true, or how the fingerprint begins
    if (confirm && accept !== undefined) {
      throw usageFailure(
        "Cannot confirm and accept at once: the number changes when the identity does",
        "First --accept, then compare the new number, then --confirm.",
      );
    }
    const [{ openProfile }, { accountOf }, verification] = await Promise.all([
      import("../open_client.ts"),
      import("../target.ts"),
      import("../verification.ts"),
    ]);
    const { lookUpPerson, parseFingerprintPrefix, shortFingerprint, verificationOf } = verification;
    const prefix = typeof accept === "string" ? parseFingerprintPrefix(accept) : null;
    await using opened = await openProfile(context, { connect: "try", make: false });
    const { client } = opened;
    const account = accountOf(args[0]);
    let contact = await lookUpPerson(client, account, { signal, note: (text) => output.note(text) });
    if (accept !== undefined) contact = await verification.acceptPending(client, contact, prefix);
    if (confirm) contact = await client.verify(account, { accept: false });
    const person = await verificationOf(client, contact);
    const { safetyNumber, fingerprint, verified, pending } = person;
    const changed = pending !== undefined;
    output.object({ type: "Verification", account, safetyNumber, verified, changed, fingerprint, pending });
    for (const line of verification.verificationLines(client.account, person)) output.line(line);
    if (changed) {
      output.note(
        `Ask ${account} over another way whether they have set up anew, and compare the new number. Then: ` +
          `arona verify ${account} --accept ${shortFingerprint(pending.fingerprint)}`,
      );
      return;
    }
    if (!verified) output.note(`Where ${account} sees the same number, run it with --confirm.`);
    const [{ verificationText }, { printQr }] = await Promise.all([
      import("../../client/identity/mod.ts"),
      import("../qr.ts"),
    ]);
    printQr(context, verificationText({ own: client.fingerprint, contact: fingerprint }));
  },
};
