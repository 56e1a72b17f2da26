/** The Transport suite on MessagePorts: a single channel, and joined with TCP as a link worker does it. */

import { connectTcp, listenTcp } from "../../proto/mod.ts";
import { joinTransports, portTransport } from "../../workers/port_transport.ts";
import { transportSuite } from "../suites/transport_suite.ts";

function portPair() {
  const { port1, port2 } = new MessageChannel();
  return [port1, port2].map((port) => portTransport(port, { remoteAddress: "the other end" }));
}

transportSuite("MessagePort", () => {
  const [client, server] = portPair();
  return Promise.resolve({ client, server, dispose() {} });
});

transportSuite("MessagePort joined with TCP", async () => {
  const listener = listenTcp({ hostname: "127.0.0.1", port: 0 });
  const accepting = listener.accept[Symbol.asyncIterator]().next();
  const [client, inner] = portPair();
  joinTransports(inner, await connectTcp(listener.address));
  const { value: server } = await accepting;
  return { client, server, dispose: () => listener.close() };
});
