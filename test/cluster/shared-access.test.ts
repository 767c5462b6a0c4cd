/** How a balancer gets into a Redis that lets not everybody in: TLS, users, passwords, and what is said if it does not. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { schema } from '../../src/config/schema.ts';
import { redisSessions } from '../../src/pool/shared/redis.ts';
import { start } from '../support/berth.ts';
import { Authority, type Certificate } from '../support/authority.ts';
import { closedPort } from '../support/listening.ts';
import { startRedis, startSentinels, type RedisServer } from '../support/redis.ts';
import { serve } from '../support/servers.ts';
import { come, joined, sharing } from '../support/sharing.ts';

const [ours, theirs] = [Authority.ofFile(), Authority.ofFile()];
const SERVER = ours.sign('IP:127.0.0.1');
const CLIENT = ours.sign('DNS:berth');
const PATIENT = { timeout: '3s' };

/** Files of a test's own. */
function filed(name: string, { key, cert }: Certificate): { key: string; cert: string } {
  const files = { key: join(ours.folder, `${name}.key`), cert: join(ours.folder, `${name}.cert`) };
  writeFileSync(files.key, key);
  writeFileSync(files.cert, cert);
  return files;
}
const [server, client] = [filed('redis', SERVER), filed('berth', CLIENT)];
const [ca, otherCa] = [ours, theirs].map(({ folder }) => join(folder, 'ca.pem'));

async function startSecured(t: TestContext): Promise<RedisServer> {
  const port = await closedPort();
  const files = ['--tls-cert-file', server.cert, '--tls-key-file', server.key, '--tls-ca-cert-file', ca!];
  return startRedis(t, { port, args: ['--port', '0', '--tls-port', String(port), ...files] });
}

test('a Redis that speaks TLS alone, and asks for a certificate, is reached with ours and its CA', async (t) => {
  const redis = await startSecured(t);
  const nodes = await serve(t, ['s1', 's2']);
  const shared = { ...PATIENT, url: `rediss://127.0.0.1:${redis.port}`, ca, ...client };
  const [a, b] = [await joined(t, sharing(nodes, shared)), await joined(t, sharing(nodes.toReversed(), shared))];
  assert.equal(await come(t, a, '127.8.0.1'), await come(t, b, '127.8.0.1'));
});

test('a Redis that TLS does not let us reach: one line of the log says why, in words', async (t) => {
  const redis = await startSecured(t);
  const plain = await startRedis(t);
  const nodes = await serve(t, ['s1']);
  const url = `rediss://127.0.0.1:${redis.port}`;
  for (const [shared, why] of [
    [{ url, ca: otherCa, ...client }, 'the certificate is signed by an unknown authority'],
    [{ url, ca }, 'it asks clients for a certificate'],
    [{ url: `rediss://localhost:${redis.port}`, ca, ...client }, 'the certificate is for 127.0.0.1, not localhost'],
    [{ url: `rediss://127.0.0.1:${plain.port}`, ca }, 'no answer within 1000 ms'],
    [{ url: `redis://127.0.0.1:${redis.port}` }, 'read ECONNRESET'],
  ] as const) {
    const berth = await start(t, sharing(nodes, { ...PATIENT, ...shared }));
    const { reason } = await berth.line(({ event }) => event === 'shared_table_down');
    assert.ok(String(reason).endsWith(`: ${why}`), String(reason));
    // It is tried again each second, and is told once.
    assert.equal(await come(t, berth, '127.8.0.1'), 's1');
    await berth.stop();
    assert.equal(berth.lines.filter(({ event }) => String(event).startsWith('shared_table_')).length, 1);
  }
});

/** The rights that docs/two-balancers.md names, one word each. */
const rightsOf = (of: RegExp): string[] =>
  of.exec(readFileSync('docs/two-balancers.md', 'utf8'))?.[1]?.split(/\s+/) ?? [];

test('an ACL user needs all the rights that docs/two-balancers.md names, and no others', async (t) => {
  const redis = await startRedis(t);
  const admin = await redis.client();
  const allow = async (rights: readonly string[]): Promise<void> => {
    await admin.sendCommand(['ACL', 'SETUSER', 'berth', 'reset', 'on', '>hunter2', ...rights]);
  };
  const rights = [...rightsOf(/`(~berth:\* [^`]*)`/), ...rightsOf(/`(\+hget[^`]*)`/)];
  await allow(rights);
  const nodes = await serve(t, ['s1', 's2']);
  const passwordFile = join(ours.folder, 'password');
  writeFileSync(passwordFile, 'hunter2\n');
  const url = (login: string): string => `redis://${login}127.0.0.1:${redis.port}/1`;
  const [a, b] = [
    await joined(t, sharing(nodes, { ...PATIENT, url: url(''), user: 'berth', passwordFile })),
    await joined(t, sharing(nodes, { ...PATIENT, url: url('berth:hunter2@') })),
  ];
  const name = await come(t, a, '127.8.0.1');
  assert.equal(await come(t, b, '127.8.0.1'), name);
  await nodes.find((node) => node.name === name)!.close();
  assert.equal(await come(t, a, '127.8.0.1'), await come(t, b, '127.8.0.1'));

  // All that a balancer ever says, beside its open.
  const { stickTable } = schema.shape.backends.parse({
    b: { servers: { s: 'h:1' }, stickTable: { shared: url('berth:hunter2@') } },
  })['b']!;
  assert.ok(stickTable !== false && stickTable.shared !== false);
  const { shared } = stickTable;
  const story = async (): Promise<void> => {
    const events = { told() {}, lost() {} };
    const session = await redisSessions(shared, 'b', 'i')(events);
    try {
      for (const [from, to] of [
        ['', 's1 a'],
        ['', 's2 a'],
        ['s1 a', 's2 a'],
        ['', ''],
      ] as const) {
        await session.agree([{ client: 'c', from, to }], 1_000);
      }
      await session.states([{ field: 's1', from: '', to: 'drain' }]);
    } finally {
      session.close();
    }
  };
  await story();
  for (const right of rights) {
    await admin.flushAll();
    await allow(rights.filter((one) => one !== right));
    await assert.rejects(story(), /NOPERM|ERR/, `${right} is not needed`);
  }
});

test('an ACL user of the Sentinels needs the one right that docs/two-balancers.md names; a wrong password is told', async (t) => {
  const primary = await startRedis(t);
  const [sentinel] = await startSentinels(t, primary);
  const admin = await sentinel!.client();
  const rights = rightsOf(/`(\+sentinel[^`]*)`/);
  await admin.sendCommand(['ACL', 'SETUSER', 'berth', 'on', '>hunter2', ...rights]);
  await admin.sendCommand(['ACL', 'SETUSER', 'default', 'off']);
  const nodes = await serve(t, ['s1']);
  const of = (more: object) => {
    const shared = { ...PATIENT, sentinels: [`127.0.0.1:${sentinel!.port}`], master: 'm', ...more };
    return sharing(nodes, shared);
  };
  const sentinelPasswordFile = join(ours.folder, 'sentinel-password');
  writeFileSync(sentinelPasswordFile, 'hunter2\n');
  const login = { sentinelUser: 'berth', sentinelPasswordFile };
  const berth = await joined(t, of(login));
  assert.equal(await come(t, berth, '127.8.0.1'), 's1');
  for (const [more, why] of [
    [{}, /NOAUTH/],
    [{ sentinelUser: 'berth', sentinelPassword: 'hunter3' }, /WRONGPASS/],
    [{ ...login, master: 'n' }, /it knows no master n$/],
  ] as const) {
    const turned = await start(t, of(more));
    const { reason } = await turned.line(({ event }) => event === 'shared_table_down');
    assert.match(String(reason), why);
    assert.equal(JSON.stringify(turned.lines).includes('hunter'), false);
  }
});
