import assert from "node:assert/strict";
import { Interrupted } from "../../cli/failure.ts";
import { createPlainPrompts } from "../../cli/plain_prompts.ts";

function promptsWith(...typed: string[]) {
  const seen = { text: "", echo: [] as boolean[] };
  const prompts = createPlainPrompts({
    write(text) {
      seen.text += text;
      return Promise.resolve();
    },
    read() {
      const next = typed.shift();
      return Promise.resolve(next === undefined ? null : new TextEncoder().encode(next));
    },
    echo: (on) => void seen.echo.push(on),
  });
  return { prompts, seen };
}

Deno.test("text() asks again until the answer fits, without any control of the screen", async () => {
  const { prompts, seen } = promptsWith("Ålice\n", " alice \n");
  const answer = await prompts.text("Name", (name) => /^[a-z]+$/.test(name) ? undefined : "Only a to z.");
  assert.equal(answer, "alice");
  assert.equal(seen.text, "Name: Only a to z.\nName: ");
});

Deno.test("secret() hides what is typed, keeps spaces, and knows backspace", async () => {
  const { prompts, seen } = promptsWith(" p", "wé\x7f", "\x7fw \r");
  assert.equal(await prompts.secret("Passphrase"), " pw ");
  assert.deepEqual(seen.echo, [false, true]);
  assert.equal(seen.text, "Passphrase: \n");
});

Deno.test("secret() shows again what is typed where it is interrupted", async () => {
  for (const typed of [["\x04"], []]) {
    const { prompts, seen } = promptsWith(...typed);
    await assert.rejects(prompts.secret("Passphrase"), Interrupted);
    assert.deepEqual(seen.echo, [false, true]);
  }
});

Deno.test("choose() takes a number or a name", async () => {
  assert.equal(await promptsWith("2\n").prompts.choose("Which?", ["a", "b"]), "b");
  assert.equal(await promptsWith("3\n", "0\n", "a\n").prompts.choose("Which?", ["a", "b"]), "a");
});
