/** Arona's client: for the terminal, for commands, and for bots. */

export * from "./api/mod.ts";
export { AronaClient, type ClientOptions, openClient } from "./client.ts";
export { type Conversation } from "./conversation.ts";
export { linkDevice, type LinkedDevice } from "./link_device.ts";
export { type Dial, splitEndpoint } from "./discovery/mod.ts";
export { type Group } from "./groups/mod.ts";
