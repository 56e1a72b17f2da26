/**
 * Stands in for `ngrok tcp`: writes the log that ngrok writes with `--log-format json`, answers `/api/tunnels` on a port of its own,
 * and passes on connections, on 127.0.0.1 only. STAND_IN is what is different: `silent` (its log names no address) or an error's code.
 */

import { forward, option } from "./forward.ts";

const [command, target] = Deno.args;
const mode = Deno.env.get("STAND_IN");
const log = (fields: Record<string, unknown>) =>
  console.log(JSON.stringify({ t: new Date().toISOString(), ...fields }));

if (
  command !== "tcp" || option(Deno.args, "--log") !== "stdout" || option(Deno.args, "--log-format") !== "json"
) {
  throw new Error(`Cannot run: ${Deno.args.join(" ")}`);
}
log({ err: "<nil>", lvl: "info", msg: "open config file", path: "/nowhere/ngrok.yml" });
const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
const url = `tcp://127.0.0.1:${listener.addr.port}`;
const web = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
  if (new URL(request.url).pathname !== "/api/tunnels") return new Response("", { status: 404 });
  return Response.json({
    tunnels: [{ name: "command_line", uri: "/api/tunnels/command_line", public_url: url, proto: "tcp" }],
  });
});
log({
  addr: `127.0.0.1:${web.addr.port}`,
  allow_hosts: null,
  lvl: "info",
  msg: "starting web service",
  obj: "web",
});
if (mode?.startsWith("ERR_")) {
  const err =
    `authentication failed: a sentence that may change.\r\nYour authtoken: 2secret_token\r\n\r\n${mode}\r\n`;
  log({ err, lvl: "eror", msg: "failed to reconnect session", obj: "tunnels.session" });
} else {
  log({ lvl: "info", msg: "client session established", obj: "tunnels.session" });
  if (mode !== "silent") {
    log({
      addr: `//${target}`,
      lvl: "info",
      msg: "started tunnel",
      name: "command_line",
      obj: "tunnels",
      url,
    });
  }
}
const [, hostname, port] = /^(.*):(\d+)$/.exec(target)!;
await forward(listener, { hostname, port: Number(port) });
