import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, normalize } from 'node:path';
import { rootCertificates } from 'node:tls';
import { test, type TestContext } from 'node:test';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config/load.ts';
import { formatProblem } from '../../src/config/locate.ts';
import { STANDARD_ADMIN } from '../../src/config/schema.ts';
import { CATALOG } from '../../src/doctor/catalog.ts';
import { NODE_SHARES_PORTS } from '../support/able.ts';
import { ALERTS, alerts } from '../support/alerts-page.ts';
import { anchorsOf, callsOf, linksOf, PAGES, readPage } from '../support/pages.ts';
import { COMMANDS_PAGE, commandsPage } from '../support/commands-page.ts';
import { DIRECTIVES, directives } from '../support/directives.ts';
import { EVENTS_PAGE, eventsPage } from '../support/events-page.ts';
import { REFERENCE, reference } from '../support/reference.ts';

const { bin } = JSON.parse(readFileSync('package.json', 'utf8')) as { bin: { berth: string } };
const pages = new Map(PAGES.map((file) => [file, readPage(file)]));

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'berth-pages-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

test('the README is short: at most 12,000 bytes', () => {
  assert.ok(statSync('README.md').size <= 12_000, `${statSync('README.md').size} bytes`);
});

test('docs/reference.md is what the schema says (npm run reference)', async () => {
  assert.equal(readFileSync(REFERENCE, 'utf8'), await reference());
});

test('docs/haproxy-directives.md is what the tables of the import say (npm run reference)', async () => {
  assert.equal(readFileSync(DIRECTIVES, 'utf8'), await directives());
});

test('docs/commands.md is what the command table says (npm run reference)', async () => {
  assert.equal(readFileSync(COMMANDS_PAGE, 'utf8'), await commandsPage());
});

test('docs/events.md is what the table of events says (npm run reference)', async () => {
  assert.equal(readFileSync(EVENTS_PAGE, 'utf8'), await eventsPage());
});

test('docs/alerts.md is what the alert rules say (npm run reference)', async () => {
  assert.equal(readFileSync(ALERTS, 'utf8'), await alerts());
});

test('a line of a page has at most 120 characters, where it is no output of a program', () => {
  for (const [file, { prose }] of pages) {
    const long = prose.split('\n').filter((line) => line.length > 120);
    assert.deepEqual(long, [], file);
  }
});

type Tree = Record<string, unknown>;
const isTree = (value: unknown): value is Tree => typeof value === 'object' && value !== null && !Array.isArray(value);

/** What a sample that shows a part of a file leaves out. */
const AROUND: Tree = {
  frontends: { https_frontend: { bind: '*:443', backend: 'docker_registry' } },
  backends: { docker_registry: { servers: { s1: 'docker_registry_server1:5000' } } },
};

function laidOver(below: Tree, above: Tree): Tree {
  const merged = Object.entries(above).map(([key, value]) => {
    const under = below[key];
    return [key, isTree(under) && isTree(value) ? laidOver(under, value) : value] as const;
  });
  return { ...below, ...Object.fromEntries(merged) };
}

test('every balancer.yml in the pages loads, and a part of a file loads where it belongs', (t) => {
  const folder = folderFor(t);
  writeFileSync(join(folder, 'ca.crt'), rootCertificates[0] ?? '');
  for (const whose of ['probe', 'doctor', 'redis', 'sentinel']) {
    writeFileSync(join(folder, `${whose}-password`), 'of berth\n');
  }
  writeFileSync(join(folder, 'blocked'), '198.51.100.0/24 # until May\n');
  let samples = 0;
  for (const [page, { blocks }] of pages) {
    for (const { info, text } of blocks) {
      if (info !== 'yaml') continue;
      samples++;
      const file = join(folder, `${samples}.yml`);
      const sample = parse(text.replaceAll('/etc/berth/', `${folder}/`), { merge: true }) as Tree;
      writeFileSync(file, JSON.stringify(laidOver(AROUND, sample)));
      const loaded = loadConfig(file);
      const problems = loaded.kind === 'config' ? [] : loaded.problems;
      // A Node that shares no port says so of a sample that is right elsewhere.
      const wrong = problems.filter(({ path }) => NODE_SHARES_PORTS || !path.endsWith('.reusePort'));
      assert.deepEqual(wrong, [], `${page}\n${text}`);
    }
  }
  assert.ok(samples >= 5, `${samples} samples`);
});

test('a file that a page calls wrong has the problems that stand below it', (t) => {
  let wrong = 0;
  for (const { blocks } of pages.values()) {
    for (const [i, { info, text }] of blocks.entries()) {
      const [, name] = /^yaml (\S+)$/.exec(info) ?? [];
      if (name === undefined) continue;
      wrong++;
      const file = join(folderFor(t), name);
      writeFileSync(file, text);
      const loaded = loadConfig(file);
      const problems = loaded.kind === 'problems' ? loaded.problems : [];
      const said = problems.map((problem) => `${formatProblem({ ...problem, file: name })}\n`).join('');
      assert.equal(blocks[i + 1]?.text, said);
    }
  }
  assert.ok(wrong > 0);
});

test('every link in the pages leads to a file and to a heading that are there', () => {
  const broken: string[] = [];
  for (const [page, content] of pages) {
    for (const link of linksOf(content)) {
      const [path = '', anchor] = link.split('#');
      const file = path === '' ? page : normalize(join(dirname(page), path));
      const target = pages.get(file);
      const there = target ? anchor === undefined || anchorsOf(target).includes(anchor) : existsSync(file) && !anchor;
      if (!there) broken.push(`${page}: ${link}`);
    }
  }
  assert.deepEqual(broken, []);
});

test('every page that a comment in deploy/ names is there, with its heading', () => {
  const names: string[] = [];
  // Not below: an operator's secrets and the storage of the nodes may be there.
  for (const folder of ['deploy', 'deploy/berth', 'deploy/kubernetes']) {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const text = readFileSync(join(folder, entry.name), 'utf8');
      for (const [name] of text.matchAll(/\b(?:docs\/)?[\w-]+\.md(?:#[\w-]+)?/g)) names.push(name);
    }
  }
  assert.ok(names.length > 0);
  for (const name of names) {
    const [file = '', anchor] = name.split('#');
    const page = pages.get(file);
    assert.ok(page && (anchor === undefined || anchorsOf(page).includes(anchor)), name);
  }
});

test('every call of berth in the pages has a command and options that berth has', () => {
  const calls = [...pages].flatMap(([page, content]) => callsOf(content).map((call) => ({ page, ...call })));
  const help = (...args: string[]): string =>
    execFileSync(process.execPath, [bin.berth, ...args], { encoding: 'utf8' });
  const commands = [...help('--help').matchAll(/^ {2}([a-z]+) /gm)].map(([, command]) => command);
  const options = new Map<string, Set<string>>();
  for (const { page, program, command, options: given } of calls) {
    assert.ok(program === 'berth' || program === `node ${bin.berth}`, `${page}: ${program}`);
    if (command.startsWith('--')) {
      assert.ok(help('--help').includes(` ${command} `), `${page}: berth ${command}`);
      continue;
    }
    assert.ok(commands.includes(command), `${page}: berth ${command}`);
    const known = options.get(command) ?? new Set(help(command, '--help').match(/(?<= )--?[a-z-]+/g));
    options.set(command, known);
    for (const option of given) assert.ok(known.has(option), `${page}: berth ${command} ${option}`);
  }
  assert.ok(calls.length > 20, `${calls.length} calls`);
});

test('docs/doctor.md names every code of the doctor, and the words of its sample are those of the doctor', () => {
  const { prose, blocks } = pages.get('docs/doctor.md') ?? { prose: '', blocks: [] };
  const absent = Object.keys(CATALOG).filter((code) => !prose.includes(`\`${code}\``));
  assert.deepEqual(absent, []);
  const sample = blocks.find(({ text }) => text.startsWith('FAIL SECRET_DIFFERS'))?.text ?? '';
  assert.ok(sample.includes(`  users: ${CATALOG.SECRET_DIFFERS.users}\n`));
  assert.ok(sample.includes(`  mend:  ${CATALOG.SECRET_DIFFERS.mend}\n`));
});

test('the shipped balancer.yml is valid, and changes nothing but what it says is not the default', (t) => {
  assert.equal(execFileSync('node', [bin.berth, 'check'], { encoding: 'utf8' }).includes('is valid'), true);
  const full = loadConfig('balancer.yml');
  const file = join(folderFor(t), 'balancer.yml');
  writeFileSync(
    file,
    'frontends: { https_frontend: { bind: "*:443", backend: docker_registry, waitForClient: true } }\n' +
      'backends:\n  docker_registry:\n    healthCheck: { type: registry, tls: true }\n' +
      '    servers: { s1: "docker_registry_server1:5000", s2: "docker_registry_server2:5000" }\n',
  );
  const short = loadConfig(file);
  if (full.kind !== 'config' || short.kind !== 'config') throw new TypeError('not valid');
  // Only written out is the admin address asked for; left out, it is done without where it is taken.
  assert.deepEqual(full.config, { ...short.config, admin: STANDARD_ADMIN });
});
