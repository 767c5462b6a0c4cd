/** Whatever a client and a server do to each other through a whole connection, it ends, and leaves nothing. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { eventSockets, onreadSockets } from '../../../src/proxy/relay/sockets.ts';
import { helloMessage, records, serverName } from '../../support/hellos.ts';
import { Pattern, sideActs, type Peer } from '../../support/peer.ts';
import { ProxyStand } from '../../support/proxy-stand.ts';

const BYTES = new Pattern(9);
const HELLO = records(helloMessage({ extensions: [serverName('a.test')] }));
const HEADER = Buffer.from('PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n');

const act = fc.oneof(
  ...sideActs(5 << 20),
  fc.record({ side: fc.constant('client' as const), what: fc.constantFrom('header' as const, 'hello' as const) }),
  fc.constantFrom(
    { what: 'turn' as const },
    { what: 'kill' as const },
    { what: 'maint' as const },
    { what: 'another' as const },
  ),
);
type Act = typeof act extends fc.Arbitrary<infer T> ? T : never;

function actOut(stand: ProxyStand, client: Peer, one: Act): void {
  switch (one.what) {
    case 'kill':
      return stand.frontend.killAll();
    case 'maint':
      return stand.server('s1').setAdmin('maint');
    case 'turn':
    case 'another':
      return;
    case 'header':
    case 'hello':
      return void client.socket.write(one.what === 'header' ? HEADER : HELLO);
    default: {
      const peers = [...stand.nodes.values()].flatMap(({ peers: all }) => all);
      const peer = one.side === 'client' ? client : peers.at(-1);
      if (one.what === 'send') void peer?.send(BYTES, one.bytes);
      else peer?.[one.what]();
    }
  }
}

for (const sockets of [onreadSockets, eventSockets]) {
  describe(`over ${sockets.name} sockets`, () => {
    test('whatever is done to connections, none has two records, and nothing is left', async (t) => {
      const stand = await ProxyStand.open(t, {
        sockets,
        servers: ['s1', 's2'],
        backend: { servers: { s1: { maxConnections: 1 }, s2: { maxConnections: 2 } } },
      });
      const plain = { acceptProxy: [], sni: {} };
      const frontends = [plain, { ...plain, acceptProxy: ['127.0.0.0/8'] }, { ...plain, sni: { 'a.test': 'b' } }];
      await fc.assert(
        fc.asyncProperty(fc.nat(2), fc.array(act, { maxLength: 12 }), async (kind, acts) => {
          stand.serve({ frontend: { ...frontends[kind], perSource: { connections: 100 } } });
          stand.server('s1').setAdmin('ready');
          const [accepted, recorded] = [stand.frontend.accepted, stand.records.length];
          let client = await stand.arrive();
          let came = 1;
          for (const one of acts) {
            if (one.what === 'another') {
              client = await stand.arrive();
              came++;
            } else if (one.what === 'turn') await new Promise((resolve) => setImmediate(resolve));
            else actOut(stand, client, one);
          }
          // Some may have been reset before they were accepted: those have nobody to be recorded of.
          await new Promise((resolve) => setImmediate(resolve));
          client.socket.destroy();
          // A server that is reached only now has nobody to end it but the frontend.
          stand.frontend.killAll();
          await stand.isEmpty();
          assert.ok(stand.frontend.accepted - accepted <= came);
          assert.ok(stand.records.length - recorded <= stand.frontend.accepted - accepted);
          assert.deepEqual([stand.frontend.connections, stand.occupancy.connections], [0, 0]);
        }),
        { numRuns: 60, endOnFailure: true },
      );
      // The count of the source has fallen to nothing: one more is let in under the narrowest rule.
      stand.serve({ frontend: { ...plain, perSource: { connections: 1 } } });
      const before = stand.refusals.length;
      const client = await stand.arrive();
      await stand.accepts(1);
      client.reset();
      await stand.accepts(0);
      assert.deepEqual(stand.refusals.slice(before), []);
    });
  });
}
