/** What the operator has of a running relay: control, metrics, and reading the configuration again. */

import { resolve } from "node:path";
import process from "node:process";
import { type ConfigContract, type RunningWorker, spawnWorker } from "../../workers/mod.ts";
import type { CommandContext } from "../command.ts";
import { VERSION } from "../commands/version.ts";
import type { Settings } from "../config.ts";
import { writeControlFile } from "../control/control_file.ts";
import type {
  ControlledRelay,
  PublisherStatus,
  RelayStatus,
  ReloadReport,
  TunnelStatus,
} from "../control/protocol.ts";
import { serveControl } from "../control/server.ts";
import { describeFailure, usageFailure } from "../failure.ts";
import { serveMetrics } from "../metrics/server.ts";
import type { OptionName } from "../options.ts";
import type { LogSeverity, RelayLogWriter } from "../relay_log.ts";
import { parseAnyPort } from "./addresses.ts";
import type { DataFolder } from "./data_folder.ts";
import { applySettings } from "./reload.ts";
import type { RelayRole } from "./relay_role.ts";

/** What is operated. */
export interface OperationOptions {
  readonly relay: RelayRole;
  readonly folder: DataFolder;
  readonly log: RelayLogWriter;
  /** Reads the configuration again; null where there is none. Stays the caller's. */
  readonly config: ConfigRole | null;
  /** The options of `arona serve`. */
  readonly served: readonly OptionName[];
  /** Sets where others reach the relay; none means what the machine says. */
  readonly setPublicAddresses: (addresses: readonly string[]) => Promise<void>;
  /** Hears of another name of the relay. @default nobody does */
  readonly onName?: (name: string) => Promise<void> | void;
  /** How the other roles are doing; null where they do not run. */
  readonly roles?: {
    readonly publisher?: () => PublisherStatus | null;
    readonly tunnel?: () => TunnelStatus | null;
    readonly lan?: () => boolean | null;
  };
}

/** An operation that goes on. */
export interface Operation extends AsyncDisposable {
  /** Resolves when the operator wants the relay to end. */
  readonly endAsked: Promise<void>;
  /** `host:port` of the metrics, or null. */
  readonly metrics: string | null;
  /**
   * Lets nobody new in and gives devices what waits for them, within the time that was asked for.
   *
   * @param signal makes it short when it aborts: whatever sends signals does not wait for ever
   */
  drain(signal: AbortSignal): Promise<void>;
}

/** Begins; the rights that it needs are used up when it returns. @throws {CommandFailure} where it cannot listen */
export async function startOperation(context: CommandContext, options: OperationOptions): Promise<Operation> {
  const { relay, folder, log } = options;
  const { settings, io } = context;
  await using started = new AsyncDisposableStack();
  const listen = parseMetrics(settings.text("metrics"));
  const control = new Control(context, options);
  const onFault = (error: unknown) => log.log({ type: "internal_error", where: "control", error });
  const server = serveControl({ relay: control, onFault });
  started.defer(() => server.stop());
  await writeControlFile(folder.path, { address: server.address, token: server.token, pid: Deno.pid });
  if (listen !== null) {
    const clock = await io.clock();
    const metrics = serveMetrics(listen, { relay: control, clock, onFault });
    started.defer(() => metrics.stop());
    control.metrics = metrics.address;
    if (!/^(127\.|\[::1\]|localhost)/.test(metrics.address)) {
      log.say(
        "warning",
        "metrics_open",
        `metrics are served on ${metrics.address}: other machines can read them`,
      );
    }
  }
  // Where there is no file to read, a terminal that closes means what it means everywhere. A service's reload does no harm.
  const atTerminal = io.stdin.isTerminal || io.stdout.isTerminal || io.stderr.isTerminal;
  if (options.config !== null || !atTerminal) {
    started.defer(io.onHangUp(() => void control.reload().catch(() => {}))); // said in the log
  }
  const ends = started.move();
  return {
    endAsked: control.endAsked,
    metrics: control.metrics,
    async drain(signal) {
      control.ready = false;
      const drained = relay.remote.drain(control.drainOptions);
      const shorten = () => void relay.remote.drain({}).catch(() => {}); // it has ended already
      signal.addEventListener("abort", shorten, { once: true });
      try {
        await drained;
      } finally {
        signal.removeEventListener("abort", shorten);
      }
      control.drained();
    },
    [Symbol.asyncDispose]: () => ends.disposeAsync(),
  };
}

/** `HOST:PORT`, or a port of loopback. Port 0 lets the system choose. @throws {CommandFailure} usage */
export function parseMetrics(text: string | undefined): { hostname: string; port: number } | null {
  if (text === undefined) return null;
  const full = /^:?\d+$/.test(text) ? `127.0.0.1:${text.replace(":", "")}` : text;
  try {
    return parseAnyPort(full);
  } catch {
    throw usageFailure(
      `Cannot use --metrics ${JSON.stringify(text.slice(0, 100))}: it is neither a port nor HOST:PORT`,
      "Write for example 9464 or 127.0.0.1:9464.",
    );
  }
}

class Control implements ControlledRelay {
  readonly #end = Promise.withResolvers<void>();
  readonly #drained = Promise.withResolvers<void>();
  readonly endAsked = this.#end.promise;
  ready = true;
  metrics: string | null = null;
  drainOptions: { withinMs?: number } = {};
  #settings: Settings;
  #reloading: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly context: CommandContext,
    private readonly parts: OperationOptions,
  ) {
    this.#settings = context.settings;
  }

  async status(): Promise<RelayStatus> {
    const { relay, roles } = this.parts;
    const [stats, limits, dataBytes, clock] = await Promise.all([
      relay.remote.stats(),
      relay.remote.limits(),
      relay.remote.dataBytes(),
      this.context.io.clock(),
    ]);
    const { address, fingerprint, link } = relay.state;
    const { user, system } = process.cpuUsage();
    return {
      ...{ version: VERSION, runtime: `deno ${Deno.version.deno}`, pid: Deno.pid },
      ...{ address, fingerprint, link, stats, limits, dataBytes },
      nowMs: clock.now(),
      mailbox: this.context.settings.text("mailbox")!,
      publisher: roles?.publisher?.() ?? null,
      tunnel: roles?.tunnel?.() ?? null,
      lan: roles?.lan?.() ?? null,
      metrics: this.metrics,
      memoryBytes: Deno.memoryUsage().rss,
      cpuSeconds: (user + system) / 1_000_000,
    };
  }

  ban = (subject: Parameters<ControlledRelay["ban"]>[0]) => this.parts.relay.remote.ban(subject);
  unban = (subject: Parameters<ControlledRelay["ban"]>[0]) => this.parts.relay.remote.unban(subject);
  kick = (subject: Parameters<ControlledRelay["ban"]>[0]) => this.parts.relay.remote.kick(subject);
  bans = () => this.parts.relay.remote.bans();
  limits = () => this.parts.relay.remote.limits();
  setLimits = (change: Record<string, unknown>) => this.parts.relay.remote.setLimits(change);

  /** One after the other; what comes of it is in the log. */
  reload(): Promise<ReloadReport> {
    const report = this.#reloading.then(() => this.#reload());
    this.#reloading = report.catch(() => {});
    return report;
  }

  async #reload(): Promise<ReloadReport> {
    const { log } = this.parts;
    try {
      const after = await this.#reread();
      const report = await applySettings(this.#reloadable(), {
        before: this.#settings,
        after,
        served: this.parts.served,
      });
      this.#settings = after;
      const { applied, restart } = report;
      log.say("info", "reloaded", `configuration read again: ${applied.join(", ") || "nothing has changed"}`);
      if (restart.length > 0) {
        log.say(
          "warning",
          "restart_needed",
          `changed, but in force only after a restart: ${restart.join(", ")}`,
        );
      }
      return report;
    } catch (error) {
      log.say("error", "reload_failed", `the configuration stays as it was: ${describeFailure(error).line}`);
      throw error;
    }
  }

  #reread(): Promise<Settings> {
    const { config } = this.parts;
    if (config === null) {
      throw usageFailure(
        "Cannot read the configuration again: the relay was started without a configuration file",
        "Restart it to use one.",
      );
    }
    return this.context.reread(async () => {
      try {
        return await config.remote.read();
      } catch (error) {
        throw (error as Error).name === "NotFound"
          ? new Deno.errors.NotFound((error as Error).message)
          : error;
      }
    });
  }

  #reloadable() {
    const { relay, log, setPublicAddresses, onName } = this.parts;
    return {
      async setName(name: string) {
        await relay.remote.setName(name);
        await onName?.(name);
      },
      setPublicAddresses,
      limits: () => relay.remote.limits(),
      setLimits: (limits: Record<string, unknown>) => relay.remote.setLimits(limits),
      setLogLevel(level: string) {
        log.setLevel(level as LogSeverity);
        void relay.remote.logConnections(level === "debug");
      },
    };
  }

  drain(options: { withinMs?: number }): Promise<void> {
    this.drainOptions = options;
    this.#end.resolve();
    return this.#drained.promise;
  }

  drained(): void {
    this.#drained.resolve();
  }
}

/** Who reads the configuration again: the main thread will not be allowed to. */
export type ConfigRole = RunningWorker<ConfigContract>;

/** Starts it. @returns null where the relay was started without a configuration file */
export async function startConfigRole({ settings, signal }: CommandContext): Promise<ConfigRole | null> {
  if (settings.file === null) return null;
  const file = resolve(settings.file);
  return await spawnWorker<ConfigContract>("config", { parameters: { file }, init: { file }, signal });
}
