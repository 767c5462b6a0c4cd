import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { GLOBAL, PROXY } from '../../../src/import/directives.ts';
import { importHaproxy } from '../../../src/import/haproxy.ts';
import { importNginx } from '../../../src/import/nginx.ts';
import { STREAM, UPSTREAM, UPSTREAM_SERVER } from '../../../src/import/nginx-directives.ts';
import { BIND, SERVER } from '../../../src/import/options.ts';
import { reportLines, reportPage } from '../../../src/import/report.ts';
import { Operations } from '../../support/operations.ts';

const NETWORKS = Array.from({ length: 20_000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);
const AROUND = {
  environment: {},
  readList: (file: string) => (file === 'networks' ? NETWORKS : undefined),
  locate: (file: string) => file,
};

const operations = new Operations('/src/import/');

/** What no file of 512 KiB may take; a server with ten options takes about 200. */
const MOST = 5_000_000;
const LARGEST_FILE_BYTES = 512 << 10;

type Read = (text: string, name: string, around: typeof AROUND) => ReturnType<typeof importHaproxy>;

/** The import and its report, as the command makes them. */
function work(text: string, read: Read): number {
  return operations.count(() => {
    const { items } = read(text, 'x.cfg', AROUND);
    reportLines('x.cfg', items);
    reportPage('x.cfg', items);
  });
}

const times = (count: number, line: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => line(i)).join('');
const ip = (i: number): string => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;

const F = 'frontend f\n bind :443\n default_backend b\n';
const B = 'backend b\n server s1 10.0.0.1:80\n';
const U = 'upstream u { server 10.0.0.1:80; } ';

/** Files of `n` times something. */
const HAPROXY: Record<string, (n: number) => string> = {
  servers: (n) => F + B + times(n, (i) => ` server x${i} ${ip(i)}:80 check inter 2s\n`),
  'servers below many default-server': (n) =>
    `${F}${B}${times(n, () => ' default-server check rise 3\n')}${times(n, (i) => ` server x${i} ${ip(i)}:80\n`)}`,
  'backends below many defaults': (n) =>
    `defaults\n${times(n, () => ' timeout client 5s\n')}${F}${B}${times(n, (i) => `backend b${i}\n server s ${ip(i)}:80\n`)}`,
  'a chain of defaults': (n) =>
    `defaults d0\n${times(n, (i) => `defaults d${i + 1} from d${i}\n timeout client 5s\n`)}listen l from d${n}\n bind :1\n server s 10.0.0.1:80\n`,
  'a listen for each of a chain of defaults': (n) =>
    `defaults d0\n${times(n, (i) => `defaults d${i + 1} from d${i}\n retries 2\nlisten l${i} from d${i + 1}\n bind ${ip(i)}:1\n server s 10.0.0.1:80\n`)}`,
  frontends: (n) => F + B + times(n, (i) => `frontend f${i}\n bind ${ip(i)}:443\n default_backend b\n`),
  binds: (n) => F + times(n, (i) => ` bind ${ip(i)}:443\n`) + B,
  'wide binds': (n) => F + times(n, (i) => ` bind ${ip(i)}:80${i % 7}\n bind :80${i % 7}\n`) + B,
  'names of a route': (n) => F + times(n, (i) => ` use_backend b if { req.ssl_sni n${i}.example.com }\n`) + B,
  'rules that reject': (n) => F + times(n, (i) => ` tcp-request connection reject if { src ${ip(i)} }\n`) + B,
  'rules that accept and reject in turn': (n) =>
    F + times(n, (i) => ` tcp-request connection ${i % 2 ? 'accept' : 'reject'} if { src ${ip(i)} }\n`) + B,
  'rules of IPv6 with one end': (n) =>
    F +
    times(
      n,
      (i) => ` tcp-request connection ${i % 2 ? 'accept' : 'reject'} if { src 2001:${(i + 1).toString(16)}::1 }\n`,
    ) +
    B,
  'lines of one acl': (n) => `${F}${times(n, (i) => ` acl a src ${ip(i)}\n`)} tcp-request connection reject if a\n${B}`,
  'lines of one acl of names': (n) =>
    `${F}${times(n, (i) => ` acl a req.ssl_sni n${i}.example.com\n`)} use_backend b if a\n${B}`,
  'routes by acls of their own': (n) =>
    F + times(n, (i) => ` acl a${i} req.ssl_sni n${i}.example.com\n use_backend b if a${i}\n`) + B,
  'conditions of .if': (n) => `${times(n, () => '.if defined(X)\n')}${times(n, () => '.endif\n')}${F}${B}`,
  'lines that go on': (n) => `${F}${B}${times(n, (i) => ` server x${i} \\\n ${ip(i)}:80 \\\n check\n`)}`,
  'backslashes alone': (n) => `${F}${B}${times(n, () => ' \\\n')}`,
  'unknown words': (n) => F + B + times(n, (i) => ` word${i} x\n`),
  resolvers: (n) => F + B + times(n, (i) => `resolvers r${i}\n hold valid 1s\n`),
  'tables of others': (n) =>
    F +
    B +
    times(n, (i) => `backend t${i}\n stick-table type ip size 1m\n stick on src table b\n server s 10.0.0.1:80\n`),
  'timeouts that differ': (n) =>
    F + B + times(n, (i) => `backend b${i}\n timeout server ${i + 1}s\n server s 10.0.0.1:80\n`),
};
const NGINX: Record<string, (n: number) => string> = {
  'servers of an upstream': (n) =>
    `stream { upstream u { ${times(n, (i) => `server ${ip(i)}:80 weight=2; `)} } server { listen 443; proxy_pass u; } }`,
  servers: (n) => `stream { ${U}${times(n, (i) => `server { listen ${ip(i)}:443; proxy_pass u; } `)} }`,
  upstreams: (n) =>
    `stream { ${times(n, (i) => `upstream u${i} { server ${ip(i)}:80; } `)} server { listen 1; proxy_pass u1; } }`,
  'addresses to pass to': (n) =>
    `stream { ${times(n, (i) => `server { listen ${i + 1}; proxy_pass ${ip(i)}:80; } `)} }`,
  'rows of a map': (n) =>
    `stream { map $ssl_preread_server_name $x { ${times(n, (i) => `n${i}.example.com u; `)} } ${U} server { listen 443; ssl_preread on; proxy_pass $x; } }`,
  'networks that are allowed': (n) =>
    `stream { ${U} server { listen 1; proxy_pass u; ${times(n, (i) => `${i % 2 ? 'allow' : 'deny'} ${ip(i)}; `)} deny all; } }`,
  includes: (n) => `stream { ${times(n, (i) => `include x${i}; `)} ${U} server { listen 1; proxy_pass u; } }`,
  'braces in braces': (n) =>
    `stream { ${U} server { listen 1; proxy_pass u; } ${times(n, () => 'a { ')}${times(n, () => '}')} }`,
};

for (const [set, read] of [
  [HAPROXY, importHaproxy],
  [NGINX, importNginx],
] as const) {
  for (const [what, make] of Object.entries(set)) {
    test(`${what}: twice as many are twice the work`, () => {
      const [once, twice] = [work(make(400), read), work(make(800), read)];
      assert.ok(twice < 2.3 * once, `${twice / once} times`);
    });
  }
}

const half = LARGEST_FILE_BYTES / 2;
/** As often as it fits into half of the largest file. */
const filled = (line: (i: number) => string): string => {
  const lines: string[] = [];
  for (let [size, i] = [0, 0]; size < half && i < 4_500; i++) size += lines[lines.push(line(i)) - 1]!.length;
  return lines.join('');
};
const below = (lines: string): string =>
  `defaults d\n${lines}${filled((i) => `listen l${i} from d\n bind ${ip(i)}:1\n server s 10.0.0.1:1\n`)}`;

/** What means more than it says, wherever it holds. */
const MULTIPLIED: Record<string, [string, Read]> = {
  'rules of defaults': [below(filled((i) => ` tcp-request connection reject if { src ${ip(i)} }\n`)), importHaproxy],
  'acls of defaults': [below(filled((i) => ` acl a${i} src ${ip(i)}\n`)), importHaproxy],
  'PROXY headers of defaults': [below(filled(() => ' tcp-request connection expect-proxy layer4\n')), importHaproxy],
  'a rule after each line of an acl': [
    F + filled((i) => ` acl a src ${ip(i)}\n tcp-request connection reject if a\n`) + B,
    importHaproxy,
  ],
  'acls that multiply': [
    `${F} acl a src 10.0.0.1\n acl a req.ssl_sni x\n acl a hdr x\n${filled(() => ' use_backend b unless a a a or a\n')}${B}`,
    importHaproxy,
  ],
  'rules that name one file of networks': [
    `${F} acl a src -f networks\n${filled(() => ' tcp-request connection reject if a\n')}${B}`,
    importHaproxy,
  ],
  'acls that name one file of networks': [F + filled((i) => ` acl a${i} src -f networks\n`) + B, importHaproxy],
  'routes by one map': [F + filled(() => ' use_backend %[req.ssl_sni,map(networks)]\n') + B, importHaproxy],
  'ranges of ports': [F + filled((i) => ` bind ${ip(i)}:1-64,${ip(i)}:101-164\n`) + B, importHaproxy],
  'a network of IPv6 without one address': [
    `${F}${filled((i) => ` tcp-request connection reject if { src 2001:${(i + 1).toString(16)}::1 }\n`)} tcp-request connection accept if { src ::/1 }\n tcp-request connection reject\n${B}`,
    importHaproxy,
  ],
  'variables made of variables': [
    `global\n setenv A aaaa\n${filled(() => ' setenv A "${A}${A}${A}${A}"\n')}${F}${B}`,
    importHaproxy,
  ],
  'directives of stream': [
    `stream { ${U} ${filled((i) => `deny ${ip(i)}; `)} ${filled((i) => `server { listen ${ip(i)}:1; proxy_pass u; } `)} }`,
    importNginx,
  ],
  'servers by one map': [
    `stream { ${U} map $ssl_preread_server_name $x { ${filled((i) => `n${i}.example.com u; `)} } ${filled((i) => `server { listen ${ip(i)}:1; proxy_pass $x; } `)} }`,
    importNginx,
  ],
  'ranges of listen': [
    `stream { ${U} ${filled((i) => `server { listen ${ip(i)}:1-64; proxy_pass u; } `)} }`,
    importNginx,
  ],
};

for (const [what, [text, read]] of Object.entries(MULTIPLIED)) {
  test(`${what}: there is an end to what is read`, () => {
    const done = work(text, read);
    assert.ok(done < MOST, `${done} operations`);
  });
}

/** A word with a number of its own in each line. */
const WORDS =
  'N xN 10.0.0.N 10.0.N.1:80 :N :1-64 *:443 2001:N::1 10.N.0.0/16 a b f if unless { } ! or src req.ssl_sni nN.example.com ' +
  '-f networks -m end .x.y type ip size 1m expire 5s table check from d0 %[req.ssl_sni,map(networks)] $A "${A}" \\';
const HEADS =
  'frontend xN,frontend f,backend xN,listen xN,defaults,defaults dN from d0,global,resolvers xN,peers xN,.if,.endif,use_backend b';

test('whatever words of HAProxy are repeated, there is an end to what is read', () => {
  const word = fc.constantFrom(...WORDS.split(' '), ...Object.keys(SERVER), ...Object.keys(BIND));
  const head = fc.constantFrom(
    ...HEADS.split(','),
    ...Object.keys({ ...GLOBAL, ...PROXY }).map((key) => key.replace('*', '0')),
  );
  const line = fc.tuple(head, fc.array(word, { maxLength: 12 })).map(([first, more]) => [first, ...more].join(' '));
  const block = fc.array(line, { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(fc.array(block, { minLength: 1, maxLength: 3 }), (blocks) => {
      const size = Math.ceil(3_000 / blocks.flat().length);
      const text = blocks
        .map((lines) => times(size, (i) => `${lines.join('\n').replaceAll('N', String(i))}\n`))
        .join('');
      const done = work(`defaults d0\n${F}${text}${B}`, importHaproxy);
      assert.ok(done < MOST, `${done} operations`);
    }),
    { numRuns: 40 },
  );
});

test('whatever words of nginx are repeated, there is an end to what is read', () => {
  const words =
    '10.0.0.N:80 N 1-64 u uN $x nN.a $ssl_preread_server_name all 10.N.0.0/16 weight=N map upstream default';
  const word = fc.constantFrom(...words.split(' '), ...Object.keys({ ...STREAM, ...UPSTREAM, ...UPSTREAM_SERVER }));
  const block = fc.array(
    fc.tuple(word, fc.array(word, { maxLength: 3 }), fc.constantFrom(';', ';', ' {', ' }', '; }')),
    {
      minLength: 1,
      maxLength: 6,
    },
  );
  fc.assert(
    fc.property(fc.array(block, { minLength: 1, maxLength: 3 }), (blocks) => {
      const text = blocks.map((all) => {
        const one = all.map(([first, more, mark]) => [first, ...more].join(' ') + mark).join('\n');
        return times(Math.ceil(1_000 / all.length), (i) => `${one.replaceAll('N', String(i))}\n`);
      });
      const done = work(`stream { ${U} ${text.join('')} server { listen 1; proxy_pass u; } }`, importNginx);
      assert.ok(done < MOST, `${done} operations`);
    }),
    { numRuns: 40 },
  );
});
