/** ArTP/2, the wire that relay and clients share. PROTOCOL.md beside this file specifies it. */

export * from "./base/mod.ts";
export { createNativeProvider } from "./crypto/native.ts";
export { loadNobleProvider, selectProvider } from "./crypto/select.ts";
