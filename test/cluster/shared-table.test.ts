/** Two balancers and one table in a real Redis: what they agree on, and what becomes of clients when Redis fails them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { start, type Berth } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { connectFrom } from '../support/forwarder.ts';
import { api, reload } from '../support/operator.ts';
import { redisVersion, startRedis, type RedisServer } from '../support/redis.ts';
import { serve } from '../support/servers.ts';
import { QUICK_CHECKS, RARE_CHECKS, settings } from '../support/settings.ts';
import { SharedRedis, SimulatedClock } from '../support/shared-redis.ts';
import {
  assertUnnoticed,
  come,
  joined,
  longestWait,
  patient,
  sharing,
  strangers,
  twoSessions,
  UP,
} from '../support/sharing.ts';
import { eventually } from '../support/waiting.ts';

test('the model of Redis that the protocol is tested against answers as Redis does', async (t) => {
  t.diagnostic(redisVersion());
  const redis = await startRedis(t);
  const looker = await redis.client();
  const { sessions, told } = await twoSessions(t, redis.url);
  const word = fc.constantFrom('', 's1 a', 's2 b', 's3 a s1');
  const bid = fc.record({ client: fc.constantFrom('10.0.0.1', '2001:db8::/64', 'fe80::1%eth0'), from: word, to: word });
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.tuple(fc.constantFrom(0, 1), fc.array(bid, { minLength: 1, maxLength: 5 }), fc.constantFrom(0, 60_000)),
      ),
      async (story) => {
        await looker.flushAll();
        told.length = 0;
        const model = new SharedRedis(new SimulatedClock());
        for (const [i, bids, lifeMs] of story) {
          const wanted = model.agree('ab'[i]!, bids, lifeMs);
          assert.deepEqual(await sessions[i]!.agree(bids, lifeMs), wanted);
        }
        for (const key of ['10.0.0.1', '2001:db8::/64', 'fe80::1%eth0']) {
          const name = `berth:{b}:${key}`;
          assert.equal((await looker.get(name)) ?? undefined, model.get(key));
          if (model.get(key) === undefined) continue;
          assert.equal((await looker.pTTL(name)) === -1, model.lifeOf(key) === Infinity);
        }
        // A bid of the listener's own is answered after what was told before.
        await sessions[0]!.agree([{ client: 'x', from: '', to: '' }], 0);
        assert.deepEqual(told, model.told);
      },
    ),
    { numRuns: 60 },
  );
  // What no balancer has written is in nobody's way.
  await looker.hSet('berth:{b}:10.0.0.9', 'a', '1');
  assert.deepEqual(await sessions[0]!.agree([{ client: '10.0.0.9', from: '', to: 's1 a' }], 1_000), ['s1 a']);
});

test('200 new clients, six first connections each over both balancers at once: none is split, none is lost', async (t) => {
  const redis = await startRedis(t);
  const nodes = await serve(t, ['s1', 's2', 's3', 's4']);
  const [a, b] = [
    await joined(t, sharing(nodes, patient(redis.url))),
    await joined(t, sharing(nodes.toReversed(), patient(redis.url))),
  ];
  let [split, lost] = [0, 0];
  for (let batch = 0; batch < 10; batch++) {
    const clients = Array.from({ length: 20 }, (_, i) => `127.2.${batch}.${i + 1}`);
    const all = await Promise.all(
      clients.map((from) => Promise.all([a, b, a, b, a, b].map((berth) => come(t, berth, from).catch(() => 'lost')))),
    );
    for (const names of all) {
      lost += names.filter((name) => name === 'lost').length;
      split += Number(new Set(names).size > 1);
    }
  }
  assert.deepEqual({ split, lost }, { split: 0, lost: 0 });
  const won = (berth: Berth) => berth.metric('berth_stick_table_shared_claims_total{backend="b",result="won"}');
  assert.equal(((await won(a)) ?? 0) + ((await won(b)) ?? 0), 200);

  // A node dies: its clients go to one other node each, whichever balancer they come by.
  const dead = nodes[0]!;
  await dead.close();
  const moved = await Promise.all(
    Array.from({ length: 20 }, (_, i) => `127.2.0.${i + 1}`).map((from) =>
      Promise.all([a, b, a, b].map((berth) => come(t, berth, from))),
    ),
  );
  for (const names of moved) assert.deepEqual([new Set(names).size, names.includes('s1')], [1, false], names.join(' '));
});

type Fault = {
  readonly args?: readonly string[];
  readonly begin: (redis: RedisServer) => Promise<unknown>;
  readonly end: (redis: RedisServer) => Promise<unknown>;
};
const command =
  (...words: string[]) =>
  async (redis: RedisServer): Promise<unknown> =>
    (await redis.client()).sendCommand(words);
const FAULTS: Readonly<Record<string, Fault>> = {
  'is gone, and comes back empty': { begin: (redis) => redis.kill(), end: (redis) => redis.start() },
  'is frozen': {
    begin: async (redis) => redis.signal('SIGSTOP'),
    end: async (redis) => redis.signal('SIGCONT'),
  },
  'is full': {
    begin: command('CONFIG', 'SET', 'maxmemory', '1'),
    end: command('CONFIG', 'SET', 'maxmemory', '0'),
  },
  'has become a replica': {
    begin: command('REPLICAOF', '127.0.0.1', '1'),
    end: command('REPLICAOF', 'NO', 'ONE'),
  },
  'answers errors': {
    begin: command('ACL', 'SETUSER', 'default', '-@scripting'),
    end: command('ACL', 'SETUSER', 'default', '+@scripting'),
  },
};

for (const [name, fault] of Object.entries(FAULTS)) {
  test(`Redis ${name}, under load: no connection fails, none waits too long, and it is told once`, async (t) => {
    const redis = await startRedis(t, { args: ['--maxmemory-policy', 'noeviction'] });
    const nodes = await serve(t, ['s1', 's2', 's3']);
    const berth = await joined(t, sharing(nodes, patient(redis.url)));
    const story = async (): Promise<void> => {
      await fault.begin(redis);
      await berth.metricIs(UP, 0);
      const pending = 'berth_stick_table_shared_pending{backend="b"}';
      await berth.metricIs(pending, (value) => value > 20);
      await fault.end(redis);
      await berth.metricIs(UP, 1);
      await berth.metricIs(pending, 0);
    };
    const seen = await strangers(berth, story());
    t.diagnostic(`${seen.served} connections, the longest wait ${longestWait(berth)} ms`);
    await assertUnnoticed(berth, seen);
    const written = await berth.metric('berth_stick_table_shared_reconciled_total{backend="b",result="won"}');
    assert.ok(written! > 20, `${written} written`);
  });
}

test('a Redis that is slow is as good as none: whoever comes first waits for the deadline, all others not at all', async (t) => {
  const redis = await startRedis(t);
  const slow = await connectFrom('127.0.0.1', redis.port, { delayMs: 60 });
  t.after(() => slow.close());
  const nodes = await serve(t, ['s1', 's2']);
  const berth = await start(t, sharing(nodes, `redis://127.0.0.1:${slow.port}`));
  const { reason } = await berth.line(({ event }) => event === 'shared_table_down');
  assert.match(String(reason), /no answer within 80 ms/);
  const { served, failed } = await strangers(
    berth,
    berth.metricIs('berth_server_connections_total{backend="b",server="s1"}', (n) => n > 50),
  );
  assert.deepEqual([failed, longestWait(berth)], [[], 0]);
  assert.ok(served > 50);
});

test('a Redis that nobody lets us use: no address, no password, the wrong one; nothing secret is said', async (t) => {
  const redis = await startRedis(t, { args: ['--requirepass', 'hunter2'] });
  const nodes = await serve(t, ['s1']);
  for (const [url, why] of [
    ['redis://127.0.0.1:1', /ECONNREFUSED/],
    [redis.url, /NOAUTH/],
    [`redis://:hunter3@127.0.0.1:${redis.port}`, /WRONGPASS/],
  ] as const) {
    const berth = await start(t, sharing(nodes, url));
    const { reason } = await berth.line(({ event }) => event === 'shared_table_down');
    assert.match(String(reason), why);
    assert.equal(await come(t, berth, '127.3.0.1'), 's1');
    assert.equal(JSON.stringify(berth.lines).includes('hunter'), false);
    await berth.stop();
  }
  const berth = await joined(t, sharing(nodes, `redis://:hunter2@127.0.0.1:${redis.port}`));
  assert.equal(JSON.stringify(berth.lines).includes('hunter'), false);
});

test('what was bound while Redis was away is written, unless another balancer was first: then it is followed', async (t) => {
  const redis = await startRedis(t);
  const nodes = await serve(t, ['s1', 's2']);
  const gate = await connectFrom('127.0.0.1', redis.port);
  t.after(() => gate.close());
  const a = await joined(t, sharing(nodes, patient(`redis://127.0.0.1:${gate.port}`)));
  const b = await joined(t, sharing(nodes.toReversed(), patient(redis.url)));
  await redis.kill();
  await a.metricIs(UP, 0);
  await b.metricIs(UP, 0);
  const [contested, own] = ['127.4.0.1', '127.4.0.2'];
  assert.deepEqual([await come(t, a, contested), await come(t, a, own)], ['s1', 's2']);
  assert.equal(await come(t, b, contested), 's2');
  await redis.start();
  await a.metricIs('berth_stick_table_shared_pending{backend="b"}', 0);
  await b.metricIs('berth_stick_table_shared_pending{backend="b"}', 0);
  const looker = await redis.client();
  const agreed = (await looker.get(`berth:{b}:${contested}`))!.split(' ')[0]!;
  for (const berth of [a, b]) assert.equal(await come(t, berth, contested), agreed);
  assert.equal((await looker.get(`berth:{b}:${own}`))!.split(' ')[0], 's2');
  const followed = (berth: Berth) =>
    berth.metric('berth_stick_table_shared_reconciled_total{backend="b",result="followed"}');
  assert.equal(((await followed(a)) ?? 0) + ((await followed(b)) ?? 0), 1);
});

test('a reload that leaves the shared table as it is keeps what is left to write', async (t) => {
  const redis = await startRedis(t);
  const nodes = await serve(t, ['s1', 's2']);
  const config = sharing(nodes, patient(redis.url));
  const berth = await joined(t, config);
  await redis.kill();
  await berth.metricIs(UP, 0);
  const name = await come(t, berth, '127.7.0.1');
  const { msg } = await reload(berth, { ...config, timeouts: { drain: '1s' } });
  assert.equal(msg, 'reloaded');
  const pending = 'berth_stick_table_shared_pending{backend="b"}';
  assert.equal(await berth.metric(pending), 1);
  await redis.start();
  await berth.metricIs(pending, 0);
  const looker = await redis.client();
  assert.equal((await looker.get('berth:{b}:127.7.0.1'))?.split(' ')[0], name);
});

test('a move of one balancer is known to the other at once, and a drained node keeps its clients at both', async (t) => {
  const redis = await startRedis(t);
  const nodes = await serve(t, ['s1', 's2', 's3']);
  const [a, b] = [
    await joined(t, sharing(nodes, patient(redis.url), {}, QUICK_CHECKS)),
    await joined(t, sharing(nodes, patient(redis.url))),
  ];
  const first = await come(t, a, '127.5.0.1');
  assert.equal(await come(t, b, '127.5.0.1'), first);
  const node = nodes.find(({ name }) => name === first)!;
  await node.close();
  await a.change('server down', first);
  const next = await come(t, a, '127.5.0.1');
  assert.notEqual(next, first);
  // The other balancer still believes that the first node is up.
  const moved = 'berth_stick_table_moves_total{backend="b"}';
  assert.equal(await come(t, b, '127.5.0.1'), next);
  assert.equal(await b.metric(moved), 0);
});

test('a client expires nowhere while it has a connection open anywhere', async (t) => {
  const redis = await startRedis(t);
  const nodes = await serve(t, ['s1', 's2']);
  const config = sharing(nodes, patient(redis.url), { expire: '1s' });
  const [a, b] = [await joined(t, config), await joined(t, config)];
  const name = await come(t, a, '127.6.0.1');
  const looker = await redis.client();
  let fresh = 0;
  let lastMs = 0;
  // Its life is prolonged again and again.
  await eventually('a key that is prolonged five times', async () => {
    const lifeMs = await looker.pTTL('berth:{b}:127.6.0.1');
    assert.ok(lifeMs > 0, `${lifeMs}`);
    if (lifeMs > lastMs) fresh++;
    lastMs = lifeMs;
    return fresh > 5;
  });
  assert.equal(await come(t, b, '127.6.0.1'), name);
});

test('a client that leaves while it waits for Redis has no connection to a server, and leaves its place free', async (t) => {
  const redis = await startRedis(t);
  const [node] = await serve(t, ['s1']);
  const shared = patient(redis.url);
  const server = { address: node!.address, maxConnections: 1 };
  const berth = await joined(t, settings([server], { stickTable: { shared }, ...RARE_CHECKS }));
  redis.signal('SIGSTOP');
  const client = new Client({ port: await berth.port(), from: '127.9.0.1' });
  await berth.metricIs('berth_frontend_connections{frontend="f"}', 1);
  client.socket.resetAndDestroy();
  const { end, sharedMs } = await berth.line(({ msg }) => msg === 'connection');
  assert.equal(end, 'CQ');
  assert.ok(Number(sharedMs) > 0);
  redis.signal('SIGCONT');
  assert.equal(await berth.metric('berth_server_connections_total{backend="b",server="s1"}'), 0);
  assert.equal(await come(t, berth, '127.9.0.2'), 's1');
});

test('a balancer that is told to stop has written how long its clients are to be known', async (t) => {
  const redis = await startRedis(t);
  const nodes = await serve(t, ['s1']);
  const berth = await joined(t, sharing(nodes, patient(redis.url), { expire: '1h' }));
  const looker = await redis.client();
  const [known, fresh] = ['berth:{b}:127.9.0.1', 'berth:{b}:127.9.0.2'];
  const visit = async (from: string): Promise<void> => {
    const client = new Client({ port: await berth.port(), from });
    assert.equal(await client.line(), 's1');
    await client.finish();
  };
  await visit('127.9.0.1');
  // What is left of its hour: a client that is known costs no question.
  await looker.pExpire(known, 600_000);
  await visit('127.9.0.1');
  await visit('127.9.0.2');
  berth.signal('SIGTERM');
  assert.equal(await berth.exited, 0);
  for (const key of [known, fresh]) assert.ok((await looker.pTTL(key)) > 1_800_000, key);
});

test('a client is forgotten everywhere, whichever balancer is told so', async (t) => {
  const redis = await startRedis(t);
  const nodes = await serve(t, ['s1', 's2']);
  const config = sharing(nodes, patient(redis.url));
  const [a, b] = [await joined(t, config), await joined(t, config)];
  await come(t, a, '127.9.0.1');
  const unbind = async (berth: Berth) => (await api(berth, 'DELETE', '/api/v1/table?ip=127.9.0.1')).body;
  assert.deepEqual(await unbind(b), { unbound: 1 });
  const looker = await redis.client();
  assert.equal(await looker.get('berth:{b}:127.9.0.1'), null);
  await a.metricIs('berth_stick_table_entries{backend="b"}', 0);
  for (const berth of [a, b]) assert.deepEqual(await unbind(berth), { unbound: 0 });
});
