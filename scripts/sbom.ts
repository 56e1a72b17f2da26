/**
 * The software bill of materials of an executable: what is really in the bundle, as CycloneDX 1.6 JSON.
 *
 * `deno bundle` writes the path of each module in a comment before it; the package, its licence and its hash come from `node_modules`
 * and `deno.lock`. Nothing in it depends on the time or the machine, so the same sources give the same file.
 *
 * Source: https://cyclonedx.org/docs/1.6/json/
 */

const ROOT = new URL("../", import.meta.url);
const MODULE_COMMENT = /^\s*\/\/ (?:.*\/)?node_modules\/((?:@[^/\s]+\/)?[^/\s]+)\/\S+$/gm;

/** A package in the bundle. */
interface Package {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  /** SHA-512 of the published package, hexadecimal. */
  readonly sha512: string;
}

/** What the bill is made for. */
export interface SbomSubject {
  readonly version: string;
  readonly commit: string;
  /** The version of Deno whose runtime is in the executable. */
  readonly deno: string;
}

/**
 * Makes the bill.
 *
 * @param folder holds the bundle
 * @throws where a package of the bundle has no licence, or is not in the lock file
 */
export async function billOfMaterials(folder: string, subject: SbomSubject): Promise<string> {
  const names = await packagesIn(folder);
  if (names.length === 0) throw new Error("Cannot make the bill of materials: the bundle names no package");
  const packages = await Promise.all(names.map(describePackage));
  const { version, commit, deno } = subject;
  const self = `arona@${version}`;
  const runtime = {
    type: "platform",
    "bom-ref": `deno@${deno}`,
    name: "deno",
    version: deno,
    purl: `pkg:github/denoland/deno@v${deno}`,
    licenses: [{ license: { id: "MIT" } }],
  };
  const components = packages.map(({ name, version, license, sha512 }) => ({
    type: "library",
    "bom-ref": `${name}@${version}`,
    name,
    version,
    purl: `pkg:npm/${name.replace("@", "%40")}@${version}`,
    licenses: [licenseChoice(license)],
    hashes: [{ alg: "SHA-512", content: sha512 }],
  }));
  return JSON.stringify(
    {
      $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
      bomFormat: "CycloneDX",
      specVersion: "1.6",
      version: 1,
      metadata: {
        component: {
          type: "application",
          "bom-ref": self,
          name: "arona",
          version,
          licenses: [{ license: { id: "MIT" } }],
          properties: [{ name: "arona:commit", value: commit }],
        },
      },
      components: [runtime, ...components],
      dependencies: [{ ref: self, dependsOn: [runtime, ...components].map((one) => one["bom-ref"]) }],
    },
    null,
    2,
  ) + "\n";
}

/** Names of the packages whose modules are in the bundle, in order. */
async function packagesIn(folder: string): Promise<string[]> {
  const names = new Set<string>();
  for await (const { name } of Deno.readDir(folder)) {
    if (!name.endsWith(".js")) continue;
    const text = await Deno.readTextFile(`${folder}/${name}`);
    for (const [, found] of text.matchAll(MODULE_COMMENT)) names.add(found);
  }
  return [...names].sort();
}

/** An SPDX identifier, an SPDX expression, or a name that a person has to read. */
function licenseChoice(license: string): Record<string, unknown> {
  if (/^[A-Za-z0-9.+-]+$/.test(license)) return { license: { id: license } };
  return / (OR|AND|WITH) /.test(license) ? { expression: license } : { license: { name: license } };
}

async function describePackage(name: string): Promise<Package> {
  const manifest = JSON.parse(await Deno.readTextFile(new URL(`node_modules/${name}/package.json`, ROOT)));
  const { version } = manifest;
  const license = manifest.license ?? manifest.licenses?.[0]?.type; // the second is how old packages say it
  const lock = JSON.parse(await Deno.readTextFile(new URL("deno.lock", ROOT)));
  // A package that depends on its peers has their versions behind its own.
  const key = Object.keys(lock.npm).find((key) =>
    key === `${name}@${version}` || key.startsWith(`${name}@${version}_`)
  );
  const integrity: string | undefined = key && lock.npm[key].integrity;
  if (typeof license !== "string") throw new Error(`Cannot list ${name}@${version}: it names no licence`);
  if (!integrity?.startsWith("sha512-")) {
    throw new Error(`Cannot list ${name}@${version}: it is not in the lock file`);
  }
  const digest = Uint8Array.from(atob(integrity.slice("sha512-".length)), (byte) => byte.charCodeAt(0));
  const sha512 = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return { name, version, license, sha512 };
}
