/** What `arona doctor` finds: one line a check. */

/** How bad it is. Only a problem makes the command fail. */
export type FindingState = "ok" | "warning" | "problem";

/** The outcome of one check. */
export interface Finding {
  /** `program`, `relay`, or `profile NAME`. */
  readonly area: string;
  readonly check: string;
  readonly state: FindingState;
  /** What was found. */
  readonly text: string;
  /** What to do about it; nothing for what is in order. */
  readonly todo?: string;
}

/** Findings of one area. */
export class Findings {
  readonly all: Finding[] = [];

  constructor(private readonly area: string) {}

  ok(check: string, text: string): void {
    this.all.push({ area: this.area, check, state: "ok", text });
  }

  warning(check: string, text: string, todo: string): void {
    this.all.push({ area: this.area, check, state: "warning", text, todo });
  }

  problem(check: string, text: string, todo: string): void {
    this.all.push({ area: this.area, check, state: "problem", text, todo });
  }
}

/** The line, and under it what to do. */
export function findingLines({ area, check, state, text, todo }: Finding): string[] {
  const line = `${state.padEnd(8)} ${area}: ${check}: ${text}`;
  return todo === undefined ? [line] : [line, `${" ".repeat(8)} → ${todo}`];
}
