/** What Berth replaces: the same scenes with HAProxy and with Berth, and the differences that are meant. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client } from '../support/clients.ts';
import { NO_HAPROXY } from '../support/haproxy.ts';
import { whoServes, somebody } from '../support/people.ts';
import type { Manner } from '../support/servers.ts';
import { stageBerth, stageHaproxy, type Setting, type Stage } from '../support/stage.ts';
import { eventually } from '../support/waiting.ts';

const stages = [stageBerth, stageHaproxy];

/** Both must come to the same. */
function agree(
  title: string,
  count: number,
  setting: Setting,
  scene: (stage: Stage) => Promise<unknown>,
  wanted: unknown,
): void {
  test(title, { skip: NO_HAPROXY }, async (t) => {
    for (const make of stages) {
      const stage = await make(t, count, setting);
      assert.deepEqual(await scene(stage), wanted, stage.name);
    }
  });
}

const visits = async ({ port }: Stage, ...people: readonly string[]): Promise<string[]> => {
  const answers: string[] = [];
  for (const who of people) answers.push(await whoServes(port, who));
  return answers;
};
const strangers = (count: number): string[] => Array.from({ length: count }, somebody);
/** In the order of a first look: whoever comes first is called 1. */
const byTurn = (answers: readonly string[]): number[] => answers.map((name) => [...new Set(answers)].indexOf(name) + 1);

agree(
  'four servers are taken in turn',
  4,
  {},
  async (stage) => byTurn(await visits(stage, ...strangers(9))),
  [1, 2, 3, 4, 1, 2, 3, 4, 1],
);

agree(
  'who returns is served by the same server',
  4,
  {},
  async (stage) => {
    const people = strangers(6);
    const first = await visits(stage, ...people);
    await visits(stage, ...strangers(3));
    const again = await visits(stage, ...people.toReversed());
    return [JSON.stringify(again.toReversed()) === JSON.stringify(first), await stage.entries()];
  },
  [true, 9],
);

for (const weights of [
  [3, 1],
  [5, 1, 1],
  [2, 3],
]) {
  agree(
    `weights ${weights.join(' to ')}: each round has its share`,
    weights.length,
    { weights },
    async (stage) => {
      const round = weights.reduce((sum, weight) => sum + weight, 0);
      const answers = await visits(stage, ...strangers(3 * round));
      return weights.map((_, i) => answers.filter((name) => name === `s${i + 1}`).length / 3);
    },
    weights,
  );
}

agree(
  'a drained server keeps who is bound to it and is given nobody new',
  2,
  {},
  async (stage) => {
    const [anna, ben] = [somebody(), somebody()];
    const before = await visits(stage, anna, ben);
    await stage.set(before[0] ?? '', 'drain');
    const fresh = await visits(stage, ...strangers(4));
    const after = await visits(stage, anna, ben);
    return [byTurn([...before, ...after]), fresh.every((name) => name === before[1])];
  },
  [[1, 2, 1, 2], true],
);

agree(
  'who is moved from a server in maintenance stays where it was moved to',
  2,
  {},
  async (stage) => {
    const anna = somebody();
    const [first = ''] = await visits(stage, anna);
    await stage.set(first, 'maint');
    const [moved] = await visits(stage, anna);
    await stage.set(first, 'ready');
    await stage.until(first, 'up');
    const [after] = await visits(stage, anna);
    return byTurn([first, moved ?? '', after ?? '']);
  },
  [1, 2, 2],
);

agree(
  'a backup is used when no other is up, and new clients leave it when one is',
  3,
  { backup: 's3' },
  async (stage) => {
    const [s1, s2] = stage.servers;
    const before = await visits(stage, ...strangers(4));
    await s1?.close();
    await stage.until('s1', 'down');
    const one = await visits(stage, ...strangers(2));
    await s2?.close();
    await stage.until('s2', 'down');
    const none = await visits(stage, ...strangers(2));
    await s2?.open();
    await stage.until('s2', 'up');
    return [before.toSorted(), one, none, await visits(stage, ...strangers(2))];
  },
  [
    ['s1', 's1', 's2', 's2'],
    ['s2', 's2'],
    ['s3', 's3'],
    ['s2', 's2'],
  ],
);

agree(
  'whose server refuses is given another one at once, and stays there',
  2,
  { checks: 'rare' },
  async (stage) => {
    const anna = somebody();
    const [first = ''] = await visits(stage, anna);
    const server = stage.servers.find(({ name }) => name === first);
    await server?.close();
    const moved = await visits(stage, anna);
    await server?.open();
    return byTurn([first, ...moved, ...(await visits(stage, anna, anna))]);
  },
  [1, 2, 2, 2],
);

agree(
  'newcomers have the place that is free first, and a bound client that of its server, however long it waits',
  2,
  { most: 1 },
  async (stage) => {
    const [anna, ben] = [somebody(), somebody()];
    const hold = async (from: string): Promise<{ client: Client; name: string }> => {
      const client = new Client({ port: stage.port, from });
      return { client, name: await client.line() };
    };
    const [first, second] = [await hold(anna), await hold(ben)];
    const wait = async (from: string, count: number): Promise<Client> => {
      const client = new Client({ port: stage.port, from });
      await eventually(`${count} who wait`, async () => (await stage.waiting()) === count);
      return client;
    };
    const bound = await wait(anna, 1);
    const newcomers = [await wait(somebody(), 2), await wait(somebody(), 3)];
    await second.client.finish();
    const served: string[] = [];
    for (const newcomer of newcomers) {
      served.push(await newcomer.line());
      await newcomer.finish();
    }
    const still = await stage.waiting();
    await first.client.finish();
    const answers = [first.name, second.name, ...served, await bound.line()];
    await bound.finish();
    return [byTurn(answers), still];
  },
  [[1, 2, 2, 2, 1], 1],
);

/** Counts, and answers when the client has finished. */
const answersAtTheEnd: Manner = (socket, { name }) => {
  let bytes = 0;
  socket.on('data', (data) => (bytes += data.length));
  socket.on('end', () => socket.end(`${name} got ${bytes}\n`));
};
/** Finishes at once, and tells itself what still comes. */
const late: string[] = [];
const finishesFirst: Manner = (socket) => {
  let text = '';
  socket.end('bye\n');
  socket.on('data', (data) => (text += data.toString()));
  socket.on('end', () => late.push(text));
};

agree(
  'a client that has finished is still answered',
  1,
  { manner: answersAtTheEnd, checks: 'rare' },
  async ({ port }) => {
    const client = new Client({ port });
    client.socket.end(Buffer.alloc(500_000));
    return [await client.line(), await client.ended];
  },
  ['s1 got 500000', 'end'],
);

agree(
  'a server that has finished still gets what its client sends',
  1,
  { manner: finishesFirst, checks: 'rare' },
  async ({ port }) => {
    const client = new Client({ port });
    const heard = [await client.line(), await client.ended];
    client.socket.end('one more word');
    return [...heard, await eventually('the last word', () => late.splice(0).find((text) => text !== ''))];
  },
  ['bye', 'end', 'one more word'],
);

test(
  'meant otherwise: a reset of the server is a reset for the client; HAProxy makes a clean end of it',
  { skip: NO_HAPROXY },
  async (t) => {
    const manner: Manner = (socket) => void socket.once('data', () => socket.resetAndDestroy());
    const ends: Record<string, string> = {};
    for (const make of stages) {
      const { name, port } = await make(t, 1, { manner, checks: 'rare' });
      const client = new Client({ port });
      client.socket.write('hello');
      ends[name] = await client.ended;
    }
    assert.deepEqual(ends, { Berth: 'reset', HAProxy: 'end' });
  },
);

test(
  'meant otherwise: first connections that come together are all bound to one server; HAProxy binds each when it is connected',
  { skip: NO_HAPROXY },
  async (t) => {
    const split = { Berth: 0, HAProxy: 0 };
    for (const make of stages) {
      const { name, port } = await make(t, 4, {});
      for (let burst = 0; burst < 30; burst++) {
        const from = somebody();
        const answers = await Promise.all(Array.from({ length: 6 }, () => whoServes(port, from)));
        if (new Set(answers).size > 1) split[name]++;
      }
    }
    t.diagnostic(`of 30 bursts, HAProxy split ${split.HAProxy}`);
    assert.equal(split.Berth, 0);
  },
);

test(
  'meant otherwise: a binding does not expire while its client has a connection open; that of HAProxy does',
  { skip: NO_HAPROXY },
  async (t) => {
    const left: Record<string, number> = {};
    for (const make of stages) {
      const stage = await make(t, 4, { expire: '500ms' });
      const [anna, ben] = [somebody(), somebody()];
      const held = new Client({ port: stage.port, from: anna });
      const first = await held.line();
      await visits(stage, ben);
      const least = stage.name === 'Berth' ? 1 : 0;
      await eventually('the binding of who is away to expire', async () => (await stage.entries()) <= least);
      left[stage.name] = await stage.entries();
      if (stage.name === 'Berth') assert.deepEqual(await visits(stage, anna), [first]);
      await held.finish();
    }
    assert.deepEqual(left, { Berth: 1, HAProxy: 0 });
  },
);

test(
  'meant otherwise: who was moved to a backup returns to its server; HAProxy leaves it there',
  { skip: NO_HAPROXY },
  async (t) => {
    const served: Record<string, string[]> = {};
    for (const make of stages) {
      const stage = await make(t, 2, { backup: 's2' });
      const anna = somebody();
      const answers = await visits(stage, anna);
      await stage.servers[0]?.close();
      await stage.until('s1', 'down');
      answers.push(...(await visits(stage, anna)));
      await stage.servers[0]?.open();
      await stage.until('s1', 'up');
      served[stage.name] = [...answers, ...(await visits(stage, anna))];
    }
    assert.deepEqual(served, { Berth: ['s1', 's2', 's1'], HAProxy: ['s1', 's2', 's2'] });
  },
);
