/** Finding the relay: from a link now, from more sources later. */

export * from "./relay_address.ts";
