/** In the relay's place: it runs until it is asked for its limits, and dies of that. */

import { Rpc, type RpcPort } from "../../workers/rpc.ts";

const sides: Rpc<Record<never, never>, never, unknown>[] = [];
const methods = {
  start() {},
  state: () => ({ address: "127.0.0.1:1", fingerprint: "f", link: "l", document: new Uint8Array() }),
  setPublicAddresses: () =>
    sides[0].emit({ type: "state", state: { address: "127.0.0.1:1", fingerprint: "f", link: "\x1b[2J" } }),
  limits() {
    sides[0].emit({ type: "log", event: { type: "relay_key_rotated" }, lost: 2 });
    queueMicrotask(() => {
      throw new Error("out of order");
    });
    return new Promise(() => {});
  },
};
sides.push(new Rpc(self as unknown as RpcPort, { methods }));
