/** The publisher's worker as the supervisor sees it: what it is started with, and what the person hears of it. */

import {
  formatSource,
  formatSourceLink,
  fromBase64Url,
  GITHUB_API,
  parseGithubApi,
  parseSource,
  type RelaySource,
} from "../../proto/base/mod.ts";
import { checkGithubToken, type GistPublisherEvent, TOKEN_HINT } from "../../server/discovery/mod.ts";
import { type PublisherContract, type RelayState, spawnWorker } from "../../workers/mod.ts";
import type { CommandContext } from "../command.ts";
import type { PublisherStatus } from "../control/protocol.ts";
import { CommandFailure, usageFailure } from "../failure.ts";
import { reasonOf } from "../paths.ts";
import { printQr } from "../qr.ts";
import type { RelayLogWriter } from "../relay_log.ts";
import type { RelayRole } from "./relay_role.ts";

const MAX_TOKEN_FILE_BYTES = 4_096;

/** Where to publish, and by which right. */
export interface Publishing {
  readonly api: string;
  readonly token: string;
  /** The one that the person names; null: the relay's own. */
  readonly gistId: string | null;
}

/** A publisher in its worker. */
export interface PublisherRole extends AsyncDisposable {
  /** Publishes the document as it is now, and every newer one. */
  begin(): void;
  status(): PublisherStatus;
}

/**
 * Whether the relay shall publish, from options and environment. The token is taken from the environment or from the file that
 * GITHUB_TOKEN_FILE names, so that it is in no list of processes, no shell history and no file of Arona's.
 *
 * @returns null where it shall not
 * @throws {CommandFailure | AronaError} usage, where something is missing or wrong
 */
export async function readPublishing({ settings, io }: CommandContext): Promise<Publishing | null> {
  const gist = settings.text("gist-id");
  if (!settings.switch("publish-gist")) {
    if (gist === undefined) return null;
    throw usageFailure(
      "Cannot use --gist-id: the relay does not publish",
      "Say --publish-gist too, or leave --gist-id out.",
    );
  }
  const file = io.env("GITHUB_TOKEN_FILE");
  const token = io.env("GITHUB_TOKEN") || (file ? await readTokenFile(file) : undefined);
  if (!token) throw usageFailure("Cannot publish to GitHub: GITHUB_TOKEN is not set", TOKEN_HINT);
  return {
    api: parseGithubApi(io.env("ARONA_GITHUB_API") || GITHUB_API),
    token: checkGithubToken(token),
    gistId: gist === undefined ? null : parseGistId(gist),
  };
}

/** As a service is handed it: no environment of any process has it then. */
async function readTokenFile(path: string): Promise<string> {
  try {
    const { size } = await Deno.stat(path);
    if (size > MAX_TOKEN_FILE_BYTES) throw new Error("it is too long for a token");
    return (await Deno.readTextFile(path)).trim();
  } catch (cause) {
    throw new CommandFailure(`Cannot read GITHUB_TOKEN_FILE ${path}: ${reasonOf(cause)}`, { cause });
  }
}

/** Starts the publisher with the right to reach GitHub's API. It is quiet until it is told to begin. @throws {AronaError} */
export async function startPublisherRole(
  context: CommandContext,
  { api, token, gistId }: Publishing,
  { relay, log }: { relay: RelayRole; log: RelayLogWriter },
): Promise<PublisherRole> {
  const remembered = await relay.remote.publishedGist();
  const id = gistId ?? remembered?.id;
  const known = id === undefined ? null : { id, login: remembered?.id === id ? remembered.login : "" };
  if (known !== null) await relay.remote.setSources(sourcesOf(known));
  const report = new Report(context, { relay, log, known, api });
  const worker = await spawnWorker<PublisherContract>("publisher", {
    parameters: { api },
    init: {
      ...{ api, token },
      fingerprint: relay.state.fingerprint,
      gist: id === undefined ? undefined : { id, replaceable: gistId === null },
    },
    onEvent: ({ event, status }) => report.take(event, status.state),
    onFault: (error) => log.log({ type: "internal_error", where: "publisher", error }),
    onEnd: (error) => {
      report.ended();
      log.log({ type: "internal_error", where: "publisher", error });
    },
    signal: context.signal,
  });
  let unwatch = () => {};
  const publish = ({ document }: RelayState) => {
    worker.remote.publish(document).catch(() => {}); // it has ended, and that was said
  };
  return {
    begin() {
      unwatch = relay.watch(publish);
      publish(relay.state);
    },
    status: () => report.status,
    [Symbol.asyncDispose]() {
      unwatch();
      worker.terminate();
      return Promise.resolve();
    },
  };
}

interface KnownGist {
  readonly id: string;
  /** Empty where it leads nobody there. */
  readonly login: string;
}

/** Tells the relay, the log, the person and the status what came of publishing. */
class Report {
  status: PublisherStatus;
  #known: KnownGist | null;
  #linked = "";
  #failures = 0;

  constructor(
    private readonly context: CommandContext,
    private readonly parts: {
      readonly relay: RelayRole;
      readonly log: RelayLogWriter;
      readonly known: KnownGist | null;
      readonly api: string;
    },
  ) {
    this.#known = parts.known;
    this.status = { state: "idle", ...sourceField(parts.known), failures: 0, api: parts.api };
  }

  take(event: GistPublisherEvent, state: string): void {
    const { log } = this.parts;
    switch (event.type) {
      case "published":
        this.#published(event);
        this.status = {
          state,
          ...sourceField(this.#known),
          sequence: event.sequence,
          failures: this.#failures,
          api: this.parts.api,
        };
        return log.say(
          "info",
          "published",
          `discovery document ${event.sequence} is in the Gist ${event.gistId}`,
        );
      case "warning":
        return log.say("warning", "publisher_warning", `${event.reason}. ${event.hint}`);
      case "failed":
        this.#failed(event);
        this.status = { ...this.status, state, failures: ++this.#failures, reason: event.reason };
        return;
    }
  }

  /** The worker is gone. */
  ended(): void {
    this.status = {
      ...this.status,
      state: "failed",
      failures: ++this.#failures,
      reason: "the publisher has ended",
    };
  }

  #published(event: Extract<GistPublisherEvent, { type: "published" }>): void {
    const { relay, log } = this.parts;
    const gist: KnownGist = {
      id: event.gistId,
      login: event.isPublic && event.login !== null ? event.login : "",
    };
    if (gist.id !== this.#known?.id || gist.login !== this.#known.login) {
      this.#known = gist;
      relay.remote.savePublishedGist(gist).then(() => relay.remote.setSources(sourcesOf(gist)))
        .catch((error) => log.log({ type: "internal_error", where: "publisher", error }));
    }
    this.#announce(event);
  }

  #announce({ gistId, url, sequence }: { gistId: string; url: string; sequence: number }): void {
    const { output } = this.context;
    const source: RelaySource = { kind: "gist", id: gistId };
    const link = formatSourceLink({ source, fingerprint: fromBase64Url(this.parts.relay.state.fingerprint) });
    output.object({ type: "Published", source: formatSource(source), link, url, sequence });
    if (link === this.#linked) return;
    this.#linked = link;
    output.line(`published    ${url}`);
    output.line(`short link   ${link}`);
    output.note("The short link stays right when the relay's address changes.");
    printQr(this.context, link);
  }

  #failed({ reason, hint, retryAtMs }: Extract<GistPublisherEvent, { type: "failed" }>): void {
    const { output } = this.context;
    const retryAt = retryAtMs === undefined ? undefined : new Date(retryAtMs).toISOString();
    output.object({ type: "PublishFailed", reason, hint, retryAt });
    const next = retryAt === undefined ? "The relay goes on, unpublished" : `The next try is at ${retryAt}`;
    const text = [reason, hint?.replace(/\.$/, ""), next].filter((part) => part !== undefined).join(". ");
    this.parts.log.say(retryAt === undefined ? "error" : "warning", "publish_failed", text);
  }
}

/** Where newer documents will be, in the order in which to look. */
function sourcesOf({ id, login }: KnownGist): string[] {
  return [`gist:${id}`, ...(login === "" ? [] : [`@${login}`])];
}

function sourceField(gist: KnownGist | null): { source?: string } {
  return gist === null ? {} : { source: `gist:${gist.id}` };
}

/** The id, or the address of the Gist's page. */
function parseGistId(text: string): string {
  try {
    const source = parseSource(/^[0-9a-f]+$/i.test(text) ? `gist:${text}` : text);
    if (source.kind === "gist") return source.id;
  } catch {
    // said below
  }
  throw usageFailure(
    `Cannot use --gist-id ${JSON.stringify(text.slice(0, 100))}: it is not a Gist's id`,
    "It is the last part of the address of the Gist's page, 20 or 32 digits from 0 to f.",
  );
}
