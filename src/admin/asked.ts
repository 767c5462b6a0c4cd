import type { IncomingMessage } from 'node:http';
import type * as z from 'zod';
import { didYouMean } from '../config/suggest.ts';
import { Refusal, type Body } from './route.ts';

const MOST_JSON_BYTES = 16 << 10;
/** How much of what a stranger wrote is said back. */
const SHOWN = 80;

/** The query of a request in the route's shape. Parameters that the route does not have, or has twice, are refused. */
export function queryOf(text: string, schema: z.ZodObject): unknown {
  const given = [...new URLSearchParams(text)];
  const known = Object.keys(schema.shape);
  for (const [i, [name]] of given.entries()) {
    if (!known.includes(name)) return new Refusal(400, `unknown parameter ${shown(name)}.${knownHint(name, known)}`);
    if (given.findIndex(([other]) => other === name) < i) return new Refusal(400, `${name} is given twice`);
  }
  return parsed(Object.fromEntries(given), schema);
}

/** The body of a request in the route's shape; null where the route wants none. */
export async function bodyOf(request: IncomingMessage, body: Body | undefined): Promise<unknown> {
  if (body?.kind === 'text') {
    const type = (request.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
    // Only a page of this address may send these types: a form, or a script of another site, may not without asking.
    if (!body.types.includes(type)) return new Refusal(415, `expected content-type: ${body.types.join(' or ')}`);
  }
  const most = body?.kind === 'text' ? body.mostBytes : MOST_JSON_BYTES;
  const bytes = await read(request, most);
  if (!bytes) return new Refusal(413, `more than ${most} bytes`);
  if (!body) return null;
  const text = bytes.toString('utf8');
  if (body.kind === 'text') return text;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return new Refusal(400, `expected JSON: ${exampleOf(body.schema)}`);
  }
  const isMap = typeof json === 'object' && json !== null && !Array.isArray(json);
  if (!isMap) return new Refusal(400, `expected ${exampleOf(body.schema)}, got ${shown(json)}`);
  return parsed(json, body.schema);
}

/** Reads on past the limit and keeps nothing, since a client that is still sending does not see an answer. */
async function read(request: IncomingMessage, most: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes <= most) chunks.push(chunk);
  }
  return bytes > most ? undefined : Buffer.concat(chunks);
}

function parsed(value: unknown, schema: z.ZodObject): unknown {
  const { data, error } = schema.safeParse(value, { reportInput: true });
  if (!error) return data;
  const known = Object.keys(schema.shape);
  return new Refusal(400, error.issues.map((issue) => sentence(issue, known)).join('; '));
}

function sentence(issue: z.core.$ZodIssue, known: readonly string[]): string {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => `unknown key ${shown(key)}.${knownHint(key, known)}`).join('; ');
  }
  const name = issue.path.join('.');
  if (name === '') return issue.message;
  if (issue.input === undefined) return `${name} is missing: ${issue.message}`;
  return `${name}: ${issue.message}, got ${shown(issue.input)}`;
}

function knownHint(name: string, known: readonly string[]): string {
  return didYouMean(name, known) || (known.length === 0 ? ' Known: none' : ` Known: ${known.join(', ')}`);
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
}

const exampleOf = (schema: z.ZodObject): string =>
  `{${Object.keys(schema.shape)
    .map((key) => `"${key}": …`)
    .join(', ')}}`;
