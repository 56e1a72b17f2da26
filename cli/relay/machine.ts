/** What tells this run of the machine from others. */

/** Another boot of Linux, another text. */
const BOOT_ID = "/proc/sys/kernel/random/boot_id";

/** The machine's own word for its run, or the minute that it started in; undefined where it does not say. */
export function runOfMachine(): string | undefined {
  try {
    return Deno.readTextFileSync(BOOT_ID).trim();
  } catch {
    // not Linux
  }
  try {
    return `started ${Math.round((Date.now() / 1_000 - Deno.osUptime()) / 60)}`;
  } catch {
    return undefined; // not allowed to ask
  }
}
