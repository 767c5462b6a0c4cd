/** Who has a place at an address of Berth's own, where there are fewer places than clients. */
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { createServer } from 'node:net';
import { test, type TestContext } from 'node:test';
import { Http } from '../../../src/admin/http.ts';
import { Client } from '../../support/clients.ts';
import { listen } from '../../support/listening.ts';
import { eventually } from '../../support/waiting.ts';

const ASK = 'GET / HTTP/1.1\r\nhost: localhost\r\n\r\n';

/** Answers 'ok' at once, or, to /wait, when a test says so. */
async function stage(t: TestContext) {
  const waiting: ServerResponse[] = [];
  let taken = 0;
  const http = new Http(async ({ url }, response) => {
    if (url === '/wait') waiting.push(response);
    else response.end('ok');
  });
  const port = await listen(
    t,
    createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
      http.take(socket);
      taken++;
    }),
  );
  t.after(() => http.close());
  return {
    waiting,
    /** A client that has been taken, and has said no more than `text`. */
    enter: async (from: string, text = ''): Promise<Client> => {
      const before = taken;
      const client = new Client({ port, from });
      if (text !== '') client.socket.write(text);
      await eventually('it to be taken', () => taken > before);
      return client;
    },
    ask: async (from: string): Promise<string> => {
      const client = new Client({ port, from });
      client.socket.write(ASK);
      await client.ended;
      return client.received.toString();
    },
  };
}

const OK = /^HTTP\/1\.1 200 OK\r\n[^]*ok/;

test('a client that opens silent connections again and again loses its own, and keeps no other client out', async (t) => {
  const { enter, ask } = await stage(t);
  const silent: Client[] = [];
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 4; i++) silent.push(await enter('127.0.0.1'));
    assert.match(await ask('127.0.0.2'), OK);
  }
  await Promise.all(silent.slice(0, -8).map((client) => client.ended));
  assert.equal(silent.filter(({ socket }) => !socket.readableEnded).length, 8);
  assert.match(await ask('127.0.0.1'), OK, 'and can still ask');
});

test('where many clients are silent, the one that has been so for longest makes room', async (t) => {
  const { enter, ask } = await stage(t);
  const silent: Client[] = [];
  for (let i = 0; i < 16; i++) silent.push(await enter(`127.0.0.${10 + (i % 8)}`, i % 2 === 0 ? '' : ASK.slice(0, -2)));
  assert.match(await ask('127.0.0.2'), OK);
  await silent[0]!.ended;
  assert.equal(silent.filter(({ socket }) => socket.readableEnded).length, 1);
});

test('a client that has asked keeps its place before those that are silent, and while its answer is worked out', async (t) => {
  const { enter, ask, waiting } = await stage(t);
  const asked: Client[] = [];
  for (let i = 0; i < 8; i++) asked.push(await enter('127.0.0.1', 'GET /wait HTTP/1.1\r\nhost: localhost\r\n\r\n'));
  await eventually('all requests to have come', () => waiting.length === 8);
  assert.equal(await ask('127.0.0.1'), '', 'the ninth of one client is turned away');
  for (let i = 0; i < 20; i++) await enter(`127.0.0.${10 + i}`);
  assert.match(await ask('127.0.0.2'), OK);
  for (const response of waiting) response.end('ok');
  for (const client of asked) {
    await client.ended;
    assert.match(client.received.toString(), OK);
  }
});

test('a client whose request never becomes whole counts as silent', async (t) => {
  const { enter, ask } = await stage(t);
  const put = 'PUT / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 50\r\n\r\n{';
  for (let i = 0; i < 30; i++) await enter('127.0.0.1', put);
  assert.match(await ask('127.0.0.1'), OK);
  assert.match(await ask('127.0.0.2'), OK);
});
