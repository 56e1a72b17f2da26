/**
 * Which relay a command shall use: what was given is looked at, and what is found there is weighed against what the profile knows.
 *
 * the profile's relay, LINK or --relay or ARONA_LINK, the local network; several relays → the person is asked.
 */

import {
  type Discovery,
  distinctRelays,
  find,
  type Finding,
  type Found,
  type KnownRelay,
  mergeRelays,
  relayFromDocument,
  relayFromLink,
  withSource,
} from "../client/discovery/mod.ts";
import {
  AronaError,
  type Clock,
  type ErrorCode,
  formatSource,
  formatSourceLink,
  isAronaError,
  parseSourceLink,
  type RelaySource,
  type SourceLink,
  toBase64Url,
} from "../proto/base/mod.ts";
import type { CommandContext } from "./command.ts";
import { nameText } from "./event_text.ts";
import { type CommandFailure, usageFailure } from "./failure.ts";

const LAN: SourceLink = { source: { kind: "lan" }, fingerprint: null };
/** The most telling first. */
const TELLING_CODES: readonly ErrorCode[] = [
  "WRONG_RELAY",
  "BAD_DOCUMENT",
  "UNKNOWN_VERSION",
  "RATE_LIMITED",
  "FORBIDDEN",
];

/** What the answer depends on. */
export interface RelayQuestion {
  /** The profile's name. */
  readonly profile: string;
  /** LINK, `--relay` or `ARONA_LINK`. */
  readonly link: string | undefined;
  /** The profile's relay; null for a new profile. */
  readonly known: KnownRelay | null;
  /** Whether the command does without a network. @default false */
  readonly offline?: boolean;
  readonly discovery: Discovery;
  readonly clock: Clock;
}

/**
 * Finds it.
 *
 * @returns undefined where the profile's own knowledge is enough
 * @throws {AronaError | CommandFailure} where there is none, it is another one than the profile's, or nobody can choose
 */
export async function findRelay(
  context: CommandContext,
  question: RelayQuestion,
): Promise<KnownRelay | undefined> {
  const { known, discovery } = question;
  if (question.link === undefined) {
    if (known !== null) return undefined;
    if (!discovery.lan) throw noRelay(question.profile);
    context.output.note("Looking for a relay on the local network…");
    try {
      return await chosenRelay(context, { ...question, given: LAN });
    } catch (error) {
      if (!isAronaError(error, "NOT_FOUND", "UNREACHABLE", "UNSUPPORTED")) throw error;
      context.output.note(`${error.message}.`);
      throw noRelay(question.profile);
    }
  }
  const given = parseSourceLink(question.link);
  if (known !== null) return await addedToKnown(context, { ...question, given, known });
  const { source, fingerprint } = given;
  if (source.kind === "endpoint" && fingerprint !== null) return relayFromLink({ ...source, fingerprint });
  return await chosenRelay(context, { ...question, given });
}

/** What the chain of `arona connect` ends with. */
export function noRelay(profile: string): CommandFailure {
  return usageFailure(
    `Cannot make profile ${profile}: it does not know a relay yet`,
    "Give the link that the relay printed: --relay arona://… Or where to look: gist:ID, @user, https://host.",
  );
}

/** A profile keeps to its relay: a link with its key is a further way to it, and without a key has to lead to it. */
async function addedToKnown(
  context: CommandContext,
  question: RelayQuestion & { given: SourceLink; known: KnownRelay },
): Promise<KnownRelay | undefined> {
  const { given: { source, fingerprint }, known } = question;
  const text = formatSource(source);
  if (fingerprint !== null) {
    const way = { ...known, endpoints: [], sources: [], fingerprint };
    return mergeRelays(known, withSource(way, source));
  }
  if (known.sources.includes(text) || known.endpoints.includes(text)) return withSource(known, source);
  if (question.offline) return undefined;
  const findings = await look(context, question);
  const [found] = distinctRelays(findings);
  if (found !== undefined) {
    return mergeRelays(known, relayFromDocument(found, { found: [found.source, source] }));
  }
  const reason = tellingReason(findings);
  if (reason.code === "WRONG_RELAY") {
    throw new AronaError("WRONG_RELAY", `Cannot use ${text}: the profile belongs to another relay`, {
      cause: reason,
      hint: "Use another profile for another relay: --profile NAME.",
    });
  }
  context.output.note(`${reason.message}. Going on with what this profile knows of its relay.`);
  return undefined;
}

async function chosenRelay(
  context: CommandContext,
  question: RelayQuestion & { given: SourceLink },
): Promise<KnownRelay> {
  const { output } = context;
  const { source } = question.given;
  const findings = await look(context, question);
  const relays = distinctRelays(findings);
  if (relays.length === 0) throw tellingReason(findings);
  const found = relays.length === 1 ? relays[0] : await choose(context, { relays, source });
  if (found.trust === "first") output.note(firstContactText(found));
  return relayFromDocument(found, { found: [found.source, source] });
}

async function look(
  { signal }: CommandContext,
  { given, known, discovery, clock }: RelayQuestion & { given: SourceLink },
): Promise<Finding[]> {
  const { selectProvider } = await import("../proto/mod.ts"); // takes long to load, and links do without
  const crypto = await selectProvider();
  const { source, fingerprint } = given;
  return await find(source, { discovery, crypto, clock, known, fingerprint, signal });
}

async function choose(
  { io, output }: CommandContext,
  { relays, source }: { relays: readonly Found[]; source: RelaySource },
): Promise<Found> {
  const labels = relays.map(relayLabel);
  if (!io.interactive || output.json) {
    const links = relays.map((found) =>
      `${nameText(found.document.name)} ${
        formatSourceLink({ source: found.source, fingerprint: found.document.fingerprint })
      }`
    );
    throw usageFailure(
      `Cannot choose a relay at ${formatSource(source)}: there are ${links.join(", ")}`,
      "Give the link of one of them.",
    );
  }
  const answer = await io.prompts.choose("Which relay?", labels);
  return relays[labels.indexOf(answer)];
}

/** A relay in one line; its key tells it from another of the same name. */
function relayLabel({ document, source }: Found): string {
  const key = toBase64Url(document.fingerprint).slice(0, 8);
  const where = document.endpoints[0] ?? formatSource(source);
  return `${nameText(document.name)} at ${where}, key ${key}…`;
}

/** What is said when a relay is pinned that nobody has vouched for. */
function firstContactText({ document }: Found): string {
  return `First contact with the relay ${nameText(document.name)}. Its key is remembered from now on: ` +
    `${toBase64Url(document.fingerprint)}. Compare it with whoever runs the relay.`;
}

function tellingReason(findings: readonly Finding[]): AronaError {
  const reasons = findings.flatMap((finding) => finding.kind === "refused" ? [finding.reason] : []);
  const telling = TELLING_CODES.map((code) => reasons.find((reason) => reason.code === code));
  return telling.find((reason) => reason !== undefined) ?? reasons[0] ??
    new AronaError("NOT_FOUND", "Cannot find a relay: there is none");
}
