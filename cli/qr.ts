/** QR codes on a terminal. */

import qrcode from "qrcode-terminal";

/** The code as lines of half blocks. */
export function qrText(text: string): string {
  let drawn = "";
  qrcode.generate(text, { small: true }, (code: string) => drawn = code);
  return drawn;
}
