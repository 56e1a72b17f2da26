/** Chooses the Crypto provider: native where the runtime has every primitive, noble anywhere else. */

import { equalBytes } from "../bytes.ts";
import { createNativeProvider } from "./native.ts";
import type { CryptoProvider } from "./provider.ts";

let selected: Promise<CryptoProvider> | undefined;

/** The best provider of this runtime. Found out once by doing one operation of each kind. */
export function selectProvider(): Promise<CryptoProvider> {
  selected ??= probe(createNativeProvider()).then((works) =>
    works ? createNativeProvider() : loadNobleProvider()
  );
  return selected;
}

/** The noble provider. Loaded when first needed: it takes longer to load than the rest of this folder. */
export async function loadNobleProvider(): Promise<CryptoProvider> {
  return (await import("./noble.ts")).createNobleProvider();
}

/** Whether every primitive of `provider` works in this runtime. */
export async function probe(provider: CryptoProvider): Promise<boolean> {
  try {
    for (const kem of ["ML-KEM-768", "X-Wing"] as const) {
      const { publicKey, privateKey } = await provider.kemKeyPair(kem);
      const { ciphertext, sharedSecret } = await provider.encapsulate(kem, publicKey);
      if (!equalBytes(await provider.decapsulate(kem, privateKey, ciphertext), sharedSecret)) return false;
    }
    const message = Uint8Array.of(1, 2, 3);
    for (const algorithm of ["ML-DSA-44", "ML-DSA-65"] as const) {
      const { publicKey, privateKey } = await provider.signatureKeyPair(algorithm);
      const signature = await provider.sign(algorithm, privateKey, message);
      if (!await provider.verify(algorithm, publicKey, message, signature)) return false;
    }
    const key = provider.hkdfExpand("SHA-384", provider.digest("SHA-256", message), message, 32);
    const nonce = new Uint8Array(12);
    for (const aead of ["ChaCha20-Poly1305", "AES-256-GCM"] as const) {
      const sealed = provider.seal(aead, key, nonce, message, message);
      const opened = provider.open(aead, key, nonce, message, sealed);
      if (opened === null || !equalBytes(opened, message)) return false;
    }
    return true;
  } catch {
    return false; // a primitive that the runtime lacks throws in a runtime's own way
  }
}
