/** How a command ends that could not do what was asked: an exit code and one line that says what, why and what to do. */

/** Exit codes of every command. */
export const ExitCode = { DONE: 0, FAILED: 1, USAGE: 2 } as const;
export type ExitCode = typeof ExitCode[keyof typeof ExitCode];

/** Codes of the wire's error family that mean that the command was not called rightly. */
const USAGE_CODES: readonly unknown[] = ["USAGE", "BAD_NAME"];
const MAX_LINE_CHARACTERS = 1_000;

/** An error of the command line itself. The rest of the program throws AronaError, which reads the same. */
export class CommandFailure extends Error {
  override readonly name = "CommandFailure";
  readonly exitCode: ExitCode;
  /** What the person can do about it, as one sentence. */
  readonly hint?: string;

  constructor(message: string, options: { exitCode?: ExitCode; hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.exitCode = options.exitCode ?? ExitCode.FAILED;
    this.hint = options.hint;
  }
}

/** A {@link CommandFailure} for a command that was not called rightly. */
export function usageFailure(message: string, hint?: string): CommandFailure {
  return new CommandFailure(message, { exitCode: ExitCode.USAGE, hint });
}

/** The command was told to end before it was done: Ctrl-C, SIGTERM, or nobody reads what it prints. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";

  constructor(readonly by: "signal" | "broken_pipe") {
    super("Cannot finish: the command was interrupted");
  }
}

/** The exit code and the line for a person, without control characters. */
export function describeFailure(error: unknown): { exitCode: ExitCode; line: string } {
  const { code, hint } = error as { code?: unknown; hint?: unknown };
  const message = error instanceof Error && error.message !== "" ? error.message : `Cannot go on: ${error}`;
  const text = typeof hint === "string" ? `${endSentence(message)} ${hint}` : message;
  const exitCode = error instanceof CommandFailure
    ? error.exitCode
    : USAGE_CODES.includes(code)
    ? ExitCode.USAGE
    : ExitCode.FAILED;
  return { exitCode, line: oneLine(text) };
}

/** One line without anything that a terminal would act on; error texts can quote what others sent. */
export function oneLine(text: string): string {
  const line = text.replace(/\s*\n\s*/g, " ").replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, "\ufffd");
  return line.length <= MAX_LINE_CHARACTERS ? line : `${line.slice(0, MAX_LINE_CHARACTERS)}…`;
}

function endSentence(text: string): string {
  return /[.!?…]$/.test(text) ? text : `${text}.`;
}
