/** What web servers may and may not do to whoever asks them for a document. */

import assert from "node:assert/strict";
import { type ErrorCode, FakeClock, isAronaError, parseSource, utf8 } from "../../proto/mod.ts";
import { createDiscovery, type Fetch } from "../../client/discovery/mod.ts";
import { MAX_REDIRECTS } from "../../client/limits.ts";
import { Addresses } from "../helpers/places.ts";

const WELL_KNOWN = "/.well-known/arona.json";

/** Looks at `source` with a web that answers what `answer` says. */
function look(source: string, answer: (url: string) => Response | Promise<Response>) {
  const asked: string[] = [];
  const fetch: Fetch = (url, { redirect }) => {
    assert.equal(redirect, "manual");
    asked.push(url);
    return Promise.resolve(answer(url));
  };
  const discovery = createDiscovery({ clock: new FakeClock(), fetch, dial: new Addresses().dial });
  const { signal } = new AbortController();
  return { asked, found: discovery.look(parseSource(source), { signal }) };
}

const to = (location: string, status = 302) => new Response(null, { status, headers: { location } });
const fails = (action: Promise<unknown>, code: ErrorCode, message: RegExp) =>
  assert.rejects(action, (error) => isAronaError(error, code) && message.test(error.message));

Deno.test("a redirect within the host is followed, with whatever status", async () => {
  for (const status of [301, 302, 303, 307, 308]) {
    const { asked, found } = look(
      "https://relay.example",
      (url) => url.endsWith(WELL_KNOWN) ? to("/other/arona.json", status) : new Response("{}"),
    );
    assert.deepEqual((await found)[0].bytes, utf8("{}"));
    assert.deepEqual(asked, [`https://relay.example${WELL_KNOWN}`, "https://relay.example/other/arona.json"]);
  }
});

Deno.test("a redirect to another host, port or scheme is not followed, and the host is named", async () => {
  const targets: [string, RegExp][] = [
    ["https://evil.example/", /sends on to another host, evil\.example/],
    ["//evil.example/", /another host, evil\.example/],
    ["https://relay.example:8443/", /another host, relay\.example:8443/],
    ["https://relay.example.evil.example/", /another host/],
    ["http://relay.example/", /another host/],
    ["http://127.0.0.1:22/", /another host, 127\.0\.0\.1:22/],
    ["file:///etc/passwd", /another host/],
    ["https://user:secret@relay.example/", /password/],
    ["https://", /nowhere/],
  ];
  for (const [target, message] of targets) {
    const { asked, found } = look("https://relay.example", () => to(target));
    await fails(found, "BAD_REQUEST", message);
    assert.equal(asked.length, 1, target);
  }
  const { found } = look("https://relay.example", () => new Response(null, { status: 302 }));
  await fails(found, "BAD_REQUEST", /nowhere/);
});

Deno.test("redirects without end are followed a few times only", async () => {
  let count = 0;
  const { asked, found } = look("https://relay.example", () => to(`/${count++}`));
  await fails(found, "BAD_REQUEST", /on and on/);
  assert.equal(asked.length, 1 + MAX_REDIRECTS);
});

Deno.test("each status has its words", async () => {
  const answer = (status: number) => look("https://relay.example", () => new Response("x", { status })).found;
  await fails(answer(404), "NOT_FOUND", /there is no \/\.well-known\/arona\.json/);
  await fails(answer(403), "UNREACHABLE", /answers 403$/);
  await fails(answer(503), "UNREACHABLE", /answers 503, it has a fault/);
});

Deno.test("a network that fails, and an answer that is cut off, are told apart", async () => {
  const broken = look("https://relay.example", () => Promise.reject(new TypeError("dns error")));
  await fails(broken.found, "UNREACHABLE", /cannot be reached/);
  const cut = look("https://relay.example", () =>
    new Response(
      new ReadableStream({
        pull(controller) {
          controller.error(new TypeError("connection reset"));
        },
      }),
    ));
  await fails(cut.found, "UNREACHABLE", /cut off/);
});

Deno.test("an answer without end is read no further than a document can be long", async () => {
  let pulled = 0;
  const { found } = look("https://relay.example", () =>
    new Response(
      new ReadableStream({
        pull(controller) {
          pulled += 4_096;
          controller.enqueue(new Uint8Array(4_096));
        },
      }),
    ));
  await fails(found, "TOO_LARGE", /over 16384 bytes/);
  assert.ok(pulled <= 32_768, `${pulled} bytes were read`);
});

Deno.test("only this computer is asked without TLS", async () => {
  const local = look("http://127.0.0.1:8080", () => new Response("{}"));
  await local.found;
  assert.deepEqual(local.asked, [`http://127.0.0.1:8080${WELL_KNOWN}`]);
});
