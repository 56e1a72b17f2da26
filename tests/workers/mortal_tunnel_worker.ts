/** In the tunnel's place: it is up, has its address looked at once, and dies of the answer. */

import { Rpc, type RpcPort } from "../../workers/rpc.ts";

type Host = { probe(endpoint: { hostname: string; port: number }): void };
const ENDPOINT = { hostname: "tunnel.test", port: 7 };
const STATUS = { state: "up", spec: "ngrok", sinceMs: 0, checkedAtMs: 0, starts: 1, endpoint: ENDPOINT };

const rpc: Rpc<Host, never, unknown> = new Rpc<Host, never, unknown>(self as unknown as RpcPort, {
  methods: {
    start() {
      rpc.emit({ event: { type: "address", endpoint: ENDPOINT, changed: true }, status: STATUS });
      const die = () => {
        queueMicrotask(() => {
          throw new Error("died on purpose");
        });
      };
      setTimeout(() => rpc.remote.probe(ENDPOINT).then(die, die)); // when the start has been answered
    },
    status: () => STATUS,
  },
});
