/** QR codes: what the terminal shows is read back as a phone would, and where there is no room there is no code. */

import assert from "node:assert/strict";
import jsqr from "jsqr";
import { printQr, type QrSpace, qrText } from "../../cli/qr.ts";
import { Output } from "../../cli/output.ts";
import { formatDeviceCode, formatLink } from "../../proto/mod.ts";
import { DARK_THEME, drawTerminal, LIGHT_THEME, type Theme } from "../helpers/terminal_picture.ts";
import { requireTool } from "../require.ts";
import { Arona } from "./processes.ts";
import { createTestIo, temporaryFolder } from "./test_io.ts";

const FINGERPRINT = Uint8Array.from({ length: 32 }, (_, i) => i * 37 + 11);
const SHORTEST = formatLink({ hostname: "a", port: 1, fingerprint: FINGERPRINT });
const LONGEST_HOST = `${"relay-of-a-long-name.".repeat(12)}z`.slice(0, 253);
const LONGEST = formatLink({ hostname: LONGEST_HOST, port: 65_535, fingerprint: FINGERPRINT });
const USUAL = formatLink({ hostname: "192.168.178.23", port: 7700, fingerprint: FINGERPRINT });
const TEXTS = {
  "the shortest link": SHORTEST,
  "a usual link": USUAL,
  "the longest link": LONGEST,
  "the longest code for a device": formatDeviceCode({
    hostname: LONGEST_HOST,
    port: 65_535,
    fingerprint: FINGERPRINT,
    secret: FINGERPRINT.slice(0, 16),
  }),
  "letters beyond ASCII": "arona-id:åsa:…",
};

for (const [what, text] of Object.entries(TEXTS)) {
  Deno.test(`qrText() draws ${what} so that it is read in dark and light terminals, 80 columns wide at most`, () => {
    for (const theme of [DARK_THEME, LIGHT_THEME]) {
      assert.equal(scan(text, { columns: 80, colors: true }, theme), text);
      assert.equal(scan(text, { columns: 80, colors: false }, theme), text);
    }
  });
}

Deno.test("qrText() with colours is dark on light in every terminal, so that scanners need not try both", () => {
  for (const theme of [DARK_THEME, LIGHT_THEME]) {
    const { data, width, height } = drawTerminal(qrText(USUAL, { columns: 80 })!, theme);
    assert.equal(jsqr.default(data, width, height, { inversionAttempts: "dontInvert" })?.data, USUAL);
  }
});

Deno.test("qrText() draws a whole code or none, for every width and height", () => {
  for (const text of [SHORTEST, USUAL]) {
    for (let columns = 1; columns <= 50; columns++) {
      for (const rows of [10, 20, 22, 23, 24, 30, undefined]) {
        const drawn = qrText(text, { columns, rows, colors: false });
        if (drawn === null) continue;
        const lines = drawn.split("\n");
        assert.ok(lines.every((line) => line.length <= columns), `${columns} columns`);
        assert.ok(lines.length < (rows ?? Infinity), `${rows} rows`);
      }
    }
    assert.equal(qrText(text, { columns: 20 }), null);
    assert.equal(qrText(text, { columns: 80, rows: 12 }), null);
  }
  const narrow = { columns: 37, rows: 24 }; // a smaller quiet zone
  assert.equal(scan(USUAL, narrow, DARK_THEME), USUAL);
});

Deno.test("qrText() fits the usual link into a terminal of 80 by 24", () => {
  assert.equal(scan(USUAL, { columns: 80, rows: 24 }, DARK_THEME), USUAL);
});

Deno.test("qrText() has no code for a text that no code can hold", () => {
  assert.equal(qrText("a".repeat(2_954), { columns: 10_000 }), null);
  assert.notEqual(qrText("a".repeat(2_953), { columns: 10_000 }), null);
});

Deno.test("printQr() prints nothing into a pipe, as JSON, or on a terminal that only knows letters", async () => {
  for (
    const { interactive, json, env, expected } of [
      { interactive: true, json: false, env: {}, expected: true },
      { interactive: false, json: false, env: {}, expected: false },
      { interactive: true, json: true, env: {}, expected: false },
      { interactive: true, json: false, env: { TERM: "dumb" }, expected: false },
    ]
  ) {
    const io = createTestIo({ interactive, env });
    const output = new Output(io, json);
    printQr({ io, output }, USUAL);
    await output.flush();
    assert.equal(io.out() !== "", expected);
  }
});

Deno.test("printQr() does without colours where NO_COLOR asks for it", async () => {
  const io = createTestIo({ interactive: true, env: { NO_COLOR: "1" } });
  const output = new Output(io, false);
  printQr({ io, output }, USUAL);
  await output.flush();
  assert.match(io.out(), /^[█▀▄ \n]+$/);
});

for (const env of [{ NO_COLOR: "" }, { NO_COLOR: "1" }]) {
  const how = env.NO_COLOR === "" ? "with colours" : "without colours";
  requireTool("script").test(`arona serve on a terminal shows a code of its link, ${how}`, async () => {
    await using folder = await temporaryFolder();
    const main = new URL("../../main.ts", import.meta.url).pathname;
    const serve = `${Deno.execPath()} run -A --no-check ${main} serve --listen 127.0.0.1:0`;
    const line = `stty cols 80 rows 30; exec ${serve}`; // it ends with its terminal
    const program = { command: "script", args: ["-qec", line, "/dev/null"] };
    await using relay = new Arona(folder.path, [], { program, env });
    const [, link] = await relay.until("out", /link +(arona:\S+)/);
    // deno-lint-ignore no-control-regex
    const [code] = await relay.until("out", /(?:^(?:\x1b\[[\d;]*m)*[█▀▄ ]{30,}(?:\x1b\[0m)?\r\n){20,}/m);
    assert.equal(env.NO_COLOR === "", code.includes("\x1b"));
    const { data, width, height } = drawTerminal(code.trimEnd().replaceAll("\r", ""), DARK_THEME);
    assert.equal(jsqr.default(data, width, height, { inversionAttempts: "attemptBoth" })?.data, link);
  });
}

function scan(text: string, space: QrSpace, theme: Theme): string | undefined {
  const drawn = qrText(text, space);
  assert.ok(drawn !== null, "there is no code");
  const { data, width, height } = drawTerminal(drawn, theme);
  const { binaryData } = jsqr.default(data, width, height, { inversionAttempts: "attemptBoth" }) ?? {};
  return binaryData && new TextDecoder().decode(Uint8Array.from(binaryData));
}
