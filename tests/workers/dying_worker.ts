/** A worker that starts and then ends by itself, since it catches nothing. */

import { Rpc, type RpcPort } from "../../workers/rpc.ts";

new Rpc(self as unknown as RpcPort, {
  methods: {
    start() {},
    wait() {
      queueMicrotask(() => {
        throw new Error("died on purpose");
      });
      return new Promise(() => {});
    },
  },
});
