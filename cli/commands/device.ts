/** `arona device …`: several devices for one person. */

import { type CommandContext, type CommandSpec, PROFILE_OPTIONS } from "../command.ts";
import { untilEnd } from "../ending.ts";
import { CommandFailure, usageFailure } from "../failure.ts";

const OPTIONS = PROFILE_OPTIONS.filter((name) => name !== "invite");
const SHORT_ID_DIGITS = 8;
const MIN_ID_DIGITS = 4;
const DEFAULT_WAIT_S = 600;
/** How long `device add` stays for the new device to be put into all conversations. */
const EVERYWHERE_WAIT_MS = 60_000;

/** `arona device add`. */
export const deviceAdd: CommandSpec = {
  name: "device add",
  summary: "show a one-time code that lets a further device of yours in",
  options: ["timeout", ...OPTIONS],
  more:
    "Run it on the device where you began, and `arona device link CODE` on the further one within 10 minutes. Who has the\n" +
    "code becomes you: show it to nobody else. A device that was added before gets new certificates in the same way.",
  async run(context) {
    const { output, settings, io, signal } = context;
    const [{ openProfile }, { ConnectionWatch }, { hostLabel }, { nameText }] = await Promise.all([
      import("../open_client.ts"),
      import("../connection_watch.ts"),
      import("../link_profile.ts"),
      import("../event_text.ts"),
    ]);
    const watch = new ConnectionWatch((text) => output.note(text));
    let listens = false;
    await using opened = await openProfile(context, {
      make: false,
      onEvent: (event) => {
        if (event.type === "Status" && listens) watch.note(event);
      },
    });
    const { client, clock } = opened;
    const offer = await untilEnd(
      client.offerDevice({
        label: hostLabel(io),
        onRefused: (reason) => output.note(`Not added: ${reason}. Still waiting.`),
      }),
      signal,
    );
    listens = true;
    output.data({ type: "DeviceCode", code: offer.code }, offer.code);
    const { printQr } = await import("../qr.ts");
    printQr(context, offer.code);
    output.note("On the further device, run: arona device link CODE. The code works once, for 10 minutes.");
    const waitS = Math.min(settings.number("timeout") ?? DEFAULT_WAIT_S, DEFAULT_WAIT_S);
    const late = Promise.withResolvers<never>();
    late.promise.catch(() => {}); // the race below hears of it
    const cancel = clock.schedule(waitS * 1_000, () =>
      late.reject(
        new CommandFailure(`Cannot wait any longer: no device has come in ${waitS} s`, {
          hint: "Run it again for a new code.",
        }),
      ));
    let linked;
    try {
      linked = await untilEnd(Promise.race([offer.linked, late.promise, watch.lost]), signal);
    } finally {
      cancel();
      offer.cancel();
    }
    const { device, label } = linked;
    output.object({ type: "DeviceLinked", device, label });
    output.note(
      `${shortId(device)} (${
        nameText(label)
      }) is a device of yours now. Putting it into your conversations …`,
    );
    const { promise: overdue, resolve } = Promise.withResolvers<"late">();
    const stop = clock.schedule(EVERYWHERE_WAIT_MS, () => resolve("late"));
    const outcome = await untilEnd(Promise.race([client.deviceEverywhere(device), overdue]), signal).finally(
      stop,
    );
    output.note(
      outcome === "late"
        ? "It has not come to all of them yet: that goes on whenever one of your devices is connected."
        : "It is in all of them.",
    );
  },
};

/** `arona device link`. */
export const deviceLink: CommandSpec = {
  name: "device link",
  summary: "make this a further device of somebody who runs arona device add",
  args: [{ name: "code", describe: "what arona device add shows; quoted" }],
  options: ["relay", "profile", "json", "config"],
  more:
    "Makes the profile. It reads and writes from now on; what was said before stays where it is. With --profile of a device\n" +
    "that was added before, that one gets new certificates. Of the code the part behind the dot is enough with --relay LINK.",
  async run(context) {
    const { linkProfile } = await import("../link_profile.ts");
    await linkProfile(context, context.args[0]!);
  },
};

/** `arona device list`. */
export const deviceList: CommandSpec = {
  name: "device list",
  summary: "list your devices",
  options: [...OPTIONS],
  async run(context) {
    const { output, signal } = context;
    const [{ openProfile }, { nameText }] = await Promise.all([
      import("../open_client.ts"),
      import("../event_text.ts"),
    ]);
    await using opened = await openProfile(context, { make: false });
    for (const info of await untilEnd(opened.client.devices(), signal)) {
      const { device, label, self, primary, online, certificateEndsMs } = info;
      const certificateEnds = new Date(certificateEndsMs).toISOString();
      const facts = [
        ...(self ? ["this device"] : []),
        ...(primary ? ["made the identity"] : []),
        online ? "online" : "away",
        `certificate until ${certificateEnds.slice(0, 10)}`,
      ];
      output.data(
        { type: "Device", device, label, self, primary, online, certificateEnds },
        `${shortId(device)}  ${label === null ? "" : `${nameText(label)}  `}${facts.join(", ")}`,
      );
    }
  },
};

/** `arona device remove`. */
export const deviceRemove: CommandSpec = {
  name: "device remove",
  summary: "take a device of yours back: it is out of every conversation and never logs in again",
  args: [{ name: "device", describe: "the beginning of its id, as arona device list shows it" }],
  options: ["yes", ...OPTIONS],
  more:
    "What the device has already received stays on it. Only the device where you began can remove others.",
  async run(context) {
    const { output, args, signal } = context;
    const prefix = args[0]!.toLowerCase();
    if (!new RegExp(`^[0-9a-f]{${MIN_ID_DIGITS},32}$`).test(prefix)) {
      throw usageFailure(
        `Cannot remove ${JSON.stringify(args[0]!.slice(0, 80))}: it is not the beginning of a device's id`,
        "See `arona device list`.",
      );
    }
    const [{ openProfile }, { nameText }] = await Promise.all([
      import("../open_client.ts"),
      import("../event_text.ts"),
    ]);
    await using opened = await openProfile(context, { make: false });
    const { client } = opened;
    const found = (await untilEnd(client.devices(), signal)).filter(({ device }) =>
      device.startsWith(prefix)
    );
    if (found.length !== 1) {
      throw new CommandFailure(
        `Cannot remove ${prefix}: ${
          found.length === 0 ? "you have no such device" : "several devices begin so"
        }`,
        { hint: "See `arona device list`." },
      );
    }
    const [{ device, label, self }] = found;
    if (self) {
      throw new CommandFailure("Cannot remove this device from itself", {
        hint:
          "Only the device that made the identity removes others; delete the profile's folder to end here.",
      });
    }
    const name = label === null ? shortId(device) : `${shortId(device)} (${nameText(label)})`;
    await confirm(context, name);
    await untilEnd(client.removeDevice(device), signal);
    output.object({ type: "DeviceRemoved", device, label });
    output.note(`${name} is no longer a device of yours.`);
  },
};

async function confirm({ io, settings }: CommandContext, name: string): Promise<void> {
  if (settings.switch("yes")) return;
  if (!io.interactive) {
    throw usageFailure(`Cannot remove ${name}: nobody is here to confirm it`, "Add --yes.");
  }
  const answer = await io.prompts.choose(`Remove ${name} for good?`, ["no", "yes"]);
  if (answer !== "yes") throw new CommandFailure(`Cannot remove ${name}: not confirmed`);
}

function shortId(device: string): string {
  return device.slice(0, SHORT_ID_DIGITS);
}
