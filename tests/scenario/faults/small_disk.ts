/**
 * A small file system in memory that can be filled to its last byte. It needs mount(8) and root, or, on a machine of a CI service
 * (`CI=true`), sudo without a password.
 */

import { requireTool } from "../../require.ts";

/** A mounted file system, unmounted when it is disposed of. */
export class SmallDisk implements AsyncDisposable {
  private constructor(readonly folder: string) {}

  /** What is missing to mount one, or null. */
  static lacks(): string | null {
    if (Deno.build.os !== "linux") return "a small disk is a tmpfs, which only Linux has";
    for (const tool of ["mount", "umount", ...asRoot().slice(0, 1)]) {
      if (!requireTool(tool).present) return `${tool} is not installed`;
    }
    return Deno.uid() === 0 || Deno.env.get("CI") === "true" ? null : "only root may mount a tmpfs";
  }

  /** In a folder of its own. */
  static async mount(bytes: number): Promise<SmallDisk> {
    const folder = await Deno.makeTempDir({ prefix: "arona-disk-" });
    await run(
      "mount",
      "-t",
      "tmpfs",
      "-o",
      `size=${bytes},mode=700,uid=${Deno.uid()}`,
      "arona-faults",
      folder,
    );
    return new SmallDisk(folder);
  }

  /** Leaves `room` bytes at the most. */
  async fill(room = 0): Promise<void> {
    using filler = await Deno.open(this.#filler, { create: true, append: true });
    const block = new Uint8Array(4_096);
    try {
      for (;;) await filler.write(block);
    } catch {
      // Full.
    }
    await filler.truncate(Math.max(0, (await filler.stat()).size - room));
  }

  /** Gives back what {@link fill} has taken. */
  async empty(): Promise<void> {
    await Deno.remove(this.#filler);
  }

  /** Whoever works in it has to have ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    await run("umount", this.folder);
    await Deno.remove(this.folder);
  }

  get #filler(): string {
    return `${this.folder}/filler`;
  }
}

function asRoot(): string[] {
  return Deno.uid() === 0 ? [] : ["sudo", "-n"];
}

async function run(...command: string[]): Promise<void> {
  const [program, ...args] = [...asRoot(), ...command];
  const { success, stderr } = await new Deno.Command(program, { args, stdin: "null" }).output();
  if (!success) throw new Error(`Cannot ${command.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}
