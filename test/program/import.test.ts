/** `berth import`: its exit codes and files; and that its results do as HAProxy and nginx do. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { parse } from 'yaml';
import { importHaproxy } from '../../src/import/haproxy.ts';
import { importNginx } from '../../src/import/nginx.ts';
import { BERTH, start } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { AROUND, specimens, type Specimen } from '../support/corpus.ts';
import { folderOf } from '../support/files.ts';
import { NO_HAPROXY, runHaproxy } from '../support/haproxy.ts';
import { helloMessage, records, serverName } from '../support/hellos.ts';
import { NO_NGINX_STREAM, runNginxStream } from '../support/nginx.ts';
import { places } from '../support/people.ts';
import { openWorkspace } from '../support/processes.ts';
import { echoes, serve, type TestServer } from '../support/servers.ts';
import { type Settings } from '../support/settings.ts';
import { stageHaproxy } from '../support/stage.ts';
import { within } from '../support/waiting.ts';

const folder = folderOf();

type Ran = { readonly status: number | null; readonly stdout: string; readonly stderr: string };

function run(...args: string[]): Ran {
  const [program, ...rest] = [...BERTH, ...args];
  return spawnSync(program, rest, { cwd: folder, encoding: 'utf8', timeout: 30_000, maxBuffer: 16 << 20 });
}

const runImport = (...args: string[]): Ran => run('import', ...args);

function named(name: string, content: string | Uint8Array): string {
  writeFileSync(join(folder, name), content);
  return name;
}

const GOOD = 'listen registry\n  bind *:443\n  server s1 10.0.0.1:5000 check\n';

test('all carried is exit 0, with the file on standard output and the report on standard error', () => {
  const { status, stdout, stderr } = runImport(named('good.cfg', GOOD));
  assert.equal(status, 0);
  assert.ok(stdout.includes('s1: 10.0.0.1:5000 # line 3\n'));
  assert.match(stderr, /^good\.cfg:2: carried: bind \*:443: /m);
  writeFileSync(join(folder, 'balancer.yml'), stdout);
  assert.equal(run('check').status, 0);
});

test('a word that cannot be carried is exit 1, and stands in the report, in its page and in the file', () => {
  const { status, stdout, stderr } = runImport(named('some.cfg', `${GOOD}  balance first\n`), '--report', 'report.md');
  assert.equal(status, 1);
  for (const text of [stdout, stderr, readFileSync(join(folder, 'report.md'), 'utf8')]) {
    assert.match(text, /balance first/);
    assert.match(text, /roundrobin stands in its place/);
  }
  assert.match(stderr, /^some\.cfg:4: NOT CARRIED: balance first: /m);
});

test('a file of which nothing can be made is exit 2, without a balancer.yml', () => {
  const table: [string, RegExp][] = [
    ['not-there.cfg', /^berth: cannot read not-there\.cfg: /],
    [named('bytes.cfg', Buffer.from([0xff, 0xfe, 0x00])), /^berth: cannot read bytes\.cfg: it is not UTF-8 text$/],
    [named('quote.cfg', `${GOOD}  balance "x\n`), /^quote\.cfg:4: the quote " is not closed$/m],
    [named('empty.cfg', ''), /^empty\.cfg:1: no section begins here/m],
    [named('http.cfg', `defaults\n  mode http\n${GOOD}`), /^http\.cfg:3: NOT CARRIED: listen registry: in http mode/m],
  ];
  for (const [file, wanted] of table) {
    const { status, stdout, stderr } = runImport(file);
    assert.equal(status, 2, file);
    assert.equal(stdout, '');
    assert.match(stderr.trimEnd(), wanted);
    assert.equal(stderr.includes('    at '), false, 'a stack trace');
  }
});

test('a file larger than any that a person keeps is exit 2, with one line that says how large', () => {
  const table: [string, RegExp][] = [
    ['/dev/zero', /^berth: cannot read \/dev\/zero: it is larger than 512 KiB$/],
    [named('large.cfg', '#\n'.repeat(300_000)), /^berth: cannot read large\.cfg: it is larger than 512 KiB$/],
    [
      named('lines.cfg', `${GOOD}${'#x\n mode tcp\n'.repeat(10_000)}`),
      /^lines\.cfg:19999: there are more than 10000 lines$/,
    ],
    [
      named('ports.cfg', `${GOOD}${' bind 127.0.0.1:1-64\n bind 127.0.0.2:1-64\n'.repeat(100)}`),
      /^ports\.cfg:160: up to here the file comes to more than 200000 settings, ports and entries of lists, .*$/,
    ],
    [
      named('lines.conf', `stream { ${'a b;\n'.repeat(20_000)} }`),
      /^lines\.conf:10000: there are more than 10000 directives$/,
    ],
    [
      named('any.txt', 'So many words,\nand no section.\n'),
      /^any\.txt:1: no section begins here, such as `frontend` or `listen`: no haproxy\.cfg$/,
    ],
  ];
  for (const [file, wanted] of table) {
    const { status, stdout, stderr } = runImport(file);
    assert.equal(status, 2, file);
    assert.equal(stdout, '');
    assert.match(stderr.trimEnd(), wanted);
  }
});

test('the largest file that is read, of the costliest lines, ends soon', () => {
  const options = 'check inter 2s rise 3 fall 4 weight 7 maxconn 9 send-proxy slowstart 3s';
  const lines = Array.from({ length: 4_500 }, (_, i) => `  server x${i} 10.0.${i >> 8}.${i & 255}:80 ${options}\n`);
  const began = performance.now();
  const { status, stdout } = runImport(named('largest.cfg', GOOD + lines.join('')));
  // A tenth of it on a machine that does nothing else.
  assert.ok(performance.now() - began < 10_000);
  assert.equal(status, 0);
  assert.match(stdout, /^ {6}x4499:/m);
});

test('a file comes by a pipe, too', () => {
  const [program, ...rest] = BERTH;
  const { status, stdout } = spawnSync(program, [...rest, 'import', '-'], { input: GOOD, encoding: 'utf8' });
  assert.equal(status, 0);
  assert.ok(stdout.includes('s1: 10.0.0.1:5000 # line 3\n'));
});

test('a report that cannot be written is exit 2', () => {
  const { status, stderr } = runImport(named('good.cfg', GOOD), '--report', 'no/such/folder.md');
  assert.equal(status, 2);
  assert.match(stderr, /^berth: cannot write no\/such\/folder\.md: /m);
});

test("clients stay where HAProxy's table has them", { skip: NO_HAPROXY }, async (t) => {
  const stage = await stageHaproxy(t, 3, {});
  const people = Array.from({ length: 7 }, (_, i) => `127.62.0.${i + 1}`);
  const before = await places(stage.port, people);
  named('stand.dump', await stage.say('show table b'));
  const servers = stage.servers.map(({ name, address }) => `  server ${name} ${address}\n`).join('');
  const stick = '  stick-table type ip size 200k expire 30m\n  stick on src\n';
  named('stand.cfg', `frontend f\n  bind 127.0.0.1:0\n  default_backend b\nbackend b\n${stick}${servers}`);
  const { status, stdout, stderr } = runImport('stand.cfg', '--table', 'stand.dump', '--state', 'stand.state');
  assert.equal(status, 0, stderr);
  assert.match(stderr, /^stand\.dump: 7 bindings are in stand\.state$/m);
  const config = parse(stdout) as Settings;
  const berth = await start(t, { ...config, metrics: { bind: '127.0.0.1:0' }, admin: { bind: '127.0.0.1:0' } });
  assert.deepEqual(await places(await berth.port(), people.toReversed()), before.toReversed());
});

test('a table of 200,000 clients is carried over soon', () => {
  const client = (i: number): string => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
  const entry = (i: number): string =>
    `0x55d0c8a${i}: key=${client(i)} use=0 exp=${60_000 + i} shard=0 server_id=${1 + (i % 2)} server_key=s${1 + (i % 2)}\n`;
  const lines = Array.from({ length: 200_000 }, (_, i) => entry(i)).join('');
  const stick = '  stick-table type ip size 200k expire 30m\n  stick on src\n  server s2 10.0.0.2:5000 check\n';
  named('many.dump', `# table: registry, type: ip, size:204800, used:200000\n${lines}`);
  const began = performance.now();
  const { stderr } = runImport(named('many.cfg', GOOD + stick), '--table', 'many.dump', '--state', 'many.state');
  // A tenth of it on a machine that does nothing else.
  assert.ok(performance.now() - began < 10_000);
  assert.match(stderr, /^many\.dump: 200000 bindings are in many\.state$/m);
});

test('what is no dump is exit 2', () => {
  const { status, stderr } = runImport(named('good.cfg', GOOD), '--table', named('no.dump', 'Unknown command.\n'));
  assert.equal(status, 2);
  assert.match(stderr, /^berth: no\.dump: it is not the output of `show table NAME`$/m);
});

/** What a machine of loopback addresses, with servers that know no protocol, cannot have of a file. */
const NOT_HERE =
  /^\s*(daemon|user|group|uid|gid|pidfile|log|stats|peers?|option (httpchk|\w+-check|smtpchk|ssl-hello-chk))\b|^\s*(http|tcp)-check\b|^\s*bind (\/|:::)/;
const OPTIONS_NOT_HERE =
  / (ssl|verify none|check-ssl|check-sni \S+|resolvers \S+|crt \S+|alpn \S+|check port \d+|port \d+)(?=\s|$)/g;
/** What is not compared: two ask nameservers that there are not, two bind by what the report says is not carried over. */
const NOT_COMPARED = ['consul-srv.cfg', 'swarm-dns.cfg', 'galera-stick-on-dst.cfg', 'mail-and-metrics.cfg'];

type Here = { readonly text: string; readonly ports: ReadonlyMap<string, number>; readonly servers: TestServer[] };

/** A file with its binds on free ports of loopback, its servers as servers of the test, its networks below 127. */
async function here(t: TestContext, { text }: Specimen): Promise<Here> {
  const workspace = openWorkspace();
  t.after(() => workspace.close());
  const ports = new Map<string, number>();
  const servers: TestServer[] = [];
  let section = '';
  const lines: string[] = [];
  for (const line of text.split('\n')) {
    const [, head] = /^(?:frontend|listen|backend) (\S+)/.exec(line) ?? [];
    section = head ?? section;
    if (NOT_HERE.test(line)) continue;
    const [, before = '', server] = /^(\s*server (\S+) )\S+/.exec(line) ?? [];
    if (/^\s*bind /.test(line)) {
      const port = await workspace.freePort();
      if (!ports.has(section)) ports.set(section, port);
      lines.push(line.replace(/(bind )("[^"]*"|\S+)/, `$1127.0.0.1:${port}`).replaceAll(OPTIONS_NOT_HERE, ''));
    } else if (server !== undefined) {
      const [made] = await serve(t, [`${section}/${server}`], echoes);
      if (made) servers.push(made);
      const rest = line.slice(before.length).replace(/^("[^"]*"|\S+)/, made?.address ?? '');
      lines.push(
        before + rest.replaceAll(OPTIONS_NOT_HERE, (option) => (option.startsWith(' check ') ? ' check' : '')),
      );
    } else
      lines.push(line.replace(/ peers \S+$/, '').replaceAll(/(?<=\bsrc .*)(?<![./\d])\d+(?=\.\d+\.\d+\.\d+)/g, '127'));
  }
  return { text: lines.join('\n'), ports, servers };
}

/** The lists of the corpus, with their networks below 127 too. */
function localLists(file: string): string[] | undefined {
  return AROUND.readList(file)?.map((line) => line.replace(/^\d+(?=\.\d+\.\d+\.\d+)/, '127'));
}

/** Who serves, or how the client is turned away. */
async function visit(port: number, from: string, first: Buffer | string = ''): Promise<string> {
  const client = new Client({ port, from });
  if (first !== '') client.socket.write(first);
  try {
    const answer = await Promise.race([client.line(), within(client.ended, 'an answer').then(() => 'turned away')]);
    if (answer !== 'turned away') await client.finish();
    return answer;
  } catch {
    return 'turned away';
  } finally {
    client.socket.destroy();
  }
}

const hello = (name: string): Buffer => records(helloMessage({ extensions: [serverName(name)] }));

/** What is asked of both: addresses that rules are about, names, and frontends that await a PROXY header. */
const FROM: Record<string, readonly string[]> = {
  'allow-list.cfg': ['127.0.2.5', '127.51.100.9', '127.0.0.1', '127.7.7.7'],
  'blocked-networks.cfg': ['127.0.113.7', '127.51.100.200', '127.51.100.201'],
  'access-and-proxy-protocol.conf': ['127.0.2.5', '127.0.2.6', '127.0.2.7'],
  'mail-behind-proxy.conf': ['127.0.2.8', '127.0.2.9', '127.0.2.10'],
  'postgres-access.conf': ['127.51.0.9', '127.51.0.10', '127.52.3.4', '127.52.3.5'],
  'redis-and-amqp.conf': ['127.56.0.7', '127.56.1.7'],
  'deny-list-file.cfg': ['127.0.113.7', '127.0.113.8', '127.51.100.200', '127.51.100.201'],
};
const NAMES: Record<string, readonly string[]> = {
  'sni-gateway.cfg': ['blog.example.org', 'SHOP.example.org', 'x.wiki.example.org', 'other.example.org'],
  'sni-acls-strict.cfg': ['registry.example.com', 'r.example.com', 'quay.example.com', 'other.example.com'],
  'preread-map.conf': ['REGISTRY.example.com', 'mirror.example.com', 'a.mirror.example.com', 'b.example.com'],
  'sni-hostnames.conf': ['git.example.com', 'a.apps.example.com', 'apps.example.com', 'a.git.example.com'],
  'sni-without-hostnames.conf': ['mail.example.com', 'MAIL.example.com', 'a.example.com'],
  'registries-by-name.cfg': ['git.example.org', 'code.example.org', 'other.example.org'],
  'gitlab-doors.cfg': ['registry.gitlab.example.com', 'a.pages.example.com', 'other.example.com'],
  'sni-map.cfg': ['a.example.com', 'b.example.com', 'c.example.com'],
};
/** The frontends that await a PROXY header. */
const PROXIED: Record<string, RegExp> = {
  'behind-another-proxy.cfg': /./,
  'access-and-proxy-protocol.conf': /^listen 1$/,
  'mail-behind-proxy.conf': /./,
};

/** In the order of a first look: who served first is called 1. */
const byTurn = (answers: readonly string[]): number[] => answers.map((name) => [...new Set(answers)].indexOf(name) + 1);

async function scenes({ name, text }: Specimen, ports: ReadonlyMap<string, number>): Promise<unknown> {
  const seen: Record<string, unknown> = {};
  const serverOf = (answer: string): string => answer.replace(/^.*\//, '');
  for (const [frontend, port] of ports) {
    if (frontend === 'stats' || frontend === 'prometheus' || frontend === 'site') continue;
    const preface = (from: string): string =>
      PROXIED[name]?.test(frontend) ? `PROXY TCP4 ${from} 127.0.0.1 9 9\r\n` : '';
    const people = FROM[name] ?? Array.from({ length: 5 }, (_, i) => `127.60.0.${i + 1}`);
    const first: string[] = [];
    const again: string[] = [];
    for (const from of people)
      first.push(await visit(port, from, NAMES[name] ? hello(NAMES[name][0]!) : preface(from)));
    for (const from of people)
      again.push(await visit(port, from, NAMES[name] ? hello(NAMES[name][0]!) : preface(from)));
    const inTurn = !/balance (source|leastconn)|weight[ =][2-9]|least_conn|\bhash |random/.test(text);
    const backends: string[] = [];
    for (const sni of NAMES[name] ?? [])
      backends.push((await visit(port, '127.61.0.1', hello(sni))).split('/')[0] ?? '');
    seen[frontend] = {
      served: first.map((answer) => answer !== 'turned away'),
      ...(/\brandom\b/.test(text) ? {} : { same: JSON.stringify(first) === JSON.stringify(again) }),
      ...(inTurn ? { turns: byTurn([...first, ...again].map(serverOf)) } : {}),
      backends,
    };
  }
  return seen;
}

async function startOf(t: TestContext, specimen: Specimen): Promise<Here> {
  const local = await here(t, specimen);
  const around = { ...AROUND, readList: localLists, locate: writeList };
  const imported = importHaproxy(local.text, specimen.name, around);
  assert.ok(imported.kind === 'imported', JSON.stringify(imported));
  const config = parse(imported.yaml) as Settings;
  await start(t, { ...config, metrics: { bind: '127.0.0.1:0' }, admin: { bind: '127.0.0.1:0' } });
  return local;
}

for (const specimen of specimens('cfg')) {
  if (NOT_COMPARED.includes(specimen.name)) {
    test(`${specimen.name}: what it becomes starts`, async (t) => void (await startOf(t, specimen)));
    continue;
  }
  test(`${specimen.name}: what it becomes does as it does`, { skip: NO_HAPROXY }, async (t) => {
    const haproxy = await here(t, specimen);
    await runHaproxy(t, withLists(haproxy.text));
    const wanted = await scenes(specimen, haproxy.ports);
    const local = await startOf(t, specimen);
    assert.deepEqual(await scenes(specimen, local.ports), wanted, local.text);
  });
}

/** HAProxy reads the lists from files. */
function withLists(text: string): string {
  return text.replaceAll(/\blists\/[\w.]+/g, writeList);
}

function writeList(list: string): string {
  const path = join(folder, list.replace('/', '-'));
  writeFileSync(path, `${(localLists(list) ?? []).join('\n')}\n`);
  return path;
}

/** What the stream block of a file needs that loopback does not have: certificates, UDP, logs. */
const STREAM_NOT_HERE = / (ssl|reuseport)(?=[ ;])|ssl_certificate[^;]*;|(access_log|log_format|error_log)[^;]*;/g;

/** The stream block of an nginx.conf, on free ports of loopback, before servers of the test. */
async function streamHere(t: TestContext, { text }: Specimen): Promise<Here> {
  const workspace = openWorkspace();
  t.after(() => workspace.close());
  const ports = new Map<string, number>();
  const servers: TestServer[] = [];
  const stream = text.slice(text.search(/^stream/m)).replace(/^\}\n[^]*$/m, '}\n');
  const words = stream.replaceAll(STREAM_NOT_HERE, '').split(/(?<=[;{}])/);
  let upstream = '';
  const lines: string[] = [];
  for (const whole of words) {
    const [, called] = /^\s*upstream (\S+)/.exec(whole) ?? [];
    if (called !== undefined) upstream = called;
    const [, before = '', address = '', rest = ''] =
      /^(\s*(?:listen|server|proxy_pass|default)\s+)([^\s;{$]+)([^{]*;)$/.exec(whole) ?? [];
    const word = before.trim();
    const port = /:\d+$/.test(address);
    if (word === 'listen') {
      const free = await workspace.freePort();
      if (!rest.includes('udp')) ports.set(`listen ${ports.size + 1}`, free);
      lines.push(`${before}127.0.0.1:${free}${rest}`);
    } else if (word === 'server' || (word !== '' && port)) {
      const [made] = await serve(t, [`${word === 'server' ? upstream : word}/${servers.length}`], echoes);
      if (made) servers.push(made);
      lines.push(`${before}${made?.address}${rest}`);
    } else lines.push(whole.replace(/((?:allow|deny|set_real_ip_from)\s+)\d+(?=\.)/, '$1127'));
  }
  return { text: lines.join(''), ports, servers };
}

for (const specimen of specimens('conf')) {
  test(`${specimen.name}: what it becomes does as nginx does`, { skip: NO_NGINX_STREAM }, async (t) => {
    const nginx = await streamHere(t, specimen);
    await runNginxStream(t, nginx.text);
    const wanted = await scenes(specimen, nginx.ports);
    const local = await streamHere(t, specimen);
    const imported = importNginx(local.text, specimen.name, AROUND);
    assert.ok(imported.kind === 'imported', JSON.stringify(imported));
    const config = parse(imported.yaml) as Settings;
    await start(t, { ...config, metrics: { bind: '127.0.0.1:0' }, admin: { bind: '127.0.0.1:0' } });
    assert.deepEqual(await scenes(specimen, local.ports), wanted, `${local.text}\n${imported.yaml}`);
  });
}
