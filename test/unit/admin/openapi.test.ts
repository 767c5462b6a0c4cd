/** The description of the admin API against what a running balancer answers. */
import assert from 'node:assert/strict';
import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { test } from 'node:test';
import { Inside } from '../../support/inside.ts';
import { Client } from '../../support/clients.ts';
import { EventStream } from '../../support/event-stream.ts';
import { api, type Answer, type Question } from '../../support/operator.ts';
import { refusing, serve } from '../../support/servers.ts';
import { QUICK_CHECKS, settings, yaml } from '../../support/settings.ts';

type Operation = {
  readonly operationId: string;
  readonly responses: Readonly<Record<string, { content: Readonly<Record<string, { schema: object }>> }>>;
};
type Document = {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: object;
};
type Call = { readonly path: string; readonly question?: Question };

const put = (body: object): Question => ({ body: JSON.stringify(body) });
const draft = (body: string): Question => ({ body, headers: { 'content-type': 'application/yaml' } });
const good = settings([{ name: 's1', address: '127.0.0.1:1' }]);

/** Calls of each operation, with every status that it can have: what it says of a page of another site is tried of all. */
const CALLS: Readonly<Record<string, readonly Call[]>> = {
  'GET /status': [{ path: '/status' }],
  'GET /explain': [{ path: '/explain?ip=127.0.7.1' }, { path: '/explain?ip=10.9.9.9' }, { path: '/explain?ip=x' }],
  'PUT /servers/{backend}/{server}': [
    { path: '/servers/b/s1', question: put({ state: 'drain', weight: 2 }) },
    { path: '/servers/b/s1?dryRun=true', question: put({ state: 'maint' }) },
    { path: '/servers/b/s1', question: put({ state: 'gone' }) },
    { path: '/servers/b/s9', question: put({ state: 'drain' }) },
    { path: '/servers/b/s1', question: put({ state: 'x'.repeat(20_000) }) },
  ],
  'GET /plan': [{ path: '/plan' }],
  'POST /plan': [
    { path: '/plan', question: draft(yaml(good)) },
    { path: '/plan?name=x', question: draft('a: b') },
    { path: '/plan?nam=x', question: draft('a: b') },
    { path: '/plan', question: { body: 'a: b', headers: { 'content-type': 'text/plain' } } },
    { path: '/plan', question: draft('x'.repeat(1 << 21)) },
  ],
  'PUT /log': [
    { path: '/log', question: put({ level: 'debug' }) },
    { path: '/log', question: put({ level: 'loud' }) },
  ],
  'POST /reload': [{ path: '/reload' }],
  'GET /openapi.json': [{ path: '/openapi.json' }],
  'GET /table': [
    { path: '/table' },
    { path: '/table?backend=b&perPage=1' },
    { path: '/table?sort=connections' },
    { path: '/table?page=0' },
  ],
  'DELETE /table': [{ path: '/table?backend=b&ip=127.0.7.1' }, { path: '/table' }],
  'GET /connections': [{ path: '/connections' }, { path: '/connections?server=s1' }, { path: '/connections?page=x' }],
  'DELETE /connections': [{ path: '/connections?backend=b&server=s2' }, { path: '/connections' }],
  'DELETE /connections/{id}': [{ path: '/connections/999999' }, { path: '/connections/x' }],
  'GET /sessions': [
    { path: '/sessions' },
    { path: '/sessions?backend=b' },
    { path: '/sessions?sort=quietMs' },
    { path: '/sessions?perPage=0' },
  ],
  'GET /whois': [{ path: '/whois?from=127.0.0.1:1' }, { path: '/whois?from=x' }, { path: '/whois' }],
};

async function described(berth: Inside): Promise<Document> {
  const { status, body } = await api(berth, 'GET', '/api/v1/openapi.json');
  assert.equal(status, 200);
  return body as Document;
}

test('the description is a good OpenAPI document', async (t) => {
  const berth = await Inside.start(t, good);
  const document = await described(berth);
  assert.equal(document.openapi, '3.1.0');
  const { valid, errors } = await new Validator().validate(structuredClone(document));
  assert.ok(valid, JSON.stringify(errors, null, 2));
  const names = Object.values(document.paths).flatMap((path) => Object.values(path).map((one) => one.operationId));
  assert.equal(new Set(names).size, names.length, 'each operation has a name of its own');
});

test('every answer of a running balancer is as described, refusals too', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const dead = { name: 'dead', address: await refusing() };
  const berth = await Inside.start(t, settings([...servers, dead], QUICK_CHECKS));
  await berth.line(({ event, server }) => event === 'server_down' && server === 'dead');
  const open = new Client({ port: await berth.port(), from: '127.0.7.1' });
  await open.line();
  open.socket.write('some bytes');
  const { paths, components } = await described(berth);
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats.default(ajv);
  const seen = new Set<string>();
  const hold = (name: string, operation: Operation, answer: Answer): void => {
    const { status } = answer;
    const said = `${name} ${status}: ${JSON.stringify(answer.body).slice(0, 500)}`;
    const schema = operation.responses[String(status)]?.content['application/json']?.schema;
    assert.ok(schema, `not described: ${said}`);
    const validate = ajv.compile({ ...schema, components });
    assert.ok(validate(answer.body), `${JSON.stringify(validate.errors)}\n${said}`);
    seen.add(`${name} ${status}`);
  };
  for (const [path, operations] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const name = `${method.toUpperCase()} ${path}`;
      // A stream has a test of its own.
      const calls = name === 'GET /events' ? [{ path: '/events?events=x' }] : CALLS[name];
      assert.ok(calls, `no call of ${name} is tried`);
      for (const call of calls) {
        hold(name, operation, await api(berth, method.toUpperCase(), `/api/v1${call.path}`, call.question));
      }
      const headers = { origin: 'http://evil.example' };
      hold(name, operation, await api(berth, method.toUpperCase(), `/api/v1${path}`, { headers }));
    }
  }
  for (const name of ['GET /status 200', 'PUT /servers/{backend}/{server} 404', 'POST /plan 422', 'GET /explain 400']) {
    assert.ok(seen.has(name), name);
  }
  await open.finish();
});

test('without the token every call is a 401 as described', async (t) => {
  const token = 'correct-horse-battery';
  const berth = await Inside.start(t, { ...good, admin: { bind: '127.0.0.1:0', token } });
  const headers = { authorization: `Bearer ${token}` };
  const { body } = await api(berth, 'GET', '/api/v1/openapi.json', { headers });
  for (const [path, operations] of Object.entries((body as Document).paths)) {
    for (const [method, { responses }] of Object.entries(operations)) {
      const answer = await api(berth, method.toUpperCase(), `/api/v1${path}`);
      assert.deepEqual([answer.status, '401' in responses], [401, true], `${method} ${path}`);
    }
  }
});

test('the stream of events is of the described type', async (t) => {
  const berth = await Inside.start(t, good);
  const { paths } = await described(berth);
  const content = paths['/events']!['get']!.responses['200']!.content;
  assert.deepEqual(Object.keys(content), ['text/event-stream']);
  (await EventStream.open(berth)).leave();
});
