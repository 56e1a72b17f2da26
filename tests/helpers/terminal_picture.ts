/** What a terminal shows, as pixels: block characters and colours, as far as a QR code needs them. */

/** Pixels as a camera has them, four bytes each. */
export interface Picture {
  readonly data: Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
}

/** A terminal's own colours, as grey from 0 to 255. */
export interface Theme {
  readonly foreground: number;
  readonly background: number;
}

export const DARK_THEME: Theme = { foreground: 204, background: 30 };
export const LIGHT_THEME: Theme = { foreground: 40, background: 253 };

/** Pixels of a character's width; it is twice as high. */
const CELL_WIDTH = 3;
/** Characters of bare terminal around the text. */
const MARGIN = 4;
/** Which half of its cell a character fills: upper, lower. */
const BLOCKS: Readonly<Record<string, readonly [boolean, boolean]>> = {
  " ": [false, false],
  "▀": [true, false],
  "▄": [false, true],
  "█": [true, true],
};
const FIXED_COLORS: Readonly<Record<string, number>> = { 16: 0, 231: 255 };

/** Draws `text` at the upper left of an empty screen. @throws for a character or a sequence that it does not know */
export function drawTerminal(text: string, theme: Theme): Picture {
  const lines = text.split("\n").map((line) => cellsOf(line, theme));
  const columns = Math.max(...lines.map((line) => line.length)) + 2 * MARGIN;
  const rows = 2 * (lines.length + MARGIN);
  const width = columns * CELL_WIDTH;
  const height = rows * CELL_WIDTH;
  const data = new Uint8ClampedArray(4 * width * height);
  for (let y = 0; y < height; y++) {
    const row = Math.floor(y / CELL_WIDTH) - MARGIN;
    for (let x = 0; x < width; x++) {
      const cell = lines[Math.floor(row / 2)]?.[Math.floor(x / CELL_WIDTH) - MARGIN];
      const grey = cell?.[Math.abs(row % 2)] ?? theme.background;
      data.set([grey, grey, grey, 255], 4 * (y * width + x));
    }
  }
  return { data, width, height };
}

/** For each character the grey of its upper and its lower half. */
function cellsOf(line: string, theme: Theme): [number, number][] {
  const cells: [number, number][] = [];
  let { foreground, background } = theme;
  // deno-lint-ignore no-control-regex
  for (const [token, sequence] of line.matchAll(/\x1b\[([0-9;]*)m|./gu)) {
    if (sequence === undefined) {
      const block = BLOCKS[token];
      if (block === undefined) throw new Error(`Cannot draw ${JSON.stringify(token)}`);
      cells.push([block[0] ? foreground : background, block[1] ? foreground : background]);
      continue;
    }
    if (sequence === "0") ({ foreground, background } = theme);
    else {
      for (const [, ground, color] of sequence.matchAll(/(38|48);5;(\d+)/g)) {
        if (FIXED_COLORS[color] === undefined) throw new Error(`Cannot draw colour ${color}`);
        if (ground === "38") foreground = FIXED_COLORS[color];
        else background = FIXED_COLORS[color];
      }
    }
  }
  return cells;
}
