/**
 * `npm run bench:forms`: what each form of Berth takes on the disk and in memory, and how long it takes from its start
 * to the first connection that it serves, beside HAProxy. With `--write` the table goes into docs/speed.md.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { NODE, nodeFor, type Architecture } from '../deploy/packaging/node.ts';
import { berth, find, haproxy, type Contender } from './contenders.ts';
import { freePorts, listenAnywhere } from './ports.ts';
import { figure } from './report.ts';

const PAGE = join('docs', 'speed.md');
const MARKS = ['<!-- written by npm run bench:forms -- --write -->', '<!-- until here -->'] as const;
const START_DEADLINE_MS = 60_000;
/** What is left of a start then is over. */
const SETTLED_MS = 3_000;
const HELLO = 'hello';

const { values } = parseArgs({ options: { write: { type: 'boolean' }, rounds: { type: 'string', default: '11' } } });

type Form = { readonly contender: Contender; readonly megabytes: number };
type Start = { readonly ms: number; readonly resident: number; readonly own: number };

const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
const architecture = process.arch as Architecture;
const single = join('.build', 'package', `berth-${version}-linux-${architecture}`);
const packed = nodeFor(architecture).executable;
const found = find('haproxy');

/** The modules of the npm package, as they are installed for an operator. */
function modules(): readonly string[] {
  const listed = execFileSync('npm', ['ls', '--omit=dev', '--all', '--parseable'], { encoding: 'utf8' });
  return listed.trim().split('\n').slice(1);
}

function megabytes(...paths: readonly string[]): number {
  const said = execFileSync('du', ['-sbc', ...paths.map((path) => realpathSync(path))], { encoding: 'utf8' });
  return Number(/(\d+)\ttotal/.exec(said)?.[1]) / 1e6;
}

function npm(label: string, node: string): Form {
  const contender = { ...berth({ node, cli: 'dist/cli.js', profileFolder: undefined }), label };
  return { contender, megabytes: megabytes(node, 'dist', ...modules()) };
}

function forms(): Form[] {
  const one = berth({ node: single, cli: 'dist/cli.js', profileFolder: undefined });
  const whole: Contender = {
    label: `single file, deb: Node ${NODE.version}`,
    prepare: (...given) => one.prepare(...given)?.filter((word) => word !== 'dist/cli.js'),
  };
  const own = npm(`npm, with Node ${process.versions.node}`, process.execPath);
  const all = [
    { contender: whole, megabytes: statSync(single).size / 1e6 },
    npm(`npm, with Node ${NODE.version}`, packed),
  ];
  if (process.versions.node !== NODE.version) all.push(own);
  if (!found) return all;
  const other = haproxy(`HAProxy ${found.version}`, found.binary, false);
  const binary = execFileSync('sh', ['-c', 'command -v "$0"', found.binary], { encoding: 'utf8' }).trim();
  return [...all, { contender: other, megabytes: megabytes(binary) }];
}

/** Resolves when a node's word has come through; the balancer is asked again and again from its first moment on. */
async function served(port: number, child: ChildProcess): Promise<void> {
  const deadline = performance.now() + START_DEADLINE_MS;
  while (performance.now() < deadline && child.exitCode === null) {
    const socket = connect({ host: '127.0.0.1', port });
    const [word] = await once(socket, 'data').catch(() => []);
    socket.destroy();
    if (String(word) === HELLO) return;
    await sleep(2);
  }
  throw new Error(`${child.spawnfile} serves nobody`);
}

async function startOf({ contender }: Form, node: number, folder: string): Promise<Start> {
  const [traffic = 0, metrics = 0, admin = 0] = await freePorts(3);
  const [command = '', ...args] = contender.prepare(folder, { traffic, metrics, admin }, [node]) ?? [];
  const started = performance.now();
  const child = spawn(command, args, { stdio: 'ignore' });
  const gone = once(child, 'exit');
  try {
    await served(traffic, child);
    const ms = performance.now() - started;
    await sleep(SETTLED_MS);
    const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
    const kilobytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]);
    return { ms, resident: kilobytes('VmRSS') / 1_000, own: kilobytes('RssAnon') / 1_000 };
  } finally {
    child.kill('SIGKILL');
    await gone;
  }
}

function table(all: readonly Form[], starts: ReadonlyMap<Form, readonly Start[]>): string {
  const line = (form: Form): string => {
    const of = (key: keyof Start): string =>
      figure((starts.get(form) ?? []).map((start) => start[key])).median.toFixed(0);
    const cells = [form.contender.label, form.megabytes.toFixed(0), of('ms'), of('resident'), of('own')];
    return `| ${cells.join(' | ')} |`;
  };
  const head = '| form | MB on disk | ms to an answer | MB resident | MB of its own |\n| --- | --: | --: | --: | --: |';
  return [head, ...all.map(line)].join('\n');
}

const folder = mkdtempSync(join(tmpdir(), 'berth-forms-'));
const server = createServer((socket) => socket.on('error', () => {}).end(HELLO));
try {
  const node = await listenAnywhere(server, 128);
  const all = forms();
  const starts = new Map<Form, Start[]>(all.map((form) => [form, []]));
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const form of all) starts.get(form)?.push(await startOf(form, node, folder));
  }
  const made = table(all, starts);
  console.log(made);
  if (values.write) writePage(made);
} finally {
  server.close();
  rmSync(folder, { recursive: true });
}

function writePage(made: string): void {
  const page = readFileSync(PAGE, 'utf8');
  const [from, to] = MARKS.map((mark) => page.indexOf(mark));
  if (from === undefined || to === undefined || from < 0 || to < from) throw new Error(`${PAGE} has no place for it`);
  const padded = `${page.slice(0, from + MARKS[0].length)}\n\n${made}\n\n${page.slice(to)}`;
  writeFileSync(PAGE, padded);
  execFileSync('npx', ['prettier', '--write', '--log-level', 'warn', PAGE]);
}
