/** `arona id`: who this profile is. */

import { type CommandSpec, PROFILE_OPTIONS } from "../command.ts";

/** `arona id`. */
export const id: CommandSpec = {
  name: "id",
  summary: "show your account, its fingerprint and the relay",
  options: [...PROFILE_OPTIONS],
  async run(context) {
    const { output } = context;
    const { openProfile } = await import("../open_client.ts");
    const { fromHex, toBase64Url } = await import("../../proto/base/mod.ts");
    await using opened = await openProfile(context, { connect: "no", make: false });
    const { client, profile } = opened;
    const { account, fingerprint, deviceId: device } = client;
    const { endpoints, fingerprint: fingerprintHex } = client.relay;
    // As it stands in the link, so that the two can be compared.
    const relay = { fingerprint: toBase64Url(fromHex(fingerprintHex)), fingerprintHex, endpoints };
    output.object({ type: "Identity", account, fingerprint, device, profile, relay });
    output.line(`account      ${account}`);
    output.line(`fingerprint  ${grouped(fingerprint)}`);
    output.line(`device       ${device}`);
    output.line(`profile      ${profile}`);
    output.line(`relay        ${endpoints.join(", ")}`);
    output.line(`relay key    ${relay.fingerprint}`);
    const { printQr } = await import("../qr.ts");
    printQr(context, `arona-id:${account}:${fingerprint}`);
  },
};

/** In groups of four, for reading aloud. */
function grouped(hex: string): string {
  return hex.match(/.{1,4}/g)?.join(" ") ?? hex;
}
