/** Looks at sources one after the other and says what is there, for `arona discover`. */

import { type Discovery, find, type Finding, type Found, type KnownRelay } from "../client/discovery/mod.ts";
import {
  AronaError,
  type Clock,
  type CryptoProvider,
  type DiscoveryDocument,
  equalBytes,
  formatSource,
  formatSourceLink,
  isAronaError,
  parseSource,
  parseSourceLink,
  selectProvider,
  type SourceLink,
  toBase64Url,
  within,
} from "../proto/mod.ts";
import type { CommandContext } from "./command.ts";
import { type CommandNetwork, commandNetwork } from "./discovery.ts";
import { untilEnd } from "./ending.ts";
import { nameText } from "./event_text.ts";
import { CommandFailure, usageFailure } from "./failure.ts";
import { readRelay } from "./open_client.ts";
import { listProfiles } from "./paths.ts";
import { chooseProfile } from "./profile.ts";

const TRUST_TEXTS: Readonly<Record<Found["trust"], string>> = {
  pinned: "yes: its key is the one that the profile has pinned",
  link: "yes: its key is the one in the link",
  first: "not yet: nobody has vouched for its key; whoever connects pins it",
};

/** What all looks have in common. */
interface Looking {
  readonly discovery: Discovery;
  readonly crypto: CryptoProvider;
  readonly clock: Clock;
  readonly known: KnownRelay | null;
}

/** Runs the command. @throws {CommandFailure} where nothing is found that may be used */
export async function runDiscover(context: CommandContext): Promise<void> {
  const { args: [source], io, settings } = context;
  const given = source === undefined ? undefined : parseSourceLink(source);
  const [crypto, clock] = await Promise.all([selectProvider(), io.clock()]);
  using network = commandNetwork(context, clock);
  const { discovery } = network;
  const wantsProfile = given === undefined || settings.text("profile") !== undefined;
  const known = wantsProfile ? await profileRelay(context, { network, clock }) : null;
  const links = given === undefined ? allLinks(context, { known, discovery }) : [given];
  if (links.length === 0) {
    throw usageFailure(
      "Cannot look for a relay: no place to look is known",
      "Give one: see arona discover --help.",
    );
  }
  const findings: Finding[] = [];
  for (const link of links) {
    for (const finding of await look(context, { link, discovery, crypto, clock, known })) {
      findings.push(finding);
      if (!settings.switch("document")) show(context, finding);
      else if (finding.kind === "refused") context.output.note(finding.reason.message);
    }
  }
  if (!findings.some(({ kind }) => kind === "found")) {
    throw new CommandFailure("Cannot find a relay that may be used: see above for each place");
  }
  if (settings.switch("document")) {
    const { printDocument } = await import("./print_document.ts");
    printDocument(context.output, findings);
  }
}

/** The chain of `arona connect`: the profile's relay, the link that is set, the local network. */
function allLinks(
  { settings }: CommandContext,
  { known, discovery }: { known: KnownRelay | null; discovery: Discovery },
): SourceLink[] {
  const saved = known === null ? [] : [...known.endpoints, ...known.sources];
  const links = saved.map((text): SourceLink => ({ source: parseSource(text), fingerprint: null }));
  const set = settings.text("relay");
  if (set !== undefined) links.push(parseSourceLink(set));
  if (discovery.lan) links.push({ source: { kind: "lan" }, fingerprint: null });
  const isFirst = (link: SourceLink, i: number) =>
    links.findIndex(({ source }) => formatSource(source) === formatSource(link.source)) === i;
  return links.filter(isFirst);
}

/** What the profile has pinned, if there is a profile. */
async function profileRelay(
  context: CommandContext,
  options: { network: CommandNetwork; clock: Clock },
): Promise<KnownRelay | null> {
  if ((await listProfiles(context.home())).length === 0 && context.settings.text("profile") === undefined) {
    return null;
  }
  const choice = await chooseProfile(context, { nameFault: () => undefined, mayMake: false });
  if (!choice.exists) throw new CommandFailure(`Cannot open profile ${choice.profile}: there is none`);
  try {
    return await readRelay(context, { choice, ...options });
  } catch (error) {
    if (!isAronaError(error, "PROFILE_IN_USE")) throw error;
    context.output.note(
      `Profile ${choice.profile} is in use by another command: what it knows is left out here.`,
    );
    return null;
  }
}

/** One source; whatever takes longer than `--timeout` has found nothing. */
async function look(
  { settings, signal }: CommandContext,
  { link, known, ...options }: Looking & { link: SourceLink },
): Promise<Finding[]> {
  const seconds = settings.number("timeout");
  const { source, fingerprint } = link;
  // The profile's pin is for its own relay; a link that names another one is judged by itself.
  const isOwn = known === null || fingerprint === null || equalBytes(fingerprint, known.fingerprint);
  const looking = (signal: AbortSignal) =>
    find(source, { ...options, known: isOwn ? known : null, fingerprint, signal });
  if (seconds === undefined) return await untilEnd(looking(signal), signal);
  const late = new AronaError(
    "TIMEOUT",
    `Cannot look at ${formatSource(source)}: no answer within ${seconds} s`,
  );
  try {
    return await within(
      { clock: options.clock, signal, limitMs: seconds * 1_000, late: () => late },
      looking,
    );
  } catch (error) {
    if (error !== late) throw error;
    return [{ kind: "refused", source, reason: late }];
  }
}

function show({ output }: CommandContext, finding: Finding): void {
  const source = formatSource(finding.source);
  if (finding.kind === "found") {
    const { document, trust } = finding;
    const link = formatSourceLink({ source: finding.source, fingerprint: document.fingerprint });
    output.object({ type: "Discovered", source, trust, ...documentFields(document), link });
    output.line(source);
    for (const line of documentLines(document)) output.line(line);
    output.line(`  trusted      ${TRUST_TEXTS[trust]}`);
    output.line(`  link         ${link}`);
    return;
  }
  const { reason: { code, message: reason }, stranger } = finding;
  const unverified = stranger === undefined ? undefined : documentFields(stranger);
  output.object({ type: "NotDiscovered", source, code, reason, unverified });
  output.line(source);
  if (stranger !== undefined) {
    output.line("  unverified, and not used:");
    for (const line of documentLines(stranger)) output.line(line);
  }
  output.line(`  trusted      no: ${nameText(reason)}`);
}

function documentFields(document: DiscoveryDocument): Record<string, unknown> {
  const { name, endpoints, sources, sequence } = document;
  return {
    name,
    fingerprint: toBase64Url(document.fingerprint),
    endpoints,
    sources,
    sequence,
    issuedAt: new Date(document.issuedAtMs).toISOString(),
    expiresAt: new Date(document.expiresAtMs).toISOString(),
  };
}

function documentLines(document: DiscoveryDocument): string[] {
  const { name, endpoints, sources, sequence } = document;
  const minute = (ms: number) => new Date(ms).toISOString().slice(0, 16).replace("T", " ");
  return [
    `  relay        ${nameText(name)}`,
    `  fingerprint  ${toBase64Url(document.fingerprint)}`,
    `  address      ${endpoints.join(", ") || "none"}`,
    ...(sources.length === 0 ? [] : [`  also at      ${sources.join(", ")}`]),
    `  document     number ${sequence}, of ${minute(document.issuedAtMs)}, valid until ${
      minute(document.expiresAtMs)
    } UTC`,
  ];
}
