/** Every option of every command: how it is written, what it means, and where else it can be set. */

import { usageFailure } from "./failure.ts";

/** The value of an option. */
export type OptionValue = string | number | boolean | readonly string[];

/** One option. */
export interface OptionSpec {
  readonly kind: "text" | "number" | "switch" | "list";
  /** What stands for its value in help texts; a switch has none. */
  readonly value?: string;
  /** Whether it can stand without its value; it is `true` then. @default false */
  readonly valueOptional?: boolean;
  readonly describe: string;
  readonly choices?: readonly string[];
  /** The environment variable that sets it. */
  readonly env?: string;
  readonly fallback?: OptionValue;
  /** Whether a configuration file can hold it. @default true */
  readonly inFile?: boolean;
  /** Whether `arona config` keeps its value to itself. @default false */
  readonly secret?: boolean;
  /** Numbers: the smallest and the largest that make sense. */
  readonly range?: readonly [number, number];
  /** For the example of a configuration file. */
  readonly example?: OptionValue;
}

/** All options by their long name. */
export const OPTIONS = {
  // Everywhere
  config: {
    kind: "text",
    value: "FILE",
    describe: "configuration file, JSON",
    env: "ARONA_CONFIG",
    inFile: false,
  },
  json: { kind: "switch", describe: "one JSON object a line on stdout, and nothing else there" },

  // Relay
  listen: {
    kind: "text",
    value: "HOST:PORT",
    describe: "where the relay listens",
    env: "ARONA_LISTEN",
    fallback: "0.0.0.0:7700",
  },
  data: {
    kind: "text",
    value: "DIR",
    describe: "the relay's data folder (default: relay in ARONA_HOME)",
    env: "ARONA_DATA",
    example: "/var/lib/arona",
  },
  name: {
    kind: "text",
    value: "NAME",
    describe: "what the relay calls itself",
    env: "ARONA_NAME",
    fallback: "Arona",
  },
  "public-address": {
    kind: "list",
    value: "HOST:PORT",
    describe: "where others reach the relay; can be given several times",
    env: "ARONA_PUBLIC_ADDRESS",
    example: ["chat.example.org:7700"],
  },
  "publish-gist": {
    kind: "switch",
    describe: "keep the way to this relay in a GitHub Gist; needs GITHUB_TOKEN with the scope gist",
    env: "ARONA_PUBLISH_GIST",
    fallback: false,
    example: true,
  },
  "gist-id": {
    kind: "text",
    value: "ID",
    describe: "the Gist to keep it in (default: one is made, and found again)",
    env: "ARONA_GIST_ID",
    example: "0123456789abcdef0123456789abcdef",
  },
  tunnel: {
    kind: "text",
    value: "SPEC",
    describe: "let others reach the relay through ssh:USER@HOST[:PORT], bore[:HOST] or ngrok",
    env: "ARONA_TUNNEL",
    example: "ssh:arona@vps.example.org",
  },
  mailbox: {
    kind: "text",
    value: "KIND",
    describe: "where undelivered messages wait; disk keeps them, encrypted as they are, through a restart",
    choices: ["memory", "disk"],
    env: "ARONA_MAILBOX",
    fallback: "memory",
  },
  "invite-only": {
    kind: "switch",
    describe: "new accounts need an invite code (see arona invite)",
    env: "ARONA_INVITE_ONLY",
    fallback: false,
    example: true,
  },
  registration: {
    kind: "text",
    value: "WHO",
    describe: "who may make an account; goes before invite-only (default: open)",
    choices: ["open", "invite-only", "closed"],
    env: "ARONA_REGISTRATION",
    example: "open",
  },
  "messages-per-second": {
    kind: "number",
    value: "N",
    describe: "messages of one account in a second, over time",
    env: "ARONA_MESSAGES_PER_SECOND",
    fallback: 20,
    range: [1, 1_000_000],
  },
  "message-burst": {
    kind: "number",
    value: "N",
    describe: "messages of one account at once",
    env: "ARONA_MESSAGE_BURST",
    fallback: 100,
    range: [1, 1_000_000],
  },
  "max-per-ip": {
    kind: "number",
    value: "N",
    describe: "connections from one address; 0 for any number",
    env: "ARONA_MAX_PER_IP",
    fallback: 16,
    range: [0, 65_535],
  },
  "log-level": {
    kind: "text",
    value: "L",
    describe: "least severe log lines on stderr",
    choices: ["debug", "info", "warning", "error"],
    env: "ARONA_LOG_LEVEL",
    fallback: "info",
  },
  "log-format": {
    kind: "text",
    value: "F",
    describe: "how log lines look; json is one object a line",
    choices: ["text", "json"],
    env: "ARONA_LOG_FORMAT",
    fallback: "text",
  },
  lan: {
    kind: "switch",
    describe: "use the local network: announce the relay there, look for it there",
    env: "ARONA_LAN",
    fallback: true,
    example: false,
  },
  metrics: {
    kind: "text",
    value: "HOST:PORT",
    describe: "serve /metrics, /healthz and /readyz there; a port alone means 127.0.0.1",
    env: "ARONA_METRICS",
    example: "127.0.0.1:9464",
  },

  // Client
  relay: {
    kind: "text",
    value: "LINK",
    describe:
      "the relay's link, or where to look for it: gist:ID, @user, https://host, lan; needed once for each profile",
    env: "ARONA_LINK",
    example: "arona://chat.example.org:7700#…",
  },
  profile: {
    kind: "text",
    value: "P",
    describe: "which profile to use (default: named like the user, or the only one)",
    env: "ARONA_PROFILE",
    example: "work",
  },
  username: {
    kind: "text",
    value: "U",
    describe: "account name; needed once for each profile",
    env: "ARONA_USERNAME",
    example: "alice",
  },
  invite: {
    kind: "text",
    value: "CODE",
    describe: "invite, for the first login at an invite-only relay: the code, or the link that holds it",
    env: "ARONA_INVITE",
    secret: true,
    inFile: true,
  },
  suite: {
    kind: "text",
    value: "SUITE",
    describe: "cipher suite of a group that this command creates",
    choices: ["default", "aes256"],
    env: "ARONA_SUITE",
    fallback: "default",
  },
  plain: { kind: "switch", describe: "line by line, no screen control", example: true },
  "read-marks": {
    kind: "switch",
    describe: "in direct messages, tell the other side what you have read when you write",
    env: "ARONA_READ_MARKS",
    fallback: true,
    example: false,
  },
  wait: {
    kind: "text",
    value: "STATE",
    describe: "what to wait for",
    choices: ["accepted", "delivered", "read"],
    fallback: "accepted",
  },
  timeout: { kind: "number", value: "S", describe: "seconds to wait at most", range: [0.1, 2_000_000] },
  count: {
    kind: "number",
    value: "N",
    describe: "how many: messages to end after, invites to make",
    range: [1, 1_000_000_000],
  },
  expires: {
    kind: "text",
    value: "TIME",
    describe: "how long an invite lets somebody in: 30m, 12h, 7d",
    fallback: "30d",
    example: "7d",
  },

  // What is said anew each time
  all: {
    kind: "switch",
    describe: "print every event, not only messages and what is wrong with them",
    inFile: false,
  },
  confirm: { kind: "switch", describe: "mark as verified: you have compared the number", inFile: false },
  accept: {
    kind: "text",
    value: "FINGERPRINT",
    valueOptional: true,
    describe: "accept an identity that has changed; with the beginning of its fingerprint, only that one",
    inFile: false,
  },
  force: {
    kind: "switch",
    describe: "also where something is there already; that is kept aside",
    inFile: false,
  },
  document: {
    kind: "switch",
    describe: "print the relay's newest signed document as it is and nothing else, for a web server",
    inFile: false,
  },
  yes: { kind: "switch", describe: "do not ask whether it is meant", inFile: false },
  revoke: { kind: "switch", describe: "take the right away again", inFile: false },
  example: { kind: "switch", describe: "print a commented example of a configuration file", inFile: false },
} as const satisfies Record<string, OptionSpec>;

/** The long name of an option. */
export type OptionName = keyof typeof OPTIONS;

/** What `name` is. */
export function optionSpec(name: OptionName): OptionSpec {
  return OPTIONS[name];
}

/** All long names. */
export const OPTION_NAMES = Object.keys(OPTIONS) as OptionName[];

/**
 * The value that `raw` stands for.
 *
 * @param raw from the command line or the environment always text; from a file any JSON
 * @param where for the error, for example `--count` or `ARONA_LISTEN`
 * @throws {CommandFailure} usage
 */
export function parseOption(name: OptionName, raw: unknown, where: string): OptionValue {
  const spec = optionSpec(name);
  const wrong = (want: string) =>
    usageFailure(`Cannot use ${where}: ${describe(raw)} is not ${want}`, `See arona help or arona config.`);
  switch (spec.kind) {
    case "switch": {
      if (typeof raw === "boolean") return raw;
      if (raw === "1" || raw === "true" || raw === "yes") return true;
      if (raw === "0" || raw === "false" || raw === "no") return false;
      throw wrong("true or false");
    }
    case "number": {
      const number = typeof raw === "number"
        ? raw
        : typeof raw === "string" && /^\d+(\.\d+)?$/.test(raw)
        ? Number(raw)
        : NaN;
      const [least, most] = spec.range ?? [0, Number.MAX_SAFE_INTEGER];
      const whole = Number.isInteger(least);
      if (!(number >= least && number <= most) || (whole && !Number.isInteger(number))) {
        throw wrong(`a ${whole ? "whole number" : "number"} from ${least} to ${most}`);
      }
      return number;
    }
    case "list": {
      const items = typeof raw === "string" ? raw.split(/[\s,]+/).filter((item) => item !== "") : raw;
      if (!Array.isArray(items) || items.some((item) => typeof item !== "string" || item === "")) {
        throw wrong("a list of texts");
      }
      return items;
    }
    case "text": {
      if (raw === true && spec.valueOptional) return true;
      if (typeof raw !== "string" || raw === "") throw wrong("a text");
      if (spec.choices && !spec.choices.includes(raw)) throw wrong(spec.choices.join(" or "));
      return raw;
    }
  }
}

function describe(raw: unknown): string {
  return JSON.stringify(raw)?.slice(0, 80) ?? "nothing";
}
