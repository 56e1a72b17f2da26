/** The Crypto provider suite on the noble provider. */

import { createNobleProvider, nobleX25519 } from "../../proto/crypto/noble.ts";
import { cryptoSuite } from "../suites/crypto_suite.ts";

cryptoSuite({ provider: createNobleProvider(), x25519: nobleX25519, derandomised: true });
