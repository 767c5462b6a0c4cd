/** Words of HAProxy and nginx, and the keys of balancer.yml that they become. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { importHaproxy } from '../../../src/import/haproxy.ts';
import { importNginx } from '../../../src/import/nginx.ts';
import type { Imported } from '../../../src/import/result.ts';
import { AROUND } from '../../support/corpus.ts';

type Tree = { readonly [key: string]: Tree } & { readonly bind: unknown };
type Carried = { readonly frontends: Tree; readonly backends: Tree; readonly timeouts?: Tree };

function carried(imported: Imported): Carried & { readonly lost: readonly string[] } {
  assert.ok(imported.kind === 'imported', JSON.stringify(imported));
  const lost = imported.items.filter(({ is }) => is === 'lost').map(({ of, what }) => `${of}: ${what}`);
  return { ...(parse(imported.yaml) as Carried), lost };
}

const LISTS: Record<string, readonly string[]> = {
  'office.lst': ['10.0.0.0/8', '2001:db8::/32'],
  'masks.lst': ['10.0.0.0/255.0.0.0'],
  'empty.lst': [],
};
const around = { ...AROUND, readList: (file: string) => LISTS[file], locate: (file: string) => `/etc/haproxy/${file}` };

/** One frontend `f` and one backend `b`, with these lines in them. */
function haproxy({ global = '', front = '', back = '' }: { global?: string; front?: string; back?: string }) {
  const text = `global\n${global}\nfrontend f\nbind :443\n${front}\ndefault_backend b\nbackend b\n${back}\nserver s1 10.0.0.1:80 check\n`;
  const { frontends, backends, timeouts, lost } = carried(importHaproxy(text, 'test.cfg', around));
  return { f: frontends['f'], b: backends['b'], timeouts, lost };
}

test('a file of networks stays a file, for Berth to read at each reload', () => {
  const deny = haproxy({ front: 'tcp-request connection reject if { src -f office.lst }' });
  assert.deepEqual(deny.f?.['deny'], ['file:/etc/haproxy/office.lst']);
  const allow = haproxy({ front: 'tcp-request connection reject unless { src -f office.lst 192.0.2.1 }' });
  assert.deepEqual(allow.f?.['allow'], ['192.0.2.1', 'file:/etc/haproxy/office.lst']);
  const proxied = haproxy({ front: 'tcp-request connection expect-proxy layer4 if { src -f office.lst }' });
  assert.deepEqual(proxied.f?.['acceptProxy'], ['file:/etc/haproxy/office.lst']);
});

test('a file that Berth could not read as it is, and a list that rules have cut, become networks', () => {
  const masks = haproxy({ front: 'tcp-request connection reject if { src -f masks.lst }' });
  assert.deepEqual(masks.f?.['deny'], ['10.0.0.0/8']);
  const cut =
    'tcp-request connection accept if { src 10.0.0.0/9 }\ntcp-request connection reject if { src -f office.lst }';
  assert.deepEqual(haproxy({ front: cut }).f?.['deny'], ['10.128.0.0/9', '2001:db8::/32']);
  const empty = haproxy({ front: 'tcp-request connection reject if { src -f empty.lst }' });
  assert.equal(empty.f?.['deny'], undefined);
  assert.deepEqual(haproxy({ front: 'tcp-request connection reject if { src -f none.lst }' }).lost, [
    ': tcp-request connection reject if { src -f none.lst }',
  ]);
});

test('what makes one client is what makes one client in the table of HAProxy', () => {
  const table = (type: string, on: string) =>
    haproxy({ back: `stick-table type ${type} size 200k expire 30m\nstick on ${on}` }).b?.['stickTable'];
  assert.equal(table('ip', 'src'), undefined, 'the default');
  assert.deepEqual(table('ip', 'src,ipmask(24)'), { prefix: { ipv4: 24 } });
  assert.deepEqual(table('ip', 'src,ipmask(255.255.0.0)'), { prefix: { ipv4: 16 } });
  assert.deepEqual(table('ipv6', 'src,ipmask(24,56)'), { prefix: { ipv4: 24, ipv6: 56 } });
  assert.deepEqual(table('ipv6', 'src'), { prefix: { ipv6: 128 } });
  const none = haproxy({ back: 'stick-table type ip size 1k\nstick on src,ipmask(0)' });
  assert.deepEqual(none.lost, [': stick on src,ipmask(0)']);
});

test('what makes one source is what HAProxy tracks', () => {
  const limit = 'tcp-request connection reject if { sc0_conn_cur gt 5 } || { sc0_conn_rate gt 9 }';
  const sources = (type: string, sample: string) =>
    haproxy({
      front:
        `stick-table type ${type} size 1k expire 1m store conn_cur,conn_rate(3s)\n` +
        `tcp-request connection track-sc0 ${sample}\n${limit}`,
    }).f?.['perSource'];
  assert.deepEqual(sources('ip', 'src'), { connections: 5, rate: '9/3s' });
  assert.deepEqual(sources('ip', 'src,ipmask(28)'), { connections: 5, rate: '9/3s', prefix: { ipv4: 28 } });
  assert.deepEqual(sources('ipv6', 'src'), { connections: 5, rate: '9/3s', prefix: { ipv6: 128 } });
});

test("HAProxy's grace, said of all or of one frontend, becomes timeouts.lameDuck", () => {
  assert.deepEqual(haproxy({ global: 'grace 15s\nhard-stop-after 2m' }).timeouts, { lameDuck: '15s', drain: '2m' });
  assert.deepEqual(haproxy({ front: 'grace 1500' }).timeouts, { lameDuck: '1500ms' });
  assert.equal(haproxy({ global: 'grace 0', front: 'grace 0' }).timeouts, undefined);
});

test('a unix socket has the options of unix-bind where it has none of its own', () => {
  const { f, lost } = haproxy({
    global: 'unix-bind prefix /run/berth mode 660 group docker user root',
    front: 'bind unix@/a.sock\nbind /b.sock mode 600\nbind abns@c',
  });
  assert.deepEqual(f?.bind, [
    '*:443',
    { address: 'unix:/run/berth/a.sock', mode: '0660', group: 'docker' },
    { address: 'unix:/run/berth/b.sock', mode: '0600', group: 'docker' },
  ]);
  assert.deepEqual(lost, ['unix-bind: user root', ': bind abns@c']);
});

test('a keepalive that says how long becomes timeouts.keepAlive', () => {
  assert.deepEqual(haproxy({ front: 'option clitcpka\nclitcpka-idle 90s' }).timeouts, { keepAlive: '90s' });
  const nginx = (listen: string) =>
    carried(importNginx(`stream { server { listen 443 ${listen}; proxy_pass 10.0.0.1:80; } }`, 'nginx.conf', around));
  assert.deepEqual(nginx('so_keepalive=5m::10').timeouts, { keepAlive: '5m' });
  for (const listen of ['so_keepalive=on', 'so_keepalive=off', 'so_keepalive=::10', '']) {
    const { timeouts, lost } = nginx(listen);
    assert.deepEqual({ timeouts, lost }, { timeouts: undefined, lost: [] }, listen);
  }
});

/** What is said of a line of the file. */
function said(text: string, line: number): string[] {
  const { items } = importHaproxy(text, 'test.cfg', around);
  return items.filter((item) => item.line === line).map(({ is, what, says }) => `${is}: ${what}: ${says}`);
}

test('backends that share a table in HAProxy may give a client another server each, which is told', () => {
  const listen = (name: string, port: number, more: string): string =>
    `listen ${name}\n  bind :${port}\n  server s1 10.0.0.1:${port}\n  ${more}\n`;
  const table = 'backend t\n  stick-table type ip size 1m\n';
  const one = `${listen('a', 1, 'stick on src table t')}${table}`;
  assert.match(said(one, 4).join(), /^default: stick on src table t: each backend has a table of its own$/);
  const two = `${one}${listen('b', 2, 'stick on src table t')}`;
  for (const line of [4, 10]) assert.match(said(two, line).join(), /^lost: .*another server here than by `t`$/);
});

test('a section in HTTP mode that answers by itself is missed by its clients, and a page of statistics is not', () => {
  const good = 'listen l\n  bind :443\n  server s1 10.0.0.1:443\n';
  const http = (line: string): string => said(`${good}frontend h\n  mode http\n  bind :80\n  ${line}\n`, 4).join();
  assert.match(http('redirect scheme https'), /^lost: frontend h: it answers HTTP by itself/);
  assert.match(http('http-request return status 200'), /^lost: frontend h: it answers HTTP by itself/);
  assert.match(http('default_backend l'), /^lost: frontend h: in http mode/);
  assert.match(http('stats enable'), /^default: frontend h: `berth status`/);
  assert.match(http('maxconn 3'), /^meaningless: frontend h: it leads to no server$/);
});

test('a timeout that is not said is for ever in HAProxy, and is told', () => {
  const file = (timeouts: string): string => `${timeouts}listen l\n  bind :443\n  server s1 10.0.0.1:443\n`;
  const missing = (text: string): number =>
    importHaproxy(text, 'x', around).items.filter(({ says }) => says.includes('waits for ever')).length;
  assert.equal(missing(file('')), 2);
  assert.equal(missing(file('defaults\n  timeout client 5m\n')), 1);
  assert.equal(missing(file('defaults\n  timeout tunnel 1h\n')), 0);
});

test('balance hash of the source is balance: source, and of anything else is not carried', () => {
  assert.deepEqual(haproxy({ back: 'balance hash src' }).b?.['balance'], 'source');
  assert.deepEqual(haproxy({ back: 'balance hash req.ssl_sni' }).lost, [': balance hash req.ssl_sni']);
});

test('a limit with an exception is told as such', () => {
  const text = 'listen l\n  bind :443\n  tcp-request connection reject if { src_conn_cur gt 9 } !{ src 10.0.0.0/8 }\n';
  assert.match(said(`${text}  server s1 10.0.0.1:443\n`, 3).join(), /^lost: .*`perSource` holds for every source/);
});

test('what HAProxy takes in no defaults is not read there', () => {
  const text = 'defaults\n  bind :80\n  timeout client 5s\nlisten l\n  bind :443\n  server s1 10.0.0.1:443\n';
  assert.match(said(text, 2).join(), /^lost: bind :80: HAProxy takes no such line in `defaults`$/);
});

test('default-server holds for the servers below it, and a server has the last word', () => {
  const { b } = haproxy({
    back: 'server s0 10.0.0.9:80\ndefault-server weight 5 backup\nserver s2 10.0.0.2:80 weight 7',
  });
  assert.deepEqual(b?.['servers'], {
    s0: '10.0.0.9:80',
    s2: { address: '10.0.0.2:80', weight: 7, backup: true },
    s1: { address: '10.0.0.1:80', weight: 5, backup: true },
  });
});

test('an acl of many lines is one test of all its networks or names', () => {
  const networks = Array.from({ length: 600 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);
  const front = `${networks.map((one) => `acl a src ${one}`).join('\n')}\ntcp-request connection reject if a`;
  const { f, lost } = haproxy({ front });
  assert.deepEqual([f?.['deny'], lost], [networks, []]);
});
