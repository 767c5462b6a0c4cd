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

/** Answers 'ok' at once; to /wait when a test says so; to /stream with an answer that goes on, or 'full'. */
async function stage(t: TestContext) {
  const waiting: ServerResponse[] = [];
  const streams: ServerResponse[] = [];
  let taken = 0;
  const http = new Http(async ({ url }, response) => {
    if (url === '/wait') waiting.push(response);
    else if (url !== '/stream') response.end('ok');
    else if (!http.stream(response)) response.end('full');
    else {
      streams.push(response);
      response.write('it goes on');
    }
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
    http,
    waiting,
    streams,
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

const STREAM = 'GET /stream HTTP/1.1\r\nhost: localhost\r\n\r\n';

test('streams have places of their own: eight of a client, sixteen in all, and none of those of requests', async (t) => {
  const { enter, ask, streams } = await stage(t);
  const open = async (from: string): Promise<Client> => {
    const client = await enter(from, STREAM);
    await eventually('an answer', () => /it goes on|full/.test(client.received.toString()));
    return client;
  };
  for (let i = 0; i < 8; i++) assert.match((await open('127.0.0.1')).received.toString(), /it goes on/);
  assert.match((await open('127.0.0.1')).received.toString(), /full/, 'the ninth of one client');
  for (let i = 0; i < 8; i++) assert.match((await open(`127.0.0.${10 + i}`)).received.toString(), /it goes on/);
  assert.match((await open('127.0.0.30')).received.toString(), /full/, 'the seventeenth of all');
  for (const from of ['127.0.0.1', '127.0.0.2']) assert.match(await ask(from), OK);
  streams[3]!.end();
  await eventually('a place', async () => /it goes on/.test((await open('127.0.0.1')).received.toString()));
});

test('who opens stream after stream keeps nobody from asking', async (t) => {
  const { enter, ask } = await stage(t);
  const clients: Client[] = [];
  for (let i = 0; i < 200; i++) {
    clients.push(await enter('127.0.0.1', STREAM));
    if (i % 20 === 0) assert.match(await ask('127.0.0.1'), OK);
  }
  assert.match(await ask('127.0.0.2'), OK);
  await eventually('all but eight to be sent away', () => {
    return clients.filter(({ socket }) => !socket.readableEnded && !socket.destroyed).length === 8;
  });
});

test('where there is no place left, the stream of a client that does not read goes', async (t) => {
  const { enter, streams } = await stage(t);
  const clients: Client[] = [];
  for (let i = 0; i < 8; i++) clients.push(await enter('127.0.0.1', STREAM));
  await eventually('eight streams', () => streams.length === 8);
  clients[5]!.socket.pause();
  const stuck = streams[5]!;
  await eventually('it to have unread bytes', () => {
    // What the kernel takes of a write is gone by the next look.
    if (stuck.writableLength > 0) return true;
    stuck.write('x'.repeat(1 << 20));
    return false;
  });
  const next = await enter('127.0.0.1', STREAM);
  await eventually('an answer', () => /it goes on/.test(next.received.toString()));
  assert.equal(stuck.destroyed, true);
  assert.equal(streams.filter(({ destroyed }) => destroyed).length, 1);
});

test('a close ends streams after what was sent, and requests at once', async (t) => {
  const { enter, http, streams } = await stage(t);
  const stream = await enter('127.0.0.1', STREAM);
  const silent = await enter('127.0.0.1');
  await eventually('a stream', () => streams.length === 1);
  streams[0]!.write('the last word');
  http.close();
  assert.equal(await stream.ended, 'end');
  assert.match(stream.received.toString(), /the last word\r\n0\r\n\r\n$/);
  await silent.ended;
});
