import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildProxyHeader } from '../../../src/pool/proxy-protocol.ts';
import { Pattern } from '../../support/peer.ts';
import { ProxyStand } from '../../support/proxy-stand.ts';

const BYTES = new Pattern(8);
const WAITING = { frontend: { waitForClient: true } };

test('no server is chosen, bound or connected before the first byte of the client', async (t) => {
  const stand = await ProxyStand.open(t, WAITING);
  const client = await stand.arrive();
  await stand.accepts(1);
  assert.deepEqual([stand.told, stand.server().slots.taken, stand.backend.binding('127.0.0.1')], [[], 0, undefined]);
  await client.send(BYTES, 10);
  const server = await stand.served();
  server.expects = BYTES;
  await server.gets(10);
  assert.equal(server.corruptAt, undefined);
});

for (const [how, leave] of [
  ['finishes', 'end'],
  ['resets', 'reset'],
] as const) {
  test(`a client that ${how} without a word is counted, and leaves no line and no binding`, async (t) => {
    const stand = await ProxyStand.open(t, WAITING);
    const client = await stand.arrive();
    await stand.accepts(1);
    client[leave]();
    assert.equal(await stand.refusal(), 'client_silent');
    await stand.accepts(0);
    assert.deepEqual([stand.records, stand.told, stand.backend.binding('127.0.0.1')], [[], [], undefined]);
  });
}

test('a client that says nothing is let go after timeouts.idle, and not before', async (t) => {
  const stand = await ProxyStand.open(t, { ...WAITING, timeouts: { idle: '10m' } });
  const client = await stand.arrive();
  await stand.accepts(1);
  stand.frontend.sweep(performance.now() + 500_000);
  assert.equal(stand.frontend.connections, 1);
  stand.frontend.sweep(performance.now() + 600_000);
  assert.equal(await stand.refusal(), 'client_silent');
  await client.getsEnd();
  assert.deepEqual(stand.records, []);
});

test('a client that says nothing has a place of its source', async (t) => {
  const stand = await ProxyStand.open(t, { frontend: { waitForClient: true, perSource: { connections: 1 } } });
  await stand.arrive();
  await stand.accepts(1);
  await stand.arrive();
  assert.equal(await stand.refusal(), 'source_connections');
});

test('a PROXY header is no first byte', async (t) => {
  const stand = await ProxyStand.open(t, { frontend: { waitForClient: true, acceptProxy: ['127.0.0.0/8'] } });
  const from = { address: '192.0.2.7', port: 4711 };
  const client = await stand.arrive();
  client.socket.write(buildProxyHeader('v1', from, { address: '192.0.2.1', port: 443 }));
  await stand.accepts(1);
  client.end();
  assert.equal(await stand.refusal(), 'client_silent');
  assert.deepEqual(stand.told, []);
});

test('the operator who ends a client that has said nothing has a line of it', async (t) => {
  const stand = await ProxyStand.open(t, WAITING);
  await stand.arrive();
  await stand.accepts(1);
  stand.frontend.killAll();
  assert.equal((await stand.record()).end, 'KR');
});

test('the record names the address that the server sees', async (t) => {
  const stand = await ProxyStand.open(t);
  const { client, server } = await stand.join();
  const seen = `${server.socket.remoteAddress}:${server.socket.remotePort}`;
  client.reset();
  assert.equal((await stand.record()).from, seen);
});
