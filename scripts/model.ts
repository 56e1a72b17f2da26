/**
 * Checks the models in proto/model/ with spin: every run of a sound model has to end well, every seeded bug has to be found. Prints one
 * line a check and ends with 1 where one comes out otherwise, a search that was cut short included. Needs `spin` and `gcc`.
 *
 *     deno task model                  all of them
 *     deno task model BUG_NO_DEDUP     those with that in their line
 *     deno task model BUG_NO_DEDUP --trail   and the run that was found, step by step
 */

/** What is made of a model, and what has to come out. */
export interface ModelCheck {
  readonly model: "epoch" | "mailbox";
  /** The `ltl` formula; assertions are checked with it. */
  readonly property: string;
  /** Bounds and seeded bugs: `NAME` or `NAME=value`. */
  readonly defines: readonly string[];
  /** Whether the property holds, or what refutes it: an assertion, or a run that never comes to what it should. */
  readonly expected: "holds" | "assertion" | "run";
  /** What the check shows, in words. */
  readonly shows: string;
}

/** What spin said of one check. */
export interface ModelVerdict {
  /** `inconclusive`: the search was cut short or did not run; that shows nothing. */
  readonly verdict: ModelCheck["expected"] | "inconclusive";
  readonly states: number;
  /** Why: the assertion, or what cut the search short. */
  readonly reason: string;
}

/** Steps in one run; the longest has some hundred. */
const MAX_DEPTH = 100_000;
const MAX_MEMORY_MB = 2_000;
/** Checks at a time. */
const PARALLEL = 2;

/** All checks. The bounds of a refuted one are only there to find it sooner. */
export const MODEL_CHECKS: readonly ModelCheck[] = [
  ...checksOf({ model: "epoch", property: "settles", expected: "holds" }, {
    "": "two members agree on every epoch and come to rest, whatever fails once",
    "MEMBERS=3 RELAY_CRASHES=0 OTHERS=0": "three members agree, with one lost connection or crash",
    "WANTS=2 RELAY_CRASHES=0 OTHERS=0":
      "two members agree over four epochs, with one lost connection or crash",
  }),
  ...checksOf({ model: "epoch", property: "settles", expected: "assertion" }, {
    "BUG_ANSWER_BEFORE_DURABLE OTHERS=0": "an epoch is lost when the relay answers before it writes",
    "BUG_APPLY_BEFORE_CONFIRM OTHERS=0": "a fork when a member applies its commit before it is confirmed",
    "BUG_LAST_WINS OTHERS=0": "a fork when the relay lets a later commit win an epoch again",
    "BUG_NO_SETTLE OTHERS=0": "a member is stuck when it drops a pending commit without asking the log",
    "BUG_PENDING_NOT_STORED OTHERS=0": "a member is stuck when a commit is sent before it is stored",
    "BUG_OLD_CONNECTION_LIVES OTHERS=0":
      "a member is stuck when a replaced connection's commit is carried out",
  }),
  ...checksOf({ model: "epoch", property: "settles", expected: "run" }, {
    "BUG_DROP_IN_FLIGHT OTHERS=0": "a member is stuck when a sync drops the commit that is under way",
    "BUG_NO_SYNC_AFTER_RESTART OTHERS=0":
      "a member stays behind when it does not ask a restarted relay's log",
    "BUG_GAP_FORGOTTEN": "a member stays behind when another group's acknowledgement settles the gap",
  }),
  ...checksOf({ model: "mailbox", property: "delivered", expected: "holds" }, {
    "": "two messages are shown once and in order, whatever fails once, through a mailbox of one place",
    "PLACES=2 RELAY_CRASHES=2": "the same through two places and two restarts of the relay",
    "SENDER_FAULTS=2 RECEIVER_FAULTS=2": "the same with two faults of the sender and two of the receiver",
    "MESSAGES=3 EPOCHS=1": "three messages are shown once and in order",
    "COLLAPSE": "what gave way to a commit is sent again, whatever fails once",
  }),
  ...checksOf({ model: "mailbox", property: "forgets", expected: "holds" }, {
    "": "the outbox is empty in the end, whatever fails once",
  }),
  ...checksOf({ model: "mailbox", property: "delivered", expected: "assertion" }, {
    "BUG_ACK_BEFORE_STORE": "a message is lost when it is acknowledged before it is stored",
    "BUG_FORGET_ON_ACCEPT": "a message is lost when its row goes as soon as the relay has accepted it",
    "BUG_NO_DEDUP": "a message is shown twice when a repeat is not told by its id",
    "BUG_SEND_AHEAD EPOCHS=1": "messages change places when one does not wait for the one before it",
    "BUG_SUBMIT_BEFORE_BOOT EPOCHS=1": "messages change places when one is sent before the boot id is known",
    "BUG_PICK_SURVIVES_RECONNECT EPOCHS=1":
      "messages change places when one picked before a restart goes out",
    "BUG_ACCEPT_REVIVES_ROW": "a row that a receipt has deleted comes back with a later answer",
    "BUG_GAP_SYNCS_AHEAD COLLAPSE EPOCHS=3 SENDER_FAULTS=0":
      "a message is lost when a marker moves the receiver beyond what waits",
  }),
  ...checksOf({ model: "mailbox", property: "delivered", expected: "run" }, {
    "BUG_NO_RESUBMIT": "a message is lost when what a restarted relay had accepted is not sent again",
    "BUG_NOT_PERSISTED": "a message is lost when it is sent before its row is stored",
    "BUG_SILENT_DROP": "a message is lost when a full mailbox is not told to the sender",
  }),
  ...checksOf({ model: "mailbox", property: "forgets", expected: "run" }, {
    "BUG_RECEIPT_ONCE": "a row stays when a receipt that is lost with a connection does not come again",
  }),
];

if (import.meta.main) Deno.exit(await checkModels(Deno.args));

/** One line for people: what is checked, under which bounds. */
export function checkName(check: ModelCheck): string {
  const defines = check.defines.join(" ") || "default bounds";
  return `${check.model}, ${defines}, ${check.property}`;
}

/** Runs spin, the C compiler and the verifier in a temporary folder. */
export async function runCheck(
  check: ModelCheck,
  options: { maxDepth?: number; trail?: boolean } = {},
): Promise<ModelVerdict> {
  const folder = await Deno.makeTempDir({ prefix: "arona-model-" });
  try {
    const file = `${check.model}.pml`;
    await Deno.copyFile(new URL(`../proto/model/${file}`, import.meta.url), `${folder}/${file}`);
    await run(folder, "spin", [...check.defines.map((define) => `-D${define}`), "-a", file]);
    // A bug is found sooner when processes are tried from the last one on.
    const flags = check.expected === "holds" ? ["-O2"] : ["-O1", "-DREVERSE"];
    await run(folder, "gcc", ["-w", ...flags, `-DMEMLIM=${MAX_MEMORY_MB}`, "-o", "pan", "pan.c"]);
    const depth = options.maxDepth ?? MAX_DEPTH;
    const output = await run(folder, `${folder}/pan`, ["-a", `-m${depth}`, "-w22", "-N", check.property]);
    if (options.trail) {
      const defines = check.defines.map((define) => `-D${define}`);
      console.log(await run(folder, "spin", [...defines, "-t", "-p", "-g", "-l", file]));
    }
    return readVerdict(output);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Reads what the verifier prints. Only a complete search without an error says that something holds. */
export function readVerdict(output: string): ModelVerdict {
  const states = Number(output.match(/(\S+) states, stored/)?.[1] ?? 0);
  const errors = output.match(/errors: (\d+)/)?.[1];
  const found = output.match(/^pan:\d+: (.*?)(?: \(at depth \d+\))?$/m)?.[1] ?? "";
  const cut = output.match(
    /max search depth too small|out of memory|reached -DMEMLIM bound|hash table is full/i,
  )?.[0];
  if (errors !== undefined && Number(errors) > 0) {
    if (found.startsWith("assertion violated")) return { verdict: "assertion", states, reason: found };
    if (found.startsWith("acceptance cycle")) {
      return { verdict: "run", states, reason: "a run that never settles" };
    }
  }
  if (errors === "0" && cut === undefined && !output.includes("Search not completed")) {
    return { verdict: "holds", states, reason: "" };
  }
  return { verdict: "inconclusive", states, reason: cut ?? (found || "the search did not end") };
}

async function checkModels(args: readonly string[]): Promise<number> {
  const missing = await missingTools();
  if (missing.length > 0) {
    console.error(
      `Cannot check the models: ${missing.join(" and ")} is not installed (apt-get install spin gcc)`,
    );
    return 1;
  }
  const trail = args.includes("--trail");
  const words = args.filter((arg) => !arg.startsWith("--"));
  const wanted = MODEL_CHECKS.filter((check) => words.every((word) => checkName(check).includes(word)));
  let failed = wanted.length === 0 ? 1 : 0;
  const queue = [...wanted];
  const work = async () => {
    for (let check = queue.shift(); check !== undefined; check = queue.shift()) {
      const { verdict, states, reason } = await runCheck(check, { trail });
      const good = verdict === check.expected;
      if (!good) failed++;
      const said = verdict === "holds"
        ? "holds"
        : verdict === "inconclusive"
        ? verdict
        : `refuted (${verdict})`;
      const line = `${good ? "ok  " : "FAIL"} ${checkName(check)}: ${states} states, ${said}`;
      console.log(good ? `${line}; ${check.shows}` : `${line}, expected ${check.expected}. ${reason}`);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  console.log(`${wanted.length - failed} of ${wanted.length} checks as expected`);
  return failed === 0 ? 0 : 1;
}

async function missingTools(): Promise<string[]> {
  const missing: string[] = [];
  for (const [tool, flag] of [["spin", "-V"], ["gcc", "--version"]]) {
    try {
      await new Deno.Command(tool, { args: [flag], stdout: "null", stderr: "null" }).output();
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      missing.push(tool);
    }
  }
  return missing;
}

/** @returns what the program printed @throws where it fails */
async function run(folder: string, program: string, args: readonly string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args: [...args], cwd: folder })
    .output();
  const output = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  // The verifier reports in its output and fails where memory ran out, which is for readVerdict() to tell.
  if (!success && !program.endsWith("/pan")) {
    throw new Error(`Cannot check the model: ${program} failed\n${output}`);
  }
  return output;
}

function checksOf(
  common: Pick<ModelCheck, "model" | "property" | "expected">,
  checks: Readonly<Record<string, string>>,
): ModelCheck[] {
  return Object.entries(checks).map(([defines, shows]) => ({
    ...common,
    defines: defines.split(" ").filter((define) => define !== ""),
    shows,
  }));
}
