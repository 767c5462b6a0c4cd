import type * as z from 'zod';
import { foreignHint } from './foreign.ts';
import { SECRET_KEYS, type Finding, type Path } from './rules.ts';
import { jsonSchema } from './schema.ts';
import { parseServerAddress } from './values.ts';
import { didYouMean } from './suggest.ts';

/** An issue of the schema in the operator's words: what was expected, what `raw` has there, what was perhaps meant. */
export function explain(issue: z.core.$ZodIssue, raw: unknown): Finding[] {
  const path = issue.path as Path;
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({
        path: [...path, key],
        message: `unknown key.${hint(key, path)}`,
        at: 'key',
      }));
    case 'invalid_union':
      return explainUnion(issue, raw);
    case 'invalid_key':
      return issue.issues.map(({ message }) => ({ path, message, at: 'key' }));
    default: {
      const value = valueAt(raw, path);
      const known = issue.code === 'invalid_value' ? issue.values.map(String) : [];
      if (value === undefined && issue.code === 'invalid_type') return [{ path, message: `is missing` }];
      const meant = typeof value === 'string' ? didYouMean(value, known) : serverExample(value, path);
      const message =
        issue.code === 'invalid_type' && ['object', 'record', 'array'].includes(issue.expected)
          ? `expected a ${issue.expected === 'array' ? 'list' : 'map'}`
          : issue.message;
      return [{ path, message: `${message}${show(value, path)}${meant && `.${meant}`}` }];
    }
  }
}

function hint(key: string, path: Path): string {
  const known = knownKeys(path);
  return foreignHint(key, path) || didYouMean(key, known) || ` Known here: ${known.join(', ')}`;
}

/** How servers are written, for whoever has written a list of them. */
function serverExample(value: unknown, path: Path): string {
  if (!Array.isArray(value) || path.at(-1) !== 'servers') return '';
  const first: unknown = typeof value[0] === 'object' ? valueAt(value[0], ['address']) : value[0];
  const address = typeof first === 'string' && parseServerAddress(first) ? first : 'registry1:5000';
  return ` Each server has a name: "servers: { s1: ${address} }"`;
}

/**
 * A value that fails a union fails each of its forms. The operator meant the form that accepts the type of the value,
 * so only what this form complains of is reported.
 */
function explainUnion(issue: z.core.$ZodIssueInvalidUnion, raw: unknown): Finding[] {
  const path = issue.path as Path;
  const wrongType = ({ path: inner, code }: z.core.$ZodIssue): boolean =>
    inner.length === 0 && (code === 'invalid_type' || code === 'invalid_value');
  const meant = issue.errors.find((form) => form.length > 0 && !form.some(wrongType));
  if (meant) return meant.flatMap((inner) => explain({ ...inner, path: [...path, ...inner.path] }, raw));
  const forms = issue.errors
    .flatMap((form) => form.filter(wrongType))
    .map((inner) => {
      if (inner.code === 'invalid_value') return inner.values.map(String).join(' or ');
      if (inner.code === 'invalid_type' && inner.expected === 'object') return 'a map';
      if (inner.code === 'invalid_type' && inner.expected === 'array') return 'a list';
      return inner.message.replace(/^expected /, '');
    });
  const value = valueAt(raw, path);
  const message = issue.message.startsWith('expected') ? issue.message : `expected ${[...new Set(forms)].join(' or ')}`;
  return [{ path, message: value === undefined ? `is missing; ${message}` : `${message}${show(value, path)}` }];
}

function show(value: unknown, path: Path): string {
  if (value === undefined || path.some((key) => SECRET_KEYS.has(String(key)))) return '';
  if (value === null) return ', got nothing';
  if (typeof value === 'object') return Array.isArray(value) ? ', got a list' : ', got a map';
  const text = JSON.stringify(value);
  return `, got ${text.length > 80 ? `${text.slice(0, 77)}…"` : text}`;
}

function valueAt(raw: unknown, path: Path): unknown {
  let value = raw;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<string | number, unknown>)[key];
  }
  return value;
}

type JsonSchema = {
  properties?: Record<string, JsonSchema>;
  additionalProperties?: JsonSchema | false;
  items?: JsonSchema;
  anyOf?: JsonSchema[];
};

/** The keys that a map at `path` may have. */
function knownKeys(path: Path): string[] {
  let forms: JsonSchema[] = [jsonSchema()];
  const flat = (all: JsonSchema[]): JsonSchema[] => all.flatMap((form) => (form.anyOf ? flat(form.anyOf) : [form]));
  for (const key of path) {
    forms = flat(forms).flatMap((form) => form.properties?.[key] ?? (form.additionalProperties || form.items) ?? []);
  }
  return flat(forms).flatMap((form) => Object.keys(form.properties ?? {}));
}
