import assert from "node:assert/strict";
import { AronaError, FakeClock } from "../../proto/mod.ts";
import { Reach, type VerifyDocument } from "../../workers/reach.ts";

const KEY = new Uint8Array(32).fill(1);
const DOCUMENT = Uint8Array.of(7);
const HOME = { hostname: "192.0.2.1", port: 7700 };
const MOVED = { hostname: "192.0.2.2", port: 7700 };
const GIST = { kind: "gist", id: "0123456789abcdef0123456789abcdef" } as const;

function reachOf(options: { lan?: boolean; verify?: VerifyDocument } = {}) {
  const { lan = false, verify = () => Promise.reject(new AronaError("BAD_DOCUMENT", "Cannot: no")) } =
    options;
  return new Reach({ clock: new FakeClock(), lan, verify });
}

Deno.test("Reach allows what was named, in whichever spelling, and refuses the rest", async () => {
  const reach = reachOf();
  await assert.rejects(reach.assertEndpoint(HOME, null), { code: "FORBIDDEN" });
  reach.allow({ endpoints: ["192.0.2.1:7700", "[2001:DB8::1]:7700"], sources: [], fingerprint: KEY });
  await reach.assertEndpoint(HOME, null);
  await reach.assertEndpoint({ hostname: "2001:db8::1", port: 7700 }, null);
  await reach.assertSource({ kind: "endpoint", ...HOME }, null);
  for (const other of [MOVED, { ...HOME, port: 7701 }, { ...HOME, hostname: "192.0.2.10" }]) {
    await assert.rejects(reach.assertEndpoint(other, null), { code: "FORBIDDEN" });
  }
  await assert.rejects(reach.assertSource(GIST, null), { code: "FORBIDDEN" });
});

Deno.test("Reach allows what a document names that holds against the pinned key, and remembers it", async () => {
  const verified: unknown[] = [];
  const reach = reachOf({
    verify(bytes, { fingerprint }) {
      verified.push([bytes, fingerprint]);
      return Promise.resolve({ endpoints: ["192.0.2.2:7700"], sources: [`gist:${GIST.id}`] });
    },
  });
  await assert.rejects(reach.assertEndpoint(MOVED, DOCUMENT), { code: "FORBIDDEN" });
  assert.deepEqual(verified, [], "no key is pinned yet: there is nothing to hold it against");
  reach.allow({ endpoints: ["192.0.2.1:7700"], sources: [], fingerprint: KEY });
  await reach.assertEndpoint(MOVED, DOCUMENT);
  await reach.assertSource(GIST, DOCUMENT);
  assert.deepEqual(verified, [[DOCUMENT, KEY]]);
  await assert.rejects(reach.assertEndpoint({ ...MOVED, port: 1 }, DOCUMENT), { code: "FORBIDDEN" });
});

Deno.test("Reach refuses what a document names that does not hold, and says why", async () => {
  const reach = reachOf();
  reach.allow({ endpoints: [], sources: [], fingerprint: KEY });
  await assert.rejects(reach.assertEndpoint(MOVED, DOCUMENT), ({ code, cause }: AronaError) => {
    assert.deepEqual([code, (cause as AronaError).code], ["FORBIDDEN", "BAD_DOCUMENT"]);
    return true;
  });
});

Deno.test("Reach pins one relay, and allows the local network only where it may be used", async () => {
  const reach = reachOf({ lan: true });
  await reach.assertSource({ kind: "lan" }, null);
  await assert.rejects(reachOf().assertSource({ kind: "lan" }, null), { code: "FORBIDDEN" });
  reach.allow({ endpoints: [], sources: [], fingerprint: KEY });
  const other = { endpoints: ["192.0.2.2:7700"], sources: [], fingerprint: new Uint8Array(32) };
  assert.throws(() => reach.allow(other), { code: "WRONG_RELAY" });
  await assert.rejects(reach.assertEndpoint(MOVED, null), { code: "FORBIDDEN" });
});
