/** What the parser makes of the ClientHellos of the programs that will connect. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { connect as connectTls } from 'node:tls';
import { after, describe, test } from 'node:test';
import * as fc from 'fast-check';
import { parseClientHello } from '../../src/proxy/admission/client-hello.ts';
import { firstBytes, messageOf, records } from '../support/hellos.ts';
import { openWorkspace } from '../support/processes.ts';

const NAME = 'registry.example.com';
const workspace = openWorkspace();
after(() => workspace.close());

/** A client that fails, as each does here: nobody answers its hello. */
const program = (command: string, ...args: readonly string[]) => {
  return (port: number): void => {
    const whole = args.map((arg) => arg.replaceAll('PORT', String(port)));
    void workspace.run(command, whole, { timeoutMs: 15_000 }).catch(() => {});
  };
};
const openssl = (...args: readonly string[]) => program('openssl', 's_client', '-connect', '127.0.0.1:PORT', ...args);
const node = (options: { servername?: string; minVersion?: 'TLSv1.3'; maxVersion?: 'TLSv1.2' }) => (port: number) => {
  connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options }).on('error', () => {});
};

const clients: readonly (readonly [name: string, connect: (port: number) => void, serverName: string | undefined])[] = [
  ['openssl', openssl('-servername', NAME), NAME],
  ['openssl with TLS 1.2', openssl('-servername', NAME, '-tls1_2'), NAME],
  ['openssl with TLS 1.3', openssl('-servername', NAME, '-tls1_3'), NAME],
  ['openssl with ALPN', openssl('-servername', 'REGISTRY.Example.com', '-alpn', 'h2,http/1.1'), NAME],
  [
    'openssl with records of 512 bytes',
    openssl('-servername', NAME, '-split_send_frag', '512', '-max_send_frag', '512'),
    NAME,
  ],
  ['openssl without a name', openssl('-noservername'), undefined],
  ['openssl without a name, TLS 1.2', openssl('-noservername', '-tls1_2'), undefined],
  ['Node', node({ servername: NAME }), NAME],
  ['Node with TLS 1.2', node({ servername: NAME, maxVersion: 'TLSv1.2' }), NAME],
  ['Node with TLS 1.3', node({ servername: NAME, minVersion: 'TLSv1.3' }), NAME],
  ['Node without a name', node({}), undefined],
  ['curl', program('curl', '-sk', '--connect-to', '::127.0.0.1:PORT', `https://${NAME}/`), NAME],
  ['curl with a trailing dot', program('curl', '-sk', '--connect-to', '::127.0.0.1:PORT', `https://${NAME}./`), NAME],
  [
    'curl with TLS 1.2',
    program('curl', '-sk', '--tls-max', '1.2', '--connect-to', '::127.0.0.1:PORT', `https://${NAME}/`),
    NAME,
  ],
  ['curl to an address', program('curl', '-sk', 'https://127.0.0.1:PORT/'), undefined],
  ['skopeo (Go)', program('skopeo', 'inspect', '--tls-verify=false', 'docker://localhost:PORT/a'), 'localhost'],
  [
    'skopeo (Go) to an address',
    program('skopeo', 'inspect', '--tls-verify=false', 'docker://127.0.0.1:PORT/a'),
    undefined,
  ],
];

const present = (name: string): boolean => {
  const command = name.split(' ')[0] ?? '';
  return command === 'Node' || spawnSync(command, [command === 'openssl' ? 'version' : '--version']).status === 0;
};

describe('a real ClientHello', () => {
  for (const [name, connect, serverName] of clients) {
    test(`of ${name}`, { skip: !present(name) }, async () => {
      const wire = await firstBytes(connect, (bytes) => parseClientHello(bytes).kind !== 'more');
      const answer = { kind: 'hello', serverName };
      assert.deepEqual(parseClientHello(wire), answer);
      for (let i = 0; i < wire.length; i++) assert.equal(parseClientHello(wire.subarray(0, i)).kind, 'more');

      const message = messageOf(wire);
      for (let i = 1; i < message.length; i++) assert.deepEqual(parseClientHello(records(message, i)), answer);
      const sizes = fc.array(fc.integer({ min: 1, max: message.length }), { maxLength: 30 });
      fc.assert(fc.property(sizes, (cuts) => assert.deepEqual(parseClientHello(records(message, ...cuts)), answer)));
    });
  }
});
