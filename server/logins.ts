/**
 * Login numbers: each device counts its logins, on its own disk before it sends the number. One that is not higher than the highest seen
 * comes from an older copy of the device's files, and the device is told so.
 *
 * The numbers are written in batches: a login does not wait for the disk, and a crash forgets a second of them at most.
 */

import type { Clock, DeviceId } from "../proto/mod.ts";
import { LOGINS_FLUSH_MS } from "./limits.ts";
import type { RelayLog } from "./log.ts";
import type { RelayStore } from "./store.ts";

/** The highest login number of each device. */
export class Logins {
  /** Not written yet. */
  readonly #unwritten = new Map<DeviceId, number>();
  #cancelFlush: (() => void) | null = null;

  constructor(private readonly parts: { store: RelayStore; clock: Clock; log: RelayLog }) {}

  /** Takes a login's number. @returns whether the device has logged in with as high a number before */
  isStale(device: DeviceId, login: number | null): boolean {
    if (login === null) return false;
    const highest = this.#unwritten.get(device) ?? this.parts.store.loginOf(device);
    if (login <= highest) return true;
    this.#unwritten.set(device, login);
    this.#cancelFlush ??= this.parts.clock.schedule(LOGINS_FLUSH_MS, () => this.#flush());
    return false;
  }

  stop(): void {
    this.#flush();
  }

  #flush(): void {
    this.#cancelFlush?.();
    this.#cancelFlush = null;
    if (this.#unwritten.size === 0) return;
    try {
      this.parts.store.saveLogins(this.#unwritten);
      this.#unwritten.clear();
    } catch (error) {
      // They are written with the next ones.
      this.parts.log({ type: "internal_error", where: "logins", error });
    }
  }
}
