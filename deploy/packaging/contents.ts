/** What stands beside the single file: what it contains, under which licences, and the sums of all files. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bundled } from './bundle.ts';
import { NODE, type Node } from './node.ts';
import { sourceDate } from './source-date.ts';

/** The parts of a CycloneDX file that are changed here. */
type Component = { 'bom-ref': string; type: string; name: string; version: string; [key: string]: unknown };
type Sbom = {
  serialNumber?: string;
  metadata: { timestamp: string; component: Component; [key: string]: unknown };
  components: Component[];
  dependencies: { ref: string; dependsOn: string[] }[];
};

/** Of `process.versions`: interfaces, not parts. */
const NO_PARTS = ['node', 'modules', 'napi'];

/** Packages under the MIT licence without a file of it: the notice is that of their repositories. */
const MIT_HOLDERS: Readonly<Record<string, string>> = { '@redis/client': 'Copyright (c) 2022-2025, Redis, inc.' };

/** The licences of Berth, of Node and of each bundled package, whole. */
export function licenses(bundled: readonly Bundled[], node: Node): string {
  const parts = [
    { name: 'Berth', text: readFileSync('LICENSE', 'utf8') },
    ...bundled.map((one) => ({ name: `${one.name} ${one.version}`, text: licenseOf(one) })),
    { name: `Node.js ${NODE.version}, with what is in it`, text: node.license },
  ];
  return parts.map(({ name, text }) => `${'='.repeat(80)}\n${name}\n${'='.repeat(80)}\n\n${text.trim()}\n`).join('\n');
}

function licenseOf({ folder, name }: Bundled): string {
  const file = readdirSync(folder).find((one) => /^(licen[cs]e|copying)/i.test(one));
  if (file !== undefined) return readFileSync(join(folder, file), 'utf8');
  const { license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { license?: string };
  const holder = MIT_HOLDERS[name];
  if (license !== 'MIT' || holder === undefined) throw new Error(`${folder} has no file of its licence`);
  // Berth's own licence has the same words.
  return readFileSync('LICENSE', 'utf8').replace(/^Copyright .*$/m, holder);
}

/**
 * npm's own bill of materials, in CycloneDX, of the bundled packages alone, and with Node and its parts. npm is not told
 * to leave out what development needs, since it then leaves out what Berth needs as well.
 */
export function sbom(bundled: readonly Bundled[], node: Node): string {
  const said = run('npm', 'sbom', '--sbom-format', 'cyclonedx', '--package-lock-only');
  const { serialNumber: _, ...bom } = JSON.parse(said) as Sbom;
  const versions = JSON.parse(run(node.executable, '-p', 'JSON.stringify(process.versions)')) as Record<string, string>;
  const inside = Object.entries(versions).filter(([name, version]) => version !== '' && !NO_PARTS.includes(name));
  const nodeItself = {
    'bom-ref': `node@${NODE.version}`,
    type: 'platform',
    name: 'node',
    version: NODE.version,
    purl: `pkg:generic/node@${NODE.version}`,
    cpe: `cpe:2.3:a:nodejs:node.js:${NODE.version}:*:*:*:*:*:*:*`,
    components: inside.map(([name, version]) => ({ type: 'library', name, version })),
  };
  const berth = bom.metadata.component;
  const refs = new Set([berth['bom-ref'], ...bundled.map(({ name, version }) => `${name}@${version}`)]);
  const components = bom.components.filter((one) => refs.has(one['bom-ref']));
  const missing = [...refs].filter(
    (ref) => ref !== berth['bom-ref'] && !components.some((one) => one['bom-ref'] === ref),
  );
  if (missing.length > 0) throw new Error(`npm sbom says nothing of ${missing.join(', ')}`);
  const timestamp = new Date(sourceDate() * 1_000).toISOString();
  // npm calls the package as the folder is called that it is in.
  const component = { ...berth, type: 'application', name: 'berth' };
  const dependencies = bom.dependencies
    .filter(({ ref }) => refs.has(ref))
    .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((one) => refs.has(one)) }));
  dependencies.find(({ ref }) => ref === berth['bom-ref'])?.dependsOn.push(nodeItself['bom-ref']);
  components.push(nodeItself);
  const metadata = { ...bom.metadata, timestamp, lifecycles: [{ phase: 'build' }], component };
  return `${JSON.stringify({ ...bom, metadata, components, dependencies }, undefined, 2)}\n`;
}

/** SHA256SUMS of the files in `folder`, for `sha256sum --check`. */
export function writeSums(folder: string): void {
  const names = readdirSync(folder).filter((name) => name !== 'SHA256SUMS');
  const sum = (name: string): string =>
    createHash('sha256')
      .update(readFileSync(join(folder, name)))
      .digest('hex');
  writeFileSync(
    join(folder, 'SHA256SUMS'),
    names
      .toSorted()
      .map((name) => `${sum(name)}  ${name}\n`)
      .join(''),
  );
}

function run(command: string, ...args: readonly string[]): string {
  return execFileSync(command, args, { encoding: 'utf8' });
}
