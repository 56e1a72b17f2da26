/** Targets of MLS: what is refused changes nothing, however well it is signed and sealed. */

import assert from "node:assert/strict";
import { contentTypes, decode, type LeafNode, mlsMessageDecoder, wireformats } from "ts-mls";
import { AronaError, concatBytes, equalBytes } from "../../proto/mod.ts";
import type { Occupant } from "../../client/groups/credential.ts";
import {
  joinStatements,
  makeLeaveStatement,
  makeReturnStatement,
  readStatements,
} from "../../client/groups/statements.ts";
import { checkMemberCommit, parseExternalCommit } from "../../server/mls_framing.ts";
import { boundedAllocation } from "./allocation.ts";
import { type FixedGroup, fixedGroup, freshSeat, type Seat } from "./fixture.ts";
import {
  forgeCommit,
  forgeMessage,
  groupContextBytes,
  openWelcome,
  resignExternalCommit,
  resignGroupInfo,
  resignKeyPackage,
  SIGNATURE_FIELD_BYTES,
  splitExternalCommit,
} from "./mls_forge.ts";
import { mutate } from "./mutate.ts";
import type { Random } from "./prng.ts";
import type { FuzzSubject, FuzzTarget } from "./runner.ts";
import { provider, seededProvider } from "./seeded_crypto.ts";

const SUITE = 0x0052;
const RAW = 0;
/** GroupSecrets without and with a path secret. */
const SECRETS_BYTES = [51, 100];

/** An input's first byte says what is done to the rest before it is handed in; 0 is nothing. */
function prefixed(how: number, bytes: Uint8Array): Uint8Array {
  return concatBytes(Uint8Array.of(how), bytes);
}

/** Changes one of the inputs, and keeps what is done with it. */
function mutatePrefixed(random: Random, inputs: readonly Uint8Array[]): Uint8Array {
  const chosen = random.pick(inputs);
  const alike = inputs.filter(([how]) => how === chosen[0]).map((input) => input.subarray(1));
  return prefixed(chosen[0], mutate(random, alike));
}

function target(
  name: string,
  what: string,
  options: {
    cost: number;
    /** Valid inputs. */
    inputs: (fixed: FixedGroup) => readonly Uint8Array[] | Promise<readonly Uint8Array[]>;
    /** Inputs that are not valid as they are, but worth changing. @default none */
    more?: (fixed: FixedGroup) => readonly Uint8Array[] | Promise<readonly Uint8Array[]>;
    run: (fixed: FixedGroup, how: number, bytes: Uint8Array) => Promise<void>;
  },
): FuzzTarget {
  return {
    name,
    what,
    cost: options.cost,
    async open(): Promise<FuzzSubject> {
      const fixed = await fixedGroup();
      const corpus = await options.inputs(fixed);
      const inputs = [...corpus, ...await options.more?.(fixed) ?? []];
      return {
        corpus,
        generate: (random) => mutatePrefixed(random, inputs),
        run: (input) => options.run(fixed, input[0] ?? RAW, input.subarray(1)),
      };
    },
  };
}

/** What fails leaves the state's bytes as they were; a valid message opens afterwards. */
async function withUnchanged(
  seat: Seat,
  action: () => Promise<unknown>,
): Promise<void> {
  const { engine } = seat.peer;
  const before = engine.encode(seat.group).slice();
  try {
    await action();
  } catch (error) {
    if (!(error instanceof AronaError)) throw error;
    assert.ok(equalBytes(engine.encode(seat.group), before), "a refused message has changed the state");
    const { message } = await fixedGroup();
    const { plaintext } = await engine.decrypt(seat.group, message);
    assert.deepEqual([...plaintext], [1, 2, 3]);
    throw error;
  }
}

const keyPackage = target("key-package", "KeyPackages, changed or signed after the change", {
  cost: 10,
  inputs: ({ keyPackages }) =>
    [0, 1].flatMap((how) => keyPackages.map((pair) => prefixed(how, pair.publicBytes))),
  async run({ members: [anna], outsider }, how, bytes) {
    const keyPackage = how === RAW ? bytes : await resignKeyPackage(bytes, outsider);
    const owner = await anna.peer.engine.inspectKeyPackage(keyPackage, { suite: SUITE });
    assert.equal(owner.account, "dora");
  },
});

const welcome = target(
  "welcome",
  "Welcomes, changed outside (0), in the sealed secrets (1), in the GroupInfo (2), behind it (3)",
  {
    cost: 40,
    async inputs({ welcome: { bytes, pair } }) {
      const { secrets, info } = await openWelcome(bytes, pair);
      return [prefixed(RAW, bytes), prefixed(1, secrets), prefixed(2, info), prefixed(3, new Uint8Array())];
    },
    async run({ members: [anna, , carl], welcome: { bytes: valid, pair }, id }, how, bytes) {
      let welcome = bytes;
      if (how !== RAW) {
        const opened = await openWelcome(valid, pair);
        welcome = await opened.seal({
          signer: anna.peer,
          ...(how === 1 ? { secrets: bytes } : how === 2 ? { info: bytes } : { tail: bytes }),
        });
      }
      const { engine, device } = carl.peer;
      const { group } = await engine.joinFromWelcome(device, {
        welcome,
        keyPackages: [pair],
        expect: { group: id },
      });
      assert.equal(group.self.device, device.device);
      assert.ok(how !== 1 || SECRETS_BYTES.includes(bytes.length), "bytes after the secrets were accepted");
      assert.ok(how !== 3 || bytes.length === 0, "bytes after the GroupInfo were accepted");
      engine.decode(engine.encode(group));
    },
  },
);

const groupInfo = target("group-info", "GroupInfos, changed or signed after the change", {
  cost: 40,
  inputs: ({ groupInfo }) => [
    prefixed(RAW, groupInfo),
    prefixed(1, groupInfo.subarray(0, groupInfo.length - SIGNATURE_FIELD_BYTES)),
  ],
  async run({ outsider: { engine, device }, members: [anna], id }, how, bytes) {
    const groupInfo = how === RAW ? bytes : await resignGroupInfo(bytes, anna.peer);
    const { next } = await engine.joinFromGroupInfo(device, { groupInfo, expect: { group: id } });
    assert.equal(next.id, id);
    engine.decode(engine.encode(next));
  },
});

const commit = target(
  "commit",
  "members' commits, changed outside (0) or signed and sealed around any content (1)",
  {
    cost: 40,
    inputs: ({ commits }) => commits.map((commit) => prefixed(RAW, commit)),
    more: ({ commitContents }) => commitContents.map((content) => prefixed(1, content)),
    async run({ members: [anna, bert] }, how, bytes) {
      const commit = how === RAW ? bytes : await forgeCommit(anna.peer, anna.group, bytes);
      await process(bert, commit);
    },
  },
);

const externalCommit = target("external-commit", "commits from outside, changed or signed after the change", {
  cost: 30,
  inputs: ({ externalCommit }) => [prefixed(RAW, externalCommit)],
  more: ({ externalCommit }) => [prefixed(1, splitExternalCommit(externalCommit).head)],
  async run({ members: [, bert], outsider, externalCommit }, how, bytes) {
    const { tag } = splitExternalCommit(externalCommit);
    const context = groupContextBytes(bert.peer, bert.group);
    const commit = how === RAW ? bytes : await resignExternalCommit(bytes, { peer: outsider, context, tag });
    await process(bert, commit);
  },
});

async function process(member: Seat, commit: Uint8Array): Promise<void> {
  const seat = freshSeat(member);
  await withUnchanged(seat, async () => {
    const { engine } = seat.peer;
    const { next, summary } = await engine.process(seat.group, commit);
    assert.ok(summary.selfRemoved || next.epoch === seat.group.epoch + 1);
    assert.ok(next.members.length > 0);
    engine.decode(engine.encode(next));
  });
}

const message = target(
  "message",
  "application messages, changed outside (0) or sealed around any content (1)",
  {
    cost: 15,
    inputs: ({ message }) => [prefixed(RAW, message)],
    more: ({ messageContent }) => [prefixed(1, messageContent)],
    async run({ members: [anna, bert] }, how, bytes) {
      const seat = freshSeat(bert);
      const ciphertext = how === RAW ? bytes : await forgeMessage(anna.peer, anna.group, bytes);
      await withUnchanged(seat, async () => {
        const { next, sender } = await seat.peer.engine.decrypt(seat.group, ciphertext);
        assert.equal(sender.account, "anna");
        seat.peer.engine.decode(seat.peer.engine.encode(next));
      });
    },
  },
);

const framing: FuzzTarget = {
  name: "mls-framing",
  what: "commits as the relay reads them: where members can read one too, both see the same leaf",
  open: async () => {
    const { id, members: [anna], commits, externalCommit } = await fixedGroup();
    const place = { group: id, epoch: anna.group.epoch };
    return {
      corpus: [externalCommit, ...commits],
      run(input) {
        const isExternal = input[3] === wireformats.mls_public_message;
        if (!isExternal) return boundedAllocation(input.length, () => checkMemberCommit(input, place));
        const leaf = boundedAllocation(input.length, () => parseExternalCommit(input, place));
        const known = pathLeaf(input);
        if (known === null) return;
        assert.ok(equalBytes(leaf.signatureKey, known.signaturePublicKey), "another signature key");
        assert.deepEqual(known.credential, { credentialType: 1, identity: leaf.identity });
      },
    };
  },
};

/** The leaf in a commit from outside, where the library reads one. */
function pathLeaf(bytes: Uint8Array): LeafNode | null {
  try {
    const message = decode(mlsMessageDecoder, bytes);
    if (message?.wireformat !== wireformats.mls_public_message) return null;
    const { content } = message.publicMessage;
    return content.contentType === contentTypes.commit ? content.commit.path?.leafNode ?? null : null;
  } catch {
    return null;
  }
}

const statements: FuzzTarget = {
  name: "statements",
  what: "statements of devices, as a commit carries them",
  cost: 2,
  async open() {
    const { id, members } = await fixedGroup();
    const crypto = seededProvider("leave");
    const leavers: Occupant[] = [];
    const made: Uint8Array[] = [];
    for (const { peer: { device }, group } of members) {
      const { publicKey, privateKey, certificate } = device.keys[SUITE];
      const { leaf, account, fingerprint } = group.self;
      const encryptionKey = new Uint8Array(1_216).fill(leaf);
      leavers.push({
        ...{ leaf, account, fingerprint, certificate, encryptionKey },
        device: device.device,
        signatureKey: publicKey,
      });
      const occupant = leavers[leavers.length - 1];
      made.push(await makeLeaveStatement(crypto, { suite: SUITE, group: id, occupant, privateKey }));
    }
    const back = await makeReturnStatement(crypto, members[1].peer.device, {
      suite: SUITE,
      group: id,
      epoch: 7,
      keyPackage: new Uint8Array(9),
    });
    return {
      corpus: [joinStatements([made[0]]), joinStatements(made), joinStatements([back]), new Uint8Array()],
      async run(authenticatedData) {
        const found = await readStatements(provider, {
          suite: SUITE,
          group: id,
          epoch: 9,
          removed: leavers,
          authenticatedData,
        });
        const leaves = [...found.leavers, ...found.returns.keys()];
        assert.ok(leaves.length <= authenticatedData.length / made[0].length);
        for (const leaf of leaves) assert.ok(leavers.some((one) => one.leaf === leaf));
      },
    };
  },
};

/** Targets in the order of a member's life in a group. */
export const mlsTargets: readonly FuzzTarget[] = [
  keyPackage,
  welcome,
  groupInfo,
  externalCommit,
  commit,
  message,
  statements,
  framing,
];
