/**
 * What each role may do: the table of permissions as code.
 *
 * A role's function turns what the role was started for into the rights of its worker. Whatever it does not name is refused. These are
 * walls against stolen rights, not against faults: the workers of a process share its memory limit and end with it.
 */

import { type Endpoint, formatEndpoint } from "../proto/base/mod.ts";

/** The rights of a worker, every kind said. Lists name what is allowed; `false` allows nothing. */
export interface Rights {
  /** `true` is any address. */
  readonly net: boolean | string[];
  readonly read: false | string[];
  readonly write: false | string[];
  readonly run: false | string[];
  readonly env: false;
  readonly ffi: false;
  readonly sys: false | "networkInterfaces"[];
  readonly import: false;
}

/** A role that runs behind a wall. */
export type Role = keyof typeof ROLE_RIGHTS;

/** What the rights of a role depend on. */
export type RoleParameters<R extends Role> = Parameters<typeof ROLE_RIGHTS[R]>[0];

const NOTHING: Rights = {
  net: false,
  read: false,
  write: false,
  run: false,
  env: false,
  ffi: false,
  sys: false,
  import: false,
};

const LOOPBACK = ["127.0.0.1", "[::1]", "localhost"];

/** A new role gets a line here, a module `NAME_worker.ts` beside this file and a line of types in `mod.ts`. */
export const ROLE_RIGHTS = {
  /** The relay itself: its listening address and its data folder. */
  relay: ({ listen, folder }: { listen: Endpoint; folder: string }): Rights => ({
    ...NOTHING,
    net: [formatEndpoint(listen)],
    read: [folder],
    write: [folder],
  }),
  /** Who puts the relay's document where clients find it: the API's host. */
  publisher: ({ api }: { api: string }): Rights => ({ ...NOTHING, net: [hostOf(api)] }),
  /** Who keeps a tunnel's program running: that program, and loopback for its own interface. */
  tunnel: ({ binary }: { binary: string }): Rights => ({ ...NOTHING, net: LOOPBACK, run: [binary] }),
  /** Who asks for the relay's document through its public address: that host; any where only the tunnel's program learns which. */
  probe: ({ host }: { host: string | null }): Rights => ({
    ...NOTHING,
    net: host === null || [host.includes(":") ? `[${host}]` : host],
  }),
  /** Who announces the relay on the local network, or looks for one there. */
  lan: ({ addresses }: { addresses: readonly string[] }): Rights => ({
    ...NOTHING,
    net: [...addresses],
    sys: ["networkInterfaces"],
  }),
  /** Who notices that the machine's address has changed. */
  addresses: (_: Record<never, never>): Rights => ({ ...NOTHING, sys: ["networkInterfaces"] }),
  /** Who reads the relay's configuration again: that file. */
  config: ({ file }: { file: string }): Rights => ({ ...NOTHING, read: [file] }),
  /** A client's keys, groups and history: its profile folder, and no network at all. */
  session: ({ folder }: { folder: string }): Rights => ({ ...NOTHING, read: [folder], write: [folder] }),
  /** Who carries a session's bytes to one relay. */
  link: ({ endpoint }: { endpoint: Endpoint }): Rights => ({ ...NOTHING, net: [formatEndpoint(endpoint)] }),
  /** Who fetches discovery documents from one web server, or from GitHub, which has a host for questions and one for files. */
  source: ({ urls }: { urls: readonly string[] }): Rights => ({ ...NOTHING, net: urls.map(hostOf) }),
} as const;

/** The rights of `role`, started for `parameters`. */
export function rightsOf<R extends Role>(role: R, parameters: RoleParameters<R>): Rights {
  return (ROLE_RIGHTS[role] as (parameters: RoleParameters<R>) => Rights)(parameters);
}

/** `host:port` of a URL, with the port that its scheme stands for. */
function hostOf(url: string): string {
  const { protocol, hostname, port } = new URL(url);
  return `${hostname}:${port || (protocol === "http:" ? 80 : 443)}`;
}
