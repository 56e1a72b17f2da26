/**
 * Stands in for `bore local` and the server that it talks to: prints what bore prints and passes on connections, on 127.0.0.1 only.
 * Its options and words are those of bore-cli (`src/main.rs` and `src/client.rs` at github.com/ekzhang/bore).
 */

import { forward, option } from "./forward.ts";

const [command, localPort] = Deno.args;
const port = Number(option(Deno.args, "--port") ?? 0);
const to = option(Deno.args, "--to")!;
const log = (text: string) => console.log(`${new Date().toISOString()}  INFO bore_cli::client: ${text}`);

if (command !== "local") throw new Error(`Cannot run: ${command}`);
let listener: Deno.TcpListener;
try {
  listener = Deno.listen({ hostname: "127.0.0.1", port });
} catch {
  console.error("Error: server error: port already in use");
  Deno.exit(1);
}
log(`connected to server remote_port=${listener.addr.port}`);
log(`listening at ${to}:${listener.addr.port}`);
await forward(listener, { hostname: option(Deno.args, "--local-host")!, port: Number(localPort) });
