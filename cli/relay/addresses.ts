/** Where the relay listens and where it can be reached: the options, and what the machine says. */

import { type Endpoint, formatEndpoint, parseEndpoint } from "../../proto/base/mod.ts";
import { usageFailure } from "../failure.ts";

/** `HOST:PORT`; port 0 lets the system choose. @throws {CommandFailure} usage */
export function parseListen(text: string): Endpoint {
  return endpointOf(text, { option: "--listen", parse: parseAnyPort });
}

/** Like `parseEndpoint()`, and port 0 lets the system choose. @throws {AronaError} `USAGE` */
export function parseAnyPort(text: string): Endpoint {
  if (!/:0+$/.test(text)) return parseEndpoint(text);
  return { ...parseEndpoint(text.replace(/:0+$/, ":1")), port: 0 };
}

/** `HOST:PORT` as it is published. @throws {CommandFailure} usage, which names the option */
export function checkAddress(text: string, option: string): string {
  return formatEndpoint(endpointOf(text, { option, parse: parseEndpoint }));
}

/** Whether this means every address of the machine. */
export function isWildcard(hostname: string): boolean {
  return hostname === "0.0.0.0" || hostname === "::";
}

function endpointOf(
  text: string,
  { option, parse }: { option: string; parse: (text: string) => Endpoint },
): Endpoint {
  try {
    return parse(text);
  } catch (cause) {
    const state = (cause as Error).message.replace(/^.*?: /, "");
    throw usageFailure(
      `Cannot use ${option} ${JSON.stringify(text.slice(0, 100))}: ${state}`,
      "Write it as HOST:PORT, for example 0.0.0.0:7700 or [::]:7700.",
    );
  }
}
