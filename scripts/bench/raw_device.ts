/** A device without MLS: logs in, submits opaque envelopes, counts what it is delivered. What it costs is the relay alone. */

import {
  connectSecure,
  connectTcp,
  createAuth,
  type CryptoProvider,
  decodeAccepted,
  decodeControl,
  type DeviceCertificate,
  type DeviceId,
  type DiscoveryDocument,
  encodeControl,
  encodeDelivered,
  encodeSubmission,
  FrameType,
  fromHex,
  type GroupId,
  issueCertificate,
  ObjectAssembler,
  parseAccountName,
  type SecureConnection,
  SignatureAlgorithm,
  systemClock,
  toHex,
} from "../../proto/mod.ts";

const ACK_EVERY = 32;

/** Keys and names of a device. */
export interface RawIdentity {
  readonly account: ReturnType<typeof parseAccountName>;
  readonly device: DeviceId;
  readonly identityKey: Uint8Array;
  readonly certificate: DeviceCertificate;
  readonly publicKey: Uint8Array;
  readonly privateKey: Uint8Array;
}

/** Makes an identity with one device. */
export async function makeRawIdentity(crypto: CryptoProvider, name: string): Promise<RawIdentity> {
  const identity = await crypto.signatureKeyPair("ML-DSA-65");
  const key = await crypto.signatureKeyPair("ML-DSA-44");
  const account = parseAccountName(name);
  const device = toHex(crypto.randomBytes(16)) as DeviceId;
  const nowMs = Date.now();
  const certificate = await issueCertificate(crypto, {
    identity,
    deviceKey: key.publicKey,
    algorithm: SignatureAlgorithm.ML_DSA_44,
    account,
    device,
    notBeforeMs: nowMs - 86_400_000,
    notAfterMs: nowMs + 86_400_000,
  });
  return { account, device, identityKey: identity.publicKey, certificate, ...key };
}

/** One connected device. */
export class RawDevice {
  delivered = 0;
  accepted = 0;
  refused = 0;
  /** Called for each delivery. */
  onDelivery: () => void = () => {};
  onAnswer: () => void = () => {};
  /** While true nothing is read: what arrives stays in the kernel's buffers and costs this process nothing. */
  paused = false;
  #resume: () => void = () => {};
  #request = 1;
  #next: number;
  #acknowledged: number;

  private constructor(
    readonly connection: SecureConnection,
    private readonly crypto: CryptoProvider,
    next: number,
  ) {
    this.#next = this.#acknowledged = next;
  }

  static async login(
    crypto: CryptoProvider,
    identity: RawIdentity,
    options: { hostname: string; port: number; document: DiscoveryDocument },
  ): Promise<RawDevice> {
    const transport = await connectTcp(options);
    const connection = await connectSecure({
      transport,
      crypto,
      clock: systemClock,
      document: options.document,
    });
    const { blobs } = await createAuth(crypto, {
      connection,
      account: identity.account,
      certificate: identity.certificate,
      devicePublicKey: identity.publicKey,
      devicePrivateKey: identity.privateKey,
    });
    connection.queue(...encodeControl(FrameType.AUTH, { id: 1, account: identity.account }, { blobs }));
    const frames = await connection.receive();
    const answer = frames?.[0];
    if (answer?.type !== FrameType.AUTH_OK) throw new Error("Cannot measure: the relay refused a login");
    connection.authenticated();
    const { fields } = decodeControl(answer.body, new ObjectAssembler());
    const device = new RawDevice(connection, crypto, Number(fields.next));
    void device.#read();
    return device;
  }

  /** Submits an envelope of `bytes` bytes. */
  submit(group: GroupId, options: { epoch: number; bytes: number }): void {
    this.connection.queue(encodeSubmission({
      request: this.#request++,
      flags: 0,
      group: fromHex(group),
      epoch: options.epoch,
      envelope: this.crypto.randomBytes(16),
      ciphertext: new Uint8Array(options.bytes),
    }));
  }

  /** Reads again. */
  resume(): void {
    this.paused = false;
    this.#resume();
  }

  async #read(): Promise<void> {
    try {
      for (;;) {
        if (this.paused) await new Promise<void>((wake) => this.#resume = wake);
        const frames = await this.connection.receive();
        if (frames === null) return;
        for (const frame of frames) {
          if (frame.type === FrameType.MSG) {
            this.delivered++;
            this.#next++;
            this.onDelivery();
          } else if (frame.type === FrameType.ACK) {
            this.accepted += decodeAccepted(frame.body).full === 0 ? 1 : 0;
            this.onAnswer();
          } else if (frame.type === FrameType.ERROR) {
            this.refused++;
            this.onAnswer();
          }
        }
        if (this.#next - this.#acknowledged >= ACK_EVERY) {
          this.#acknowledged = this.#next;
          this.connection.queue(encodeDelivered(this.#next));
        }
      }
    } catch {
      // the measurement has ended
    }
  }
}
