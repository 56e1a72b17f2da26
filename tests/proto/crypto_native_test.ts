/** The Crypto provider suite on the native provider, where the runtime has what it needs. */

import { createNativeProvider, nativeX25519 } from "../../proto/crypto/native.ts";
import { probe } from "../../proto/crypto/select.ts";
import { cryptoSuite } from "../suites/crypto_suite.ts";

const provider = createNativeProvider();

if (await probe(provider)) {
  cryptoSuite({ provider, x25519: nativeX25519, derandomised: false });
} else {
  Deno.test({
    name: "native provider (skipped: this runtime has no native ML-KEM and ML-DSA)",
    ignore: true,
    fn() {},
  });
}
