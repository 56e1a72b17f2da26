/**
 * QR codes on a terminal, so that a phone can scan them: light modules around and between dark ones whatever the terminal's own colours,
 * with a quiet zone, and no code at all where there is no room for a whole one.
 */

import QRCode from "qrcode-terminal/vendor/QRCode/index.js";
import LEVEL from "qrcode-terminal/vendor/QRCode/QRErrorCorrectLevel.js";
import type { Io } from "./io.ts";
import type { Output } from "./output.ts";

/** Light modules around the code, as ISO/IEC 18004 wants them; the second is what scanners can do with in a narrow terminal. */
const QUIET_ZONES = [4, 2] as const;
/** Lines that stay free: the one that the cursor is on, and the text that the code stands for. */
const LINES_BESIDE = 2;
/** Black on white of the 256 fixed colours, which no theme changes. */
const BLACK_ON_WHITE = "\x1b[38;5;16;48;5;231m";
const WHITE = "\x1b[38;5;231m";
const RESET = "\x1b[0m";
/** Bytes of a QR code of version 40 at the lowest level of error correction. */
const MAX_QR_BYTES = 2_953;

/** Where a code is drawn. */
export interface QrSpace {
  /** Characters in a line. */
  readonly columns: number;
  /** Lines of the screen. @default any number */
  readonly rows?: number;
  /** Without colours the light modules are drawn in the terminal's own foreground. @default true */
  readonly colors?: boolean;
}

/** Prints the code of `text` where stdout is a terminal that has room for it. */
export function printQr({ io, output }: { io: Io; output: Output }, text: string): void {
  const { isTerminal, columns, rows } = io.stdout;
  if (!isTerminal || output.json || io.env("TERM") === "dumb") return;
  const code = qrText(text, { columns, rows, colors: !io.env("NO_COLOR") });
  if (code !== null) output.line(code);
}

/**
 * The code as lines of half blocks, one character a module wide and two modules high.
 *
 * @returns null where it does not fit into the space
 */
export function qrText(text: string, space: QrSpace): string | null {
  const { columns, rows = Infinity, colors = true } = space;
  const modules = modulesOf(text);
  const quiet = QUIET_ZONES.find((quiet) => {
    const side = (modules?.length ?? Infinity) + 2 * quiet;
    return side <= columns && Math.ceil(side / 2) + LINES_BESIDE <= rows;
  });
  if (modules === null || quiet === undefined) return null;
  const isDark = (row: number, column: number) => modules[row - quiet]?.[column - quiet] ?? false;
  const side = modules.length + 2 * quiet;
  const lines: string[] = [];
  for (let row = 0; row < side; row += 2) {
    const isLast = row + 1 === side; // its lower half lies outside of the code
    let line = "";
    for (let column = 0; column < side; column++) {
      const [upper, lower] = [isDark(row, column), isDark(row + 1, column)];
      if (isLast) line += colors || !upper ? "▀" : " ";
      else line += colors ? DARK_BLOCKS[+upper][+lower] : LIGHT_BLOCKS[+upper][+lower];
    }
    lines.push(!colors ? line : isLast ? `${WHITE}${line}${RESET}` : `${BLACK_ON_WHITE}${line}${RESET}`);
  }
  return lines.join("\n");
}

/** By whether the upper and the lower module are dark: what is drawn dark on light. */
const DARK_BLOCKS = [[" ", "▄"], ["▀", "█"]] as const;
/** The same for light on dark. */
const LIGHT_BLOCKS = [["█", "▀"], ["▄", " "]] as const;

/** Rows of modules, true where dark; the lowest level of error correction keeps them few. Null where the text is too long. */
function modulesOf(text: string): boolean[][] | null {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length > MAX_QR_BYTES) return null;
  const code = new QRCode(-1, LEVEL.L);
  code.addData(String.fromCharCode(...bytes)); // it takes one byte from each character
  code.make();
  return code.modules;
}
