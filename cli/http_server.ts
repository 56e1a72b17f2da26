/** HTTP for the operator: a small server that ends in a bounded time, whoever is connected to it. */

import { AronaError, type Clock, joinBytes, systemClock } from "../proto/base/mod.ts";

/** How long answers that are under way have when the server ends. */
const STOP_TIMEOUT_MS = 1_000;
/** How long a request's body has to be there. */
const BODY_TIMEOUT_MS = 5_000;

/** Answers requests. What it leaves of a body is thrown away. */
export type HttpHandler = (request: Request) => Promise<Response>;

/** A server that runs. */
export interface HttpServer {
  readonly hostname: string;
  readonly port: number;
  /** Takes nobody new, lets answers under way be given for a second at most, then ends. Safe to call again. */
  stop(): Promise<void>;
}

/** Begins to serve. @throws what the system says where it cannot listen */
export function serveHttp(
  listen: { readonly hostname: string; readonly port: number },
  { handler, clock = systemClock }: { readonly handler: HttpHandler; readonly clock?: Clock },
): HttpServer {
  let stopped: Promise<void> | null = null;
  const server = Deno.serve({ ...listen, onListen() {} }, async (request) => {
    if (stopped !== null) return new Response("stopping\n", { status: 503 });
    try {
      return await handler(request);
    } finally {
      if (!request.bodyUsed) request.body?.cancel().catch(() => {});
    }
  });
  const { hostname, port } = server.addr;
  return {
    hostname,
    port,
    stop: () => stopped ??= end(server, clock),
  };
}

/**
 * A shutdown waits for every connection that has begun a request and not finished it, for ever; an abort would cut off answers that are
 * being sent, and is refused once a shutdown has begun. So what is left after a while is left to the process's end.
 */
async function end(server: Deno.HttpServer, clock: Clock): Promise<void> {
  const late = Promise.withResolvers<void>();
  const cancel = clock.schedule(STOP_TIMEOUT_MS, late.resolve);
  try {
    await Promise.race([server.shutdown(), late.promise]);
  } finally {
    cancel();
    server.unref();
  }
}

/**
 * Reads a request's body.
 *
 * @throws {AronaError} `TOO_LARGE`; `TIMEOUT` where it is not there in time
 */
export async function readBody(
  request: Request,
  { maxBytes, clock = systemClock }: { readonly maxBytes: number; readonly clock?: Clock },
): Promise<Uint8Array> {
  if (request.body === null) return new Uint8Array();
  const reader = request.body.getReader();
  const late = Promise.withResolvers<never>();
  late.promise.catch(() => {}); // it was in time
  const cancel = clock.schedule(
    BODY_TIMEOUT_MS,
    () => late.reject(new AronaError("TIMEOUT", "Cannot read request: its body does not come")),
  );
  try {
    const parts: Uint8Array[] = [];
    let length = 0;
    for (;;) {
      const { done, value } = await Promise.race([reader.read(), late.promise]);
      if (done) return joinBytes(parts);
      length += value.length;
      if (length > maxBytes) throw new AronaError("TOO_LARGE", "Cannot read request: it is too long");
      parts.push(value);
    }
  } finally {
    cancel();
    reader.cancel().catch(() => {});
  }
}
