import assert from "node:assert/strict";
import {
  CommandFailure,
  describeFailure,
  ExitCode,
  Interrupted,
  oneLine,
  usageFailure,
} from "../../cli/failure.ts";
import { nearest } from "../../cli/nearest.ts";
import { Output, toJsonLine } from "../../cli/output.ts";
import { AronaError } from "../../proto/mod.ts";
import { createTestIo } from "./test_io.ts";

Deno.test("Output with JSON prints objects only, without it lines only", async () => {
  for (const json of [true, false]) {
    const io = createTestIo();
    const output = new Output(io, json);
    output.data({ type: "A" }, "a");
    output.line("b");
    output.object({ type: "C" });
    output.note("for the person");
    await output.flush();
    assert.equal(io.out(), json ? '{"type":"A"}\n{"type":"C"}\n' : "a\nb\n");
    assert.equal(io.err(), "for the person\n");
  }
});

Deno.test("Output ends the command when nobody reads any more, and says nothing of it", async () => {
  const io = createTestIo();
  let writes = 0;
  const broken = {
    ...io,
    stdout: {
      ...io.stdout,
      write() {
        writes++;
        return Promise.reject(new Deno.errors.BrokenPipe("Broken pipe"));
      },
    },
  };
  const output = new Output(broken, false);
  output.line("a");
  output.line("b");
  await output.flush();
  assert.equal(writes, 1);
  assert.ok(io.signal.aborted);
  assert.equal((io.signal.reason as Interrupted).by, "broken_pipe");
});

Deno.test("toJsonLine() holds nothing that a terminal acts on and means the same", () => {
  const object = { text: "\x1b[2J\u009b2J\u202eabc\u2028\x7f\n\u{e0001}é🍪" };
  const line = toJsonLine(object);
  assert.doesNotMatch(line, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
  assert.deepEqual(JSON.parse(line), object);
  assert.ok(line.includes("é🍪"));
});

Deno.test("describeFailure() gives what, why and what to do in one inert line", () => {
  const failure = describeFailure(
    new AronaError("UNREACHABLE", "Cannot connect to \x1b[31mx", { hint: "Look\nthere." }),
  );
  assert.deepEqual(failure, {
    exitCode: ExitCode.FAILED,
    line: "Cannot connect to \ufffd[31mx. Look there.",
  });
  assert.equal(describeFailure(new Error("")).line, "Cannot go on: Error");
  assert.equal(oneLine("x".repeat(5_000)).length, 1_001);
});

Deno.test("describeFailure() tells bad usage from failure", () => {
  assert.equal(describeFailure(new AronaError("USAGE", "x")).exitCode, 2);
  assert.equal(describeFailure(new AronaError("BAD_NAME", "x")).exitCode, 2);
  assert.equal(describeFailure(new AronaError("WRONG_RELAY", "x")).exitCode, 1);
  assert.equal(describeFailure(usageFailure("x")).exitCode, 2);
  assert.equal(describeFailure(new CommandFailure("x")).exitCode, 1);
  assert.equal(describeFailure(new Interrupted("signal")).exitCode, 1);
  assert.equal(describeFailure(new TypeError("x")).exitCode, 1);
});

Deno.test("nearest() finds what was meant and nothing far off", () => {
  assert.equal(nearest("usrname", ["relay", "username"]), "username");
  assert.equal(nearest("zzz", ["relay", "username"]), null);
});
