/** `arona status`: what a running relay says of itself. */

import type { CommandSpec } from "../command.ts";

/** `arona status`. */
export const status: CommandSpec = {
  name: "status",
  summary: "show how your relay is doing",
  options: ["data", "json", "config"],
  more: "Run it where the relay runs, as the same user and with the same --data.",
  async run({ settings, home, output, signal }) {
    const { relayDataFolder } = await import("../paths.ts");
    const { ControlClient } = await import("../control/client.ts");
    const { statusLines, statusObject } = await import("../control/status_text.ts");
    const { freeBytes } = await import("../disk.ts");
    const folder = relayDataFolder({ settings, home });
    const status = await (await ControlClient.find(folder, { signal })).status();
    const free = freeBytes(folder);
    output.object(statusObject(status, free));
    for (const line of statusLines(status, free)) output.line(line);
  },
};
