import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadConfig } from '../../../src/config/load.ts';
import { ConfigFile, lines, SHORTEST } from '../../support/config-file.ts';

const file = new ConfigFile();

test('the shortest useful file has every default', () => {
  const server = { weight: 1, backup: false, maxConnections: 0, slowStart: 0 };
  assert.deepEqual(file.config(SHORTEST), {
    frontends: {
      f: {
        bind: [{ kind: 'tcp', host: '*', port: 443, text: '*:443' }],
        backend: 'b',
        sni: {},
        prefaceTimeout: 5_000,
        waitForClient: false,
        maxConnections: 0,
        acceptProxy: [],
        allow: [],
        deny: [],
        perSource: {
          connections: 0,
          rate: { count: 0, windowMs: 10_000 },
          prefix: { ipv4: 32, ipv6: 64 },
        },
      },
    },
    backends: {
      b: {
        balance: 'roundrobin',
        stickTable: {
          key: 'src',
          prefix: { ipv4: 32, ipv6: 64 },
          size: 200_000,
          expire: 1_800_000,
          failback: 'stay',
          shared: false,
          sharedStates: false,
        },
        healthCheck: {
          type: 'tcp',
          storage: false,
          tls: false,
          host: '',
          interval: 2_000,
          fastInterval: 500,
          timeout: 2_000,
          rise: 2,
          fall: 3,
          port: 'same',
        },
        onServerDown: 'keep',
        retries: 3,
        sendProxy: 'none',
        source: [],
        resolveInterval: 30_000,
        servers: { s1: { ...server, address: { host: 'registry1', port: 5000 } } },
      },
    },
    timeouts: {
      connect: 5_000,
      idle: 600_000,
      halfClosed: 60_000,
      queue: 5_000,
      drain: 30_000,
      lameDuck: 0,
      keepAlive: 60_000,
    },
    metrics: { bind: { kind: 'tcp', host: '*', port: 9180, text: '*:9180' } },
    state: { file: '', interval: 30_000 },
    log: { level: 'info', connections: true, format: 'auto' },
    doctor: { interval: 0, repository: 'berth-doctor/probe', write: false },
  });
});

test('a loaded configuration is frozen to its leaves', () => {
  const frozen = (value: unknown): boolean =>
    typeof value !== 'object' || value === null || (Object.isFrozen(value) && Object.values(value).every(frozen));
  assert.ok(frozen(file.config(SHORTEST)));
});

test('the long form of a server with nothing but its address is the short form', () => {
  const long = SHORTEST.replace('registry1:5000', '{ address: registry1:5000 }');
  assert.deepEqual(file.config(long), file.config(SHORTEST));
});

test('a byte order mark, CRLF, comments, anchors and JSON are all YAML', () => {
  const expected = file.config(SHORTEST);
  assert.deepEqual(file.config(`\uFEFF${SHORTEST}`), expected);
  assert.deepEqual(file.config(SHORTEST.replaceAll('\n', '\r\n')), expected);
  assert.deepEqual(file.config(`# one\n---\n${SHORTEST}# more\n`), expected);
  assert.deepEqual(file.config(SHORTEST.replace('"*:443"', '&here "*:443"')), expected);
  const json = {
    frontends: { f: { bind: ['*:443'], backend: 'b' } },
    backends: { b: { servers: { s1: 'registry1:5000' } } },
  };
  assert.deepEqual(file.config(JSON.stringify(json)), expected);
});

test('names that are members of every JavaScript object are names like others', () => {
  for (const name of ['constructor', 'toString', 'hasOwnProperty', 'valueOf']) {
    const text = SHORTEST.replace('f:', `${name}:`)
      .replace('backend: b', `backend: ${name}`)
      .replace('  b:', `  ${name}:`);
    const config = file.config(text.replace('s1:', `${name}:`));
    assert.deepEqual(Object.keys(config.frontends), [name]);
    assert.deepEqual(Object.keys(config.backends), [name]);
    assert.deepEqual(Object.keys(config.backends[name]!.servers), [name]);
    assert.deepEqual(file.problems(SHORTEST.replace('backend: b', `backend: ${name}`)), [
      `FILE:4:14: frontends.f.backend: there is no backend "${name}".`,
    ]);
  }
});

test('__proto__ is no name, and is not passed over beside good ones', () => {
  const rule = 'a name starts with a letter or digit and goes on with letters, digits and _ . : -';
  assert.deepEqual(file.problems(SHORTEST.replace('  f:', '  __proto__: { bind: "*:1", backend: b }\n  f:')), [
    `FILE:2:3: frontends.__proto__: ${rule}`,
  ]);
  assert.deepEqual(file.problems(SHORTEST.replace('  b:', '  __proto__: { servers: { s: "h:1" } }\n  b:')), [
    `FILE:6:3: backends.__proto__: ${rule}`,
  ]);
  assert.deepEqual(file.problems(`${SHORTEST}      __proto__: h:1\n`), [
    `FILE:9:7: backends.b.servers.__proto__: ${rule}`,
  ]);
  const [unknown = ''] = file.problems(`${SHORTEST}__proto__: 1\n`);
  assert.match(unknown, /^FILE:9:1: __proto__: unknown key\. Known here: frontends, /);
});

test('the files that a configuration names are looked for beside it, and read when it is loaded', () => {
  writeFileSync(join(file.folder, 'password'), 'first line\nsecond line\n');
  const { healthCheck } = file.config(
    `${SHORTEST}    healthCheck: { type: registry, storage: { repository: a/b, user: u, passwordFile: password } }\n`,
  ).backends['b']!;
  assert.ok(healthCheck !== false && healthCheck.storage !== false);
  assert.deepEqual(healthCheck.storage.passwordFile, { file: 'password', content: 'first line' });
});

test('a file that a configuration names and that cannot be read or used is a problem of the configuration', () => {
  mkdirSync(join(file.folder, 'folder'));
  writeFileSync(join(file.folder, 'empty.pem'), '');
  writeFileSync(join(file.folder, 'binary'), Buffer.from([0xff, 0xfe]));
  const ca = (name: string): string[] => file.problems(`${SHORTEST}    healthCheck: { tls: { ca: ${name} } }\n`);
  const at = 'FILE:9:31: backends.b.healthCheck.tls.ca: cannot be used:';
  assert.deepEqual(ca('missing.pem'), [`${at} no such file`]);
  assert.deepEqual(ca('folder'), [`${at} it is a directory`]);
  assert.deepEqual(ca('balancer.yml'), [`${at} it holds no PEM certificate`]);
  assert.deepEqual(ca('empty.pem'), [`${at} it holds no PEM certificate`]);
  assert.deepEqual(ca('binary'), [`${at} it is not UTF-8 text`]);
  const storage = '{ type: registry, storage: { repository: a, user: u, passwordFile: missing } }';
  assert.deepEqual(file.problems(`${SHORTEST}    healthCheck: ${storage}\n`), [
    'FILE:9:85: backends.b.healthCheck.storage.passwordFile: cannot be used: no such file',
  ]);
});

/** Of somebody who has thrown the key away. */
const CERTIFICATE = `\
-----BEGIN CERTIFICATE-----
MIIBbTCCAROgAwIBAgIUBoKvrBYU7+bVMsIjgX2GstSjFHowCgYIKoZIzj0EAwIw
DDEKMAgGA1UEAwwBYTAeFw0yNjExMjcxMTMzMDVaFw0yNjExMjkxMTMzMDVaMAwx
CjAIBgNVBAMMAWEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAS5VN4vnFZHXyKC
9gC/2Mq4LoY9/nMrvxVl2sZB2upDzDkNJNSIF90Adea/BL/xNJS4aVCNCgEzXtEh
mbl5hkFto1MwUTAdBgNVHQ4EFgQUjtxJ3HAae3lFq+Lftp9rYvnxzDswHwYDVR0j
BBgwFoAUjtxJ3HAae3lFq+Lftp9rYvnxzDswDwYDVR0TAQH/BAUwAwEB/zAKBggq
hkjOPQQDAgNIADBFAiB4I8gJc/IbTWc2iGbJlfW+FylLnlcCJ07w8ecJ62S/IgIh
AIahz8O+G0d39WYXFo7uGejl7WwkARlyJKryesq6vFUt
-----END CERTIFICATE-----
`;

test('the key of a client certificate is one, has no passphrase, and belongs to the certificate', () => {
  const generate = (cipher: object): string =>
    generateKeyPairSync('ec', {
      namedCurve: 'P-256',
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem', ...cipher },
    }).privateKey;
  writeFileSync(join(file.folder, 'client.crt'), CERTIFICATE);
  writeFileSync(join(file.folder, 'other.key'), generate({}));
  writeFileSync(join(file.folder, 'locked.key'), generate({ cipher: 'aes-256-cbc', passphrase: 'p' }));
  writeFileSync(
    join(file.folder, 'old-locked.key'),
    generate({ type: 'sec1', cipher: 'aes-256-cbc', passphrase: 'p' }),
  );
  const pair = (cert: string, key: string): string[] =>
    file.problems(`${SHORTEST}    healthCheck: { tls: { cert: ${cert}, key: ${key} } }\n`);
  const at = 'FILE:9:50: backends.b.healthCheck.tls.key: cannot be used:';
  assert.deepEqual(pair('client.crt', 'other.key'), [`${at} its key does not belong to the certificate in cert`]);
  assert.deepEqual(pair('client.crt', 'missing'), [`${at} no such file`]);
  assert.deepEqual(pair('client.crt', 'client.crt'), [`${at} it holds no PEM private key`]);
  assert.deepEqual(pair('client.crt', 'locked.key'), [`${at} its key has a passphrase, and Berth takes none`]);
  assert.deepEqual(pair('client.crt', 'old-locked.key'), [`${at} its key has a passphrase, and Berth takes none`]);
  for (const header of ['-----BEGIN ENCRYPTED PRIVATE KEY-----', 'Proc-Type: 4,ENCRYPTED']) {
    writeFileSync(join(file.folder, 'no.key'), `No ${header}\n`);
    assert.deepEqual(pair('client.crt', 'no.key'), [`${at} it holds no PEM private key`], 'not at the start of a line');
  }
  assert.deepEqual(file.problems(`${SHORTEST}    healthCheck: { tls: { key: other.key } }\n`), [
    'FILE:9:20: backends.b.healthCheck.tls: cert and key go together',
  ]);
  assert.deepEqual(pair('other.key', 'other.key'), [
    'FILE:9:33: backends.b.healthCheck.tls.cert: cannot be used: it holds no PEM certificate',
  ]);
});

test('a file that is missing, a folder, too large, not text or not readable is one problem', () => {
  const missing = join(file.folder, 'missing.yml');
  assert.deepEqual(lines(loadConfig(missing), missing), ['FILE:1:1: cannot read the file: no such file']);
  assert.equal(loadConfig(missing).kind, 'problems');
  assert.equal(file.load(`${SHORTEST}more: 1\n`).kind, 'problems');
  for (const text of ['frontend f\n  bind *:443\n', '', '[']) assert.equal(file.load(text).kind, 'problems');
  const under = join(file.path, 'balancer.yml');
  assert.equal(loadConfig(under).kind, 'problems');
  assert.deepEqual(lines(loadConfig(file.folder), file.folder), ['FILE:1:1: cannot read the file: it is a directory']);
  assert.deepEqual(file.problems('#'.repeat((4 << 20) + 1)), [
    'FILE:1:1: cannot read the file: it is larger than 4 MiB',
  ]);
  const notText = ['FILE:1:1: cannot read the file: it is not UTF-8 text'];
  assert.deepEqual(file.problems(Buffer.from([0x66, 0xff, 0x0a])), notText);
  assert.deepEqual(file.problems(Buffer.from(`\uFEFF${SHORTEST}`, 'utf16le')), notText);
});

test('a file without read permission is one problem', () => {
  const secret = new ConfigFile();
  secret.load(SHORTEST);
  chmodSync(secret.folder, 0o755);
  chmodSync(secret.path, 0o000);
  // Root reads everything; it is nobody for a moment.
  const root = process.geteuid?.() === 0;
  if (root) process.seteuid?.(65_534);
  try {
    assert.deepEqual(lines(loadConfig(secret.path), secret.path), [
      'FILE:1:1: cannot read the file: permission denied',
    ]);
  } finally {
    if (root) process.seteuid?.(0);
  }
});

test('no secret value is ever repeated, wherever the mistake is', () => {
  const stickTable = (text: string): string => `${SHORTEST}    stickTable: ${text}\n`;
  const admin = (text: string): string => `${SHORTEST}admin: ${text}\n`;
  const wrong = [
    stickTable('{ shared: ["redis://:hunter2@h/0"] }'),
    stickTable('{ shared: "redis://:hunter2@h/0", size: 0 }'),
    stickTable('{ shared: { url: hunter2 } }'),
    admin('{ bind: "127.0.0.1:9181", token: [hunter2] }'),
    admin('{ bnd: "127.0.0.1:9181", token: hunter2 }'),
    admin('{ token: { hunter2: hunter2 } }'),
    admin('{ token: *hunter2 }'),
    admin('{ token: [*hunter2] }'),
    admin('{ token: !hunter2 }'),
    admin('{ token: @hunter2 }'),
    admin('{ token: "a" hunter2 }'),
    admin('{ token: "\\qhunter2" }'),
    admin('\n  token: %hunter2'),
    `${SHORTEST}    healthCheck: { storage: { password: *hunter2 } }\n`,
    admin('\n  token: hunter2: x'),
    admin('\n  token: hunter2\n  token: hunter2'),
  ];
  for (const text of wrong) {
    const problems = file.problems(text);
    assert.notEqual(problems.length, 0, text);
    assert.equal(problems.join('\n').includes('hunter2'), false, problems.join('\n'));
  }
});

test('the file of the state is looked for beside balancer.yml', () => {
  const { state } = file.config(`${SHORTEST}state: { file: state.json }\n`);
  assert.equal(state.file, join(file.folder, 'state.json'));
  assert.equal(file.config(`${SHORTEST}state: { file: /var/lib/s.json }\n`).state.file, '/var/lib/s.json');
});

test('a backend without checks, or with checks over plain TLS, names no file', () => {
  assert.equal(file.config(`${SHORTEST}    healthCheck: false\n`).backends['b']?.healthCheck, false);
  const { healthCheck } = file.config(`${SHORTEST}    healthCheck: { tls: true }\n`).backends['b']!;
  assert.deepEqual(healthCheck && healthCheck.tls, { verify: false });
});

test('a byte order mark is dropped at the beginning alone, and the first line ends where any line does', () => {
  const password = (content: string): string => {
    writeFileSync(join(file.folder, 'password'), content);
    const { healthCheck } = file.config(
      `${SHORTEST}    healthCheck: { type: registry, storage: { repository: a, user: u, passwordFile: password } }\n`,
    ).backends['b']!;
    assert.ok(healthCheck !== false && healthCheck.storage !== false);
    return healthCheck.storage.passwordFile?.content ?? '';
  };
  assert.equal(password('\uFEFFa\uFEFFb\r\nc'), 'a\uFEFFb');
  assert.equal(password('a\uFEFF'), 'a\uFEFF');
  assert.equal(password(' a \n'), ' a ', 'a password may have spaces at its ends');
});

test('a file of the largest size is read', () => {
  assert.deepEqual(file.problems('#'.repeat(4 << 20)), [
    'FILE:1:1: the file is empty; it needs frontends and backends',
  ]);
});

test('- is standard input', () => {
  const load = new URL('../../../src/config/load.js', import.meta.url).href;
  const code = `import { loadConfig } from '${load}'; console.log(JSON.stringify(loadConfig('-').config));`;
  const read = execFileSync(process.execPath, ['--input-type=module', '-e', code], {
    input: SHORTEST,
    cwd: file.folder,
  });
  assert.deepEqual(JSON.parse(read.toString()), file.config(SHORTEST));
});

test('a check over TLS verifies where it has an authority, unless it is told not to', () => {
  writeFileSync(join(file.folder, 'ca.pem'), CERTIFICATE);
  const verifies = (tls: string): boolean | undefined => {
    const { healthCheck } = file.config(`${SHORTEST}    healthCheck: { tls: ${tls} }\n`).backends['b']!;
    return healthCheck !== false && healthCheck.tls !== false ? healthCheck.tls.verify : undefined;
  };
  assert.equal(verifies('{ ca: ca.pem }'), true);
  assert.equal(verifies('{ ca: ca.pem, verify: false }'), false);
});
