/** One measured figure. */
export interface Row {
  /** What was measured, and on what. */
  readonly row: string;
  readonly value: number;
  readonly unit: "µs" | "ms" | "s" | "1/s" | "kB" | "MB" | "B";
  /** The most it should be (DESIGN section 13). */
  readonly budget?: number;
}

/** The middle of some figures. */
export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

/** Prints a row as one line of text or of JSON. */
export function printRow(row: Row, json: boolean): void {
  if (json) return console.log(JSON.stringify(row));
  const value = `${row.value.toFixed(row.value < 10 ? 2 : 0)} ${row.unit}`;
  const verdict = row.budget === undefined
    ? ""
    : `  budget ${row.budget} ${row.unit}${row.value <= row.budget ? "" : "  OVER"}`;
  console.log(`${row.row.padEnd(72)} ${value.padStart(10)}${verdict}`);
}
