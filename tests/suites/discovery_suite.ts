/** What `Discovery.look()` does at every kind of source. */

import assert from "node:assert/strict";
import { type FakeClock, isAronaError, MAX_DOCUMENT_BYTES, type RelaySource, utf8 } from "../../proto/mod.ts";
import type { Requirement } from "../require.ts";
import type { Discovery } from "../../client/discovery/mod.ts";
import { DISCOVERY_TIMEOUT_MS } from "../../client/limits.ts";

/** A source with a place behind it, where a test puts documents. */
export interface Place extends AsyncDisposable {
  readonly discovery: Discovery;
  readonly source: RelaySource;
  /** What candidates name as their source. */
  readonly narrowest: RelaySource;
  readonly clock: FakeClock;
  /** What is there from now on; null: nothing. */
  put(bytes: Uint8Array | null): void;
  /** Nobody answers the next request. @returns what resolves when somebody has asked */
  hang(): Promise<void>;
}

/**
 * Registers the suite for one adapter.
 *
 * @param requirement what the adapter's place needs
 */
export function discoverySuite(
  name: string,
  open: () => Promise<Place>,
  requirement: Pick<Requirement, "test"> = Deno,
): void {
  const test = (what: string, action: (place: Place) => Promise<void>) =>
    requirement.test(`${name}: ${what}`, async () => {
      await using place = await open();
      await action(place);
      assert.equal(place.clock.pendingTimers, 0, "a timer is left");
    });
  const look = ({ discovery, source }: Place, signal = new AbortController().signal) =>
    discovery.look(source, { signal });

  test("gives what is there, whatever it is, with the source that leads to it alone", async (place) => {
    const bytes = utf8(`{"payload":"not looked at"}`);
    place.put(bytes);
    assert.deepEqual((await look(place)).map(({ bytes, source }) => ({ bytes, source })), [{
      bytes,
      source: place.narrowest,
    }]);
  });

  test("gives what is new when it is asked again, and the same where nothing is", async (place) => {
    for (const text of ["{}", "{}", `{"a":1}`, `{"a":1}`]) {
      place.put(utf8(text));
      assert.deepEqual((await look(place)).map(({ bytes }) => bytes), [utf8(text)]);
    }
  });

  test("says in words that nothing is there", async (place) => {
    place.put(null);
    await assert.rejects(look(place), (error) => isAronaError(error) && error.message.startsWith("Cannot "));
  });

  test("gives a document of the largest size, and none that is larger", async (place) => {
    const largest = utf8(JSON.stringify("x".repeat(MAX_DOCUMENT_BYTES - 2)));
    assert.equal(largest.length, MAX_DOCUMENT_BYTES);
    place.put(largest);
    assert.deepEqual((await look(place))[0].bytes, largest);
    place.put(utf8(JSON.stringify("x".repeat(MAX_DOCUMENT_BYTES - 1))));
    await assert.rejects(look(place), (error) => isAronaError(error));
  });

  test("gives up after 5 s without an answer", async (place) => {
    place.put(utf8("{}"));
    const asked = place.hang();
    const looking = look(place);
    looking.catch(() => {});
    await asked;
    place.clock.advance(DISCOVERY_TIMEOUT_MS);
    await assert.rejects(looking, (error) => isAronaError(error));
  });

  test("ends at once with its signal's reason", async (place) => {
    place.put(utf8("{}"));
    const reason = new Error("no longer wanted");
    await assert.rejects(look(place, AbortSignal.abort(reason)), (error) => error === reason);
    const abort = new AbortController();
    const asked = place.hang();
    const looking = look(place, abort.signal);
    looking.catch(() => {});
    await asked;
    abort.abort(reason);
    await assert.rejects(looking, (error) => error === reason);
  });
}
