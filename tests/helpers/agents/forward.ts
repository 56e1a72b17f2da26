/** Passes on every connection to `target`, both ways, until the process ends. */
export async function forward(
  listener: Deno.TcpListener,
  target: { hostname: string; port: number },
): Promise<void> {
  for await (const near of listener) {
    try {
      const far = await Deno.connect(target);
      for (const [from, to] of [[near, far], [far, near]]) from.readable.pipeTo(to.writable).catch(() => {});
    } catch {
      near.close();
    }
  }
}

/** The value after an option. */
export function option(args: readonly string[], name: string): string | undefined {
  const index = args.indexOf(name);
  return index < 0 ? undefined : args[index + 1];
}
