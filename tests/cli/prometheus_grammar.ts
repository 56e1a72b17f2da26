/**
 * Reads Prometheus' text format 0.0.4 strictly, written from its description and sharing nothing with the writer: every line is a HELP, a
 * TYPE or a sample, HELP and TYPE stand before the samples, names and values fit, nothing comes twice.
 */

/** A metric as it was read. */
export interface ParsedMetric {
  readonly help: string;
  readonly type: string;
  /** By labels, sorted, as `{a="1",b="2"}`; "" without. */
  readonly samples: ReadonlyMap<string, number>;
}

/** @throws {Error} for whatever does not fit */
export function parsePrometheus(text: string): Map<string, ParsedMetric> {
  if (!text.endsWith("\n")) throw new Error("the last line has no end");
  const metrics = new Map<string, { help: string; type: string; samples: Map<string, number> }>();
  let current = "";
  let help: string | null = null;
  for (const line of text.slice(0, -1).split("\n")) {
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line);
    if (comment !== null) {
      const [, kind, name, rest] = comment;
      if (kind === "HELP") {
        if (metrics.has(name)) throw new Error(`${name} comes twice`);
        if (!/^(?:[^\\]|\\[\\n])*$/.test(rest)) throw new Error(`bad escape in ${line}`);
        current = name;
        help = rest;
      } else {
        if (name !== current || help === null) throw new Error(`TYPE without HELP: ${line}`);
        if (!["counter", "gauge", "histogram", "summary", "untyped"].includes(rest)) throw new Error(line);
        metrics.set(name, { help, type: rest, samples: new Map() });
        help = null;
      }
      continue;
    }
    const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})? (\S+)$/.exec(line);
    if (sample === null) throw new Error(`no line of the format: ${line}`);
    const [, name, labels = "", value] = sample;
    const metric = metrics.get(name);
    if (name !== current || metric === undefined) throw new Error(`${name} stands outside its metric`);
    const key = parseLabels(labels);
    if (metric.samples.has(key)) throw new Error(`${name}${key} comes twice`);
    metric.samples.set(key, parseValue(value));
  }
  for (const [name, { type, samples }] of metrics) {
    if (samples.size === 0) throw new Error(`${name} has no sample`);
    if ((type === "counter") !== name.endsWith("_total")) throw new Error(`${name} is a ${type}`);
    if (type === "counter" && [...samples.values()].some((value) => value < 0)) {
      throw new Error(`${name} is below 0`);
    }
  }
  return metrics;
}

function parseLabels(text: string): string {
  if (text === "") return "";
  const inside = text.slice(1, -1);
  const pairs: string[] = [];
  let rest = inside;
  while (rest !== "") {
    const pair = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\[\\"n])*)"(?:,|$)/.exec(rest);
    if (pair === null || pair[1].startsWith("__")) throw new Error(`bad labels: ${text}`);
    pairs.push(`${pair[1]}="${pair[2]}"`);
    rest = rest.slice(pair[0].length);
  }
  if (pairs.length === 0 || inside.endsWith(",")) throw new Error(`bad labels: ${text}`);
  return `{${pairs.sort().join(",")}}`;
}

function parseValue(text: string): number {
  if (/^[+-]Inf$/.test(text)) return text.startsWith("-") ? -Infinity : Infinity;
  if (text === "NaN") return NaN;
  if (!/^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/.test(text)) throw new Error(`no number: ${text}`);
  return Number(text);
}
