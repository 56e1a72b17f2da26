/** Metrics: the format, what they say, and that they say nobody's name. */

import assert from "node:assert/strict";
import { METRICS_CONTENT_TYPE, writeMetrics } from "../../cli/metrics/exposition.ts";
import { relayMetrics } from "../../cli/metrics/relay_metrics.ts";
import { metricsHandler, serveMetrics } from "../../cli/metrics/server.ts";
import { FakeClock } from "../../proto/mod.ts";
import { parsePrometheus } from "./prometheus_grammar.ts";
import { testStatus } from "./test_status.ts";

Deno.test("the metrics parse, carry units and say what the relay has counted", () => {
  const status = testStatus({
    publisher: { state: "waiting", failures: 2 },
    tunnel: { up: true, address: "tunnel.test:7" },
  });
  const text = writeMetrics(relayMetrics(status, { answerSeconds: 0.002 }));
  const metrics = parsePrometheus(text);
  const value = (name: string, labels = "") => metrics.get(name)?.samples.get(labels);
  assert.equal(value("arona_messages_accepted_total"), 5);
  assert.equal(value("arona_deliveries_queued_total"), 12);
  assert.equal(value("arona_messages_refused_total", '{reason="rate_limited"}'), 3);
  assert.equal(value("arona_handshakes_failed_total", '{reason="bad_seal"}'), 1);
  assert.equal(value("arona_connections_refused_total", '{reason="too_many_from_address"}'), 2);
  assert.equal(value("arona_document_expiry_seconds"), 7 * 86_400);
  assert.equal(value("arona_mailbox_bytes"), 2_800);
  assert.deepEqual([value("arona_publisher_up"), value("arona_publish_failures_total")], [0, 2]);
  assert.equal(value("arona_tunnel_up"), 1);
  assert.equal(value("process_cpu_seconds_total"), 1.25);
  assert.equal(value("arona_info", '{runtime="deno 2.9.6",version="0.1.0"}'), 1);
  assert.equal(metrics.get("arona_requests_refused_total"), undefined, "nothing to say");
  for (const secret of [status.link, status.fingerprint, "tunnel.test", "127.0.0.1"]) {
    assert.equal(text.includes(secret), false);
  }
});

Deno.test("writeMetrics() escapes, and refuses names that do not fit", () => {
  const text = writeMetrics([{
    name: "a_total",
    type: "counter",
    help: "back\\slash\nand line",
    samples: [{ labels: { reason: 'quote " back \\ line \n' }, value: 1 }, { value: 1e21 }],
  }]);
  const metric = parsePrometheus(text).get("a_total")!;
  assert.deepEqual([...metric.samples], [['{reason="quote \\" back \\\\ line \\n"}', 1], ["", 1e21]]);
  const bad = (name: string) => () =>
    writeMetrics([{ name, type: "gauge", help: "x", samples: [{ value: 1 }] }]);
  assert.throws(bad("1a"), TypeError);
  assert.throws(bad("a-b"), TypeError);
});

Deno.test("the grammar refuses what is not the format", () => {
  const head = "# HELP a b\n# TYPE a gauge\n";
  for (
    const text of [
      "a 1\n",
      "# TYPE a gauge\na 1\n",
      head,
      `${head}a 1`,
      `${head}a x\n`,
      `${head}a 1\na 2\n`,
      `${head}b 1\n`,
      `${head}a{b=1} 1\n`,
      `${head}a{} 1\n`,
      `${head}a{b="1",} 1\n`,
      `${head}\na 1\n`,
      "# HELP a b\n# TYPE a counter\na 1\n",
    ]
  ) assert.throws(() => parsePrometheus(text), Error, JSON.stringify(text));
});

Deno.test("/healthz, /readyz and /metrics over HTTP; only those, only reading", async () => {
  const relay = { status: () => Promise.resolve(testStatus()), ready: true };
  const server = serveMetrics({ hostname: "127.0.0.1", port: 0 }, { relay, clock: new FakeClock() });
  try {
    const get = async (path: string, init?: RequestInit) => {
      const response = await fetch(`http://${server.address}${path}`, init);
      return [response.status, await response.text(), response.headers.get("content-type")] as const;
    };
    assert.deepEqual((await get("/healthz")).slice(0, 2), [200, "ok\n"]);
    assert.deepEqual((await get("/readyz")).slice(0, 2), [200, "ready\n"]);
    const [status, text, type] = await get("/metrics");
    assert.deepEqual([status, type], [200, METRICS_CONTENT_TYPE]);
    parsePrometheus(text);
    assert.equal((await get("/v1/status"))[0], 404);
    assert.equal((await get("/metrics", { method: "POST" }))[0], 405);
    relay.ready = false;
    assert.deepEqual((await get("/readyz")).slice(0, 2), [503, "stopping\n"]);
    relay.ready = true;
    relay.status = () => Promise.reject(new Error("stuck"));
    assert.equal((await get("/metrics"))[0], 503);
    assert.equal((await get("/readyz"))[0], 503);
    assert.equal((await get("/healthz"))[0], 200);
  } finally {
    await server.stop();
  }
});

Deno.test("however many ask for the metrics at once, the relay is asked once", async () => {
  let asked = 0;
  const answer = Promise.withResolvers<ReturnType<typeof testStatus>>();
  const handler = metricsHandler({
    relay: { ready: true, status: () => (asked++, answer.promise) },
    clock: new FakeClock(),
    local: false,
  });
  const responses = Array.from({ length: 20 }, () => handler(new Request("http://192.0.2.7/metrics")));
  answer.resolve(testStatus());
  for (const response of await Promise.all(responses)) assert.equal(response.status, 200);
  assert.equal(asked, 1);
});

Deno.test("metrics on loopback are no web page's, and those for other machines everybody's", async () => {
  const relay = { ready: true, status: () => Promise.resolve(testStatus()) };
  const [local, open] = [true, false].map((local) =>
    metricsHandler({ relay, clock: new FakeClock(), local })
  );
  const asked = async (headers: Record<string, string>, handler = local) =>
    (await handler(new Request("http://127.0.0.1/metrics", { headers }))).status;
  for (const host of ["127.0.0.1:9464", "localhost:9464", "[::1]:9464", "127.0.0.1"]) {
    assert.equal(await asked({ host }), 200, host);
  }
  const host = "127.0.0.1:9464";
  // A page whose name was made to point at loopback sends its own name as the host.
  for (const host of ["evil.test:9464", "evil.test", "127.0.0.1.evil.test", "localhost.evil.test:9464", ""]) {
    assert.equal(await asked({ host }), 403, host);
  }
  assert.equal(await asked({}), 403);
  assert.equal(await asked({ host, "sec-fetch-site": "cross-site" }), 403);
  assert.equal(await asked({ host, "sec-fetch-site": "same-origin" }), 403);
  assert.equal(await asked({ host, origin: "http://localhost:3000" }), 403);
  assert.equal(await asked({ host, "sec-fetch-site": "none" }), 200, "a person typed the address");
  assert.equal(await asked({ host: "relay.example.org:9464" }, open), 200);
});
