/** A Crypto provider without chance: the same seed gives the same keys and signatures, so a corpus is the same in every run. */

import { type CryptoProvider, KEM_SIZES, ML_DSA_SEED_BYTES, selectProvider } from "../../proto/mod.ts";
import { createNobleProvider } from "../../proto/crypto/noble.ts";
import { Random } from "./prng.ts";

/** The provider of this runtime, for everything that runs on an input. */
export const provider: CryptoProvider = await selectProvider();

/** noble with all its randomness from `seed`. */
export function seededProvider(seed: string): CryptoProvider {
  const noble = createNobleProvider();
  const random = new Random(seed);
  return {
    ...noble,
    randomBytes: (length) => random.bytes(length),
    kemKeyPair: (kem, fixed) => noble.kemKeyPair(kem, fixed ?? random.bytes(KEM_SIZES[kem].seed)),
    encapsulate: (kem, publicKey, fixed) =>
      noble.encapsulate(kem, publicKey, fixed ?? random.bytes(KEM_SIZES[kem].encapsulationSeed)),
    signatureKeyPair: (algorithm, fixed) =>
      noble.signatureKeyPair(algorithm, fixed ?? random.bytes(ML_DSA_SEED_BYTES)),
    sign: (algorithm, privateKey, message) =>
      noble.sign(algorithm, privateKey, message, { deterministic: true }),
  };
}
