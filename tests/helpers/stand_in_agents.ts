/** Programs named `bore` and `ngrok` that do on loopback what the real ones do on the Internet. */

/** Makes both in a folder of their own; put it first in PATH. */
export async function standInAgents(
  options: { mode?: string } = {},
): Promise<{ bin: string } & AsyncDisposable> {
  const bin = await Deno.makeTempDir({ prefix: "arona-agents-" });
  for (const name of ["bore", "ngrok"]) {
    const source = new URL(`agents/${name}.ts`, import.meta.url).pathname;
    const script = [
      "#!/bin/sh",
      `export STAND_IN=${options.mode ?? ""} DENO_DIR=${bin}/cache`,
      `exec ${Deno.execPath()} run -A --no-check --no-config --no-lock ${source} "$@"`,
      "",
    ];
    await Deno.writeTextFile(`${bin}/${name}`, script.join("\n"), { mode: 0o755 });
  }
  return { bin, [Symbol.asyncDispose]: () => Deno.remove(bin, { recursive: true }) };
}
