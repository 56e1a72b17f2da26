/** `arona id`: who this profile is. */

import { type CommandSpec, PROFILE_OPTIONS } from "../command.ts";

/** `arona id`. */
export const id: CommandSpec = {
  name: "id",
  summary: "show your account, its fingerprint and the relay",
  options: [...PROFILE_OPTIONS],
  async run(context) {
    const { output, io } = context;
    const { openProfile } = await import("../open_client.ts");
    await using opened = await openProfile(context, { connect: "no" });
    const { client, profile } = opened;
    const { account, fingerprint, deviceId: device, relay } = client;
    output.object({ type: "Identity", account, fingerprint, device, profile, relay });
    output.line(`account      ${account}`);
    output.line(`fingerprint  ${grouped(fingerprint)}`);
    output.line(`device       ${device}`);
    output.line(`profile      ${profile}`);
    output.line(`relay        ${relay.endpoints.join(", ")}`);
    output.line(`relay key    ${grouped(relay.fingerprint)}`);
    if (io.stdout.isTerminal && !output.json) {
      const { qrText } = await import("../qr.ts");
      output.line(qrText(`arona-id:${account}:${fingerprint}`));
    }
  },
};

/** In groups of four, for reading aloud. */
function grouped(hex: string): string {
  return hex.match(/.{1,4}/g)?.join(" ") ?? hex;
}
