import * as z from 'zod';
import { version } from '../version.ts';
import { route, type Route } from './route.ts';

type Json = Readonly<Record<string, unknown>>;

/** What each status says. */
const MEANINGS: Readonly<Record<number, string>> = {
  400: 'A parameter or the body is wrong',
  401: 'The token is missing or wrong',
  403: 'Asked by a page of another site',
  404: 'What the path or the query names does not exist',
  413: 'The body is too long',
  415: 'The body is of another type',
  422: 'The configuration has problems; the old one stays in force',
  503: 'There is no place for another stream; try again later',
};

const error = { type: 'object', properties: { error: { type: 'string' } }, required: ['error'] };
const problems = {
  type: 'object',
  properties: { problems: { type: 'array', items: { type: 'string' }, description: 'FILE:LINE:COL: what is wrong' } },
  required: ['problems'],
};

/** The call that describes all of `table`, and itself. */
export function openApiRoute(table: readonly Route[]): Route {
  let document: Json | undefined;
  const own = route({
    method: 'GET',
    path: '/openapi.json',
    summary: 'This description, OpenAPI 3.1',
    answer: z.looseObject({ openapi: z.string() }),
  })(() => ({ openapi: '3.1.0', ...(document ??= describe([...table, own])) }));
  return own;
}

function describe(table: readonly Route[]): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const one of table) (paths[one.path] ??= {})[one.method.toLowerCase()] = operation(one);
  return {
    info: { title: 'Berth', version, description: 'What runs in a balancer, and what an operator changes there.' },
    servers: [{ url: '/api/v1' }],
    security: [{}, { token: [] }],
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer', description: 'admin.token of balancer.yml' } },
      schemas: { Error: error, Problems: problems },
    },
  };
}

function operation({ method, path, summary, query, headers, body, answer, refusals }: Route): Json {
  const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
  const asked = Object.keys(query.shape).length > 0 || body !== undefined;
  const statuses = new Set([...(asked ? [400] : []), 401, 403, ...(body ? [413] : []), ...refusals]);
  const { contentType = 'application/json' } = answer.meta() ?? {};
  const failures = [...statuses].map((status) => {
    const schema = { $ref: `#/components/schemas/${status === 422 ? 'Problems' : 'Error'}` };
    return [status, { description: MEANINGS[status], content: { 'application/json': { schema } } }] as const;
  });
  return {
    operationId: operationId(method, path),
    summary,
    parameters: [...named, ...parameters('query', query), ...parameters('header', headers)],
    ...(body ? { requestBody: { required: true, content: contentOf(body) } } : {}),
    responses: {
      200: { description: 'Done', content: { [String(contentType)]: { schema: jsonOf(answer) } } },
      ...Object.fromEntries(failures),
    },
  };
}

/** `PUT /servers/{backend}/{server}` is putServersBackendServer. */
function operationId(method: string, path: string): string {
  return `${method.toLowerCase()}${path.replace(/[^a-z]+(\w?)/gi, (_, letter: string) => letter.toUpperCase())}`;
}

function parameters(where: 'query' | 'header', { shape }: z.ZodObject): Json[] {
  return Object.entries(shape as Record<string, z.ZodType>).map(([name, schema]) => {
    const { description, ...json } = jsonOf(schema);
    return { name, in: where, required: !schema.safeParse(undefined).success, description, schema: json };
  });
}

function contentOf(body: NonNullable<Route['body']>): Json {
  if (body.kind === 'json') return { 'application/json': { schema: jsonOf(body.schema) } };
  const schema = { type: 'string', maxLength: body.mostBytes };
  return Object.fromEntries(body.types.map((type) => [type, { schema }]));
}

/** What comes out of a schema: the number, where a query has the text of the number. */
function jsonOf(schema: z.ZodType): Json {
  const { $schema: _, contentType: __, ...json } = z.toJSONSchema(schema, { io: 'output', unrepresentable: 'any' });
  return json;
}
