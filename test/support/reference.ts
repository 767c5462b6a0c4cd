/** The README's configuration reference, made from the schema. */
import { jsonSchema } from '../../src/config/schema.ts';

type Schema = {
  description?: string;
  default?: unknown;
  type?: string | string[];
  enum?: string[];
  const?: unknown;
  required?: string[];
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  items?: Schema;
  anyOf?: Schema[];
};

const START = '<!-- reference: written by `npm run reference` from the schema -->';
const END = '<!-- end of reference -->';

/** The README with a reference that is up to date. */
export function withReference(readme: string): string {
  const [from, to] = [readme.indexOf(START), readme.indexOf(END)];
  if (from < 0 || to < from) throw new Error('the README has no place for the reference');
  return `${readme.slice(0, from)}${START}\n\n${table()}\n${readme.slice(to)}`;
}

function table(): string {
  const rows = [...describe('', jsonSchema())];
  return `| key | default | meaning |\n| --- | --- | --- |\n${rows.join('')}`;
}

function* describe(path: string, schema: Schema): Generator<string> {
  for (const form of forms(schema)) {
    for (const [key, value] of Object.entries(form.properties ?? {})) {
      const own = path === '' ? key : `${path}.${key}`;
      const required = form.required?.includes(key) === true;
      // A map of further keys is described by them.
      const leaf = forms(value).every((one) => !one.properties);
      const standard =
        leaf && value.default !== undefined ? `\`${JSON.stringify(value.default).replaceAll('"', '')}\`` : '';
      const fallback = required ? 'required' : standard;
      yield `| \`${own}\` | ${fallback} | ${(value.description ?? '').replaceAll('|', '\\|')} |\n`;
      yield* describe(own, value);
    }
    if (typeof form.additionalProperties === 'object') yield* describe(`${path}.NAME`, form.additionalProperties);
  }
}

function forms(schema: Schema): Schema[] {
  return schema.anyOf ? schema.anyOf.flatMap(forms) : [schema];
}
