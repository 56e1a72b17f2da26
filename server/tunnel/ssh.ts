/**
 * `ssh -R`: OpenSSH asks a server of yours for a port and passes on what comes there.
 *
 * The relay's own port is asked for, so that the address stays; where it is taken, the server chooses, and the client says so:
 * `Allocated port 38895 for remote forward to 127.0.0.1:7700`.
 */

import { formatEndpoint } from "../../proto/mod.ts";
import { type AgentFailure, type AgentNews, COMMON_ENVIRONMENT, quote, type TunnelAgent } from "./agent.ts";
import { publicHostOf, type TunnelSpec } from "./spec.ts";

/** Ports under this one are root's on the server. */
const FIRST_FREE_PORT = 1_024;

/**
 * Ends ssh when its standard input ends, and that is when the relay is gone, however it ended: `ssh -N` itself does not read it.
 * OpenSSH runs the line with /bin/sh when it has logged in; it only uses what the shell has built in.
 */
const END_WITH_INPUT = "exec 3<&0; (while read -r _; do :; done <&3; kill $PPID) >/dev/null 2>&1 &";

/** Without a value here, a line in the user's configuration could end the tunnel or send it elsewhere. */
const OPTIONS: readonly string[] = [
  "IgnoreUnknown=StdinNull,ForkAfterAuthentication,SessionType", // older than OpenSSH 8.7
  "StdinNull=no",
  "ForkAfterAuthentication=no",
  "BatchMode=yes", // never asks
  // The first key of a server is kept, another one later refused. What goes through is encrypted for the relay's key in any case.
  "StrictHostKeyChecking=accept-new",
  "ClearAllForwardings=no",
  "ExitOnForwardFailure=yes",
  "ServerAliveInterval=15",
  "ServerAliveCountMax=3",
  "ConnectTimeout=15",
  "ControlMaster=no", // another ssh's connection would outlive this one
  "ControlPath=none",
  "ForwardAgent=no",
  "ForwardX11=no",
  "LogLevel=INFO", // says which port was allocated
];

/** The agent of `ssh:user@host`. @param options.windows whether there is no /bin/sh */
export function sshAgent(
  spec: TunnelSpec & { kind: "ssh" },
  options: { windows?: boolean } = {},
): TunnelAgent {
  const { user, host, reachedAt } = spec;
  const hostname = publicHostOf(spec)!;
  const fixedPort = reachedAt?.port ?? null;
  return {
    program: "ssh",
    howToGet: "Install OpenSSH's client, for example with: apt-get install openssh-client",
    environment: [...COMMON_ENVIRONMENT, "LOGNAME", "SSH_AUTH_SOCK"],
    portMayChange: fixedPort === null,
    firstPort: ({ port }) => fixedPort ?? (port < FIRST_FREE_PORT ? 0 : port),
    start: ({ local, port }) => ({
      args: [
        "-N",
        "-T",
        ...OPTIONS.flatMap((option) => ["-o", option]),
        ...options.windows ? [] : ["-o", "PermitLocalCommand=yes", "-o", `LocalCommand=${END_WITH_INPUT}`],
        "-R",
        `${hostname.includes(":") ? "[::]" : "0.0.0.0"}:${port}:${formatEndpoint(local)}`,
        "-l",
        user,
        ...spec.port === null ? [] : ["-p", String(spec.port)],
        "--",
        host,
      ],
      presumed: port === 0 ? null : { hostname, port },
      read: (line) => read(line, { hostname, port }),
    }),
    unanswered: (address, detail) => ({
      reason: "no_answer",
      state: `ssh has logged in, but the relay is not reached at ${address}: ${detail}`,
      hint:
        "Say GatewayPorts clientspecified in the server's sshd_config, so that it listens for others, and let " +
        "the port through its firewall; a public name or port of its own goes behind =.",
    }),
  };
}

function read(line: string, run: { hostname: string; port: number }): AgentNews | null {
  const allocated = /^Allocated port (\d{1,5}) for remote forward\b/.exec(line);
  if (allocated !== null) {
    return { kind: "address", endpoint: { hostname: run.hostname, port: Number(allocated[1]) } };
  }
  if (/\bremote port forwarding failed for listen port\b/.test(line)) return forwardingFailed(run);
  for (const [pattern, failure] of FAILURES) {
    const match = pattern.exec(line);
    if (match !== null) return { kind: "failure", failure: failure(quote(match[1] ?? "")) };
  }
  return null;
}

function forwardingFailed({ port }: { port: number }): AgentNews {
  return {
    kind: "failure",
    otherPort: port !== 0,
    failure: port === 0
      ? {
        reason: "refused",
        state: `the server does not forward ports`,
        hint:
          "Say AllowTcpForwarding remote (or yes) in its sshd_config, and take restrict or no-port-forwarding " +
          "from the key's line in authorized_keys.",
      }
      : {
        reason: "refused",
        state: `the server does not give port ${port}`,
        hint:
          "Another program may have it there; or look for AllowTcpForwarding and PermitListen in its sshd_config.",
      },
  };
}

type Describe = (detail: string) => AgentFailure;

const unreachable: Describe = (detail) => ({ reason: "unreachable", state: detail });

const FAILURES: readonly (readonly [RegExp, Describe])[] = [
  [/\bPermission denied \(([^)]*)\)/, (methods) => ({
    reason: "not_authenticated",
    state: `the server does not let this user in (${methods})`,
    hint:
      "Put the public key of the user that runs the relay into authorized_keys there. It must have no passphrase or be in " +
      "an ssh-agent: ssh -o BatchMode=yes USER@HOST has to work without a question.",
  })],
  [/\bToo many authentication failures\b/, () => ({
    reason: "not_authenticated",
    state: `the server was offered too many keys`,
    hint: "Name the right one in ~/.ssh/config, with IdentityFile and IdentitiesOnly yes for this host.",
  })],
  [/\bHost key verification failed\b|\bREMOTE HOST IDENTIFICATION HAS CHANGED\b/, () => ({
    reason: "host_key",
    state: `the server shows another host key than the one that is known`,
    hint: "Find out why. If the server was set up anew, remove its old key with: ssh-keygen -R HOST",
  })],
  [/^(?:command-line|\S+): line \d+: (Bad configuration option: .*|unsupported option .*)$/i, (detail) => ({
    reason: "not_installed",
    state: `this ssh does not know an option: ${detail}`,
    hint: "Install OpenSSH 7.6 or later, and check ~/.ssh/config.",
  })],
  [/^ssh: (Could not resolve hostname .*)$/, unreachable],
  [/^ssh: (connect to host .*)$/, unreachable],
  [/^(kex_exchange_identification: .*)$/, unreachable],
  [/^(Timeout, server .* not responding)/, unreachable],
  [/^(Connection to .* closed by remote host)/, unreachable],
  [/^(Connection (?:reset|closed) by .*)$/, unreachable],
  [/^client_loop: (send disconnect: .*)$/, unreachable],
];
