/** docs/reference.md, made from the schema. */
import { format, resolveConfig } from 'prettier';
import { jsonSchema } from '../../src/config/schema.ts';

export const REFERENCE = 'docs/reference.md';

type Schema = {
  description?: string;
  default?: unknown;
  required?: string[];
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  anyOf?: Schema[];
};

const HEAD = `<!-- Written by \`npm run reference\` from src/config/schema.ts: change the descriptions there. -->

# Every key of balancer.yml

The README has [a short file](../README.md#a-configuration), and the repository's [balancer.yml](../balancer.yml) has every
key with its default, line by line. \`NAME\` stands for a name of your own. Durations are \`500ms\`, \`2s\`, \`30m\`, \`1h\`,
\`7d\`. An unknown key is a problem of the file.
`;

/** The whole page, as prettier leaves it. */
export async function reference(): Promise<string> {
  const text = [HEAD, ...section('', jsonSchema())].join('\n');
  return format(text, { ...(await resolveConfig(REFERENCE)), filepath: REFERENCE });
}

/** A list of the keys at `path`, then a section for each of them that has keys itself. */
function* section(path: string, schema: Schema): Generator<string> {
  const keys = forms(schema).flatMap((form) =>
    Object.entries(form.properties ?? {}).map(([key, value]) => ({
      key,
      value,
      required: form.required?.includes(key) === true,
      below: [...sectionsOf(path === '' ? key : `${path}.${key}`, value)],
    })),
  );
  for (const { key, value, required, below } of keys) {
    const [first] = below;
    const notes = [
      ...(required ? ['required'] : []),
      ...(first ? [`[keys](#${first.path.toLowerCase().replaceAll('.', '')})`] : []),
      ...(required || value.default === undefined || (first && typeof value.default === 'object')
        ? []
        : [`default \`${spelled(value.default)}\``]),
    ];
    const about = notes.length > 0 ? ` (${notes.join('; ')})` : '';
    yield `- \`${key}\`${about}: ${value.description ?? ''}`;
  }
  for (const { path: inner, schema: own } of keys.flatMap(({ below }) => below)) {
    yield `\n${inner.includes('.') && !/^\w+\.NAME$/.test(inner) ? '###' : '##'} ${inner}\n`;
    yield* section(inner, own);
  }
}

/** The maps that a key may hold: of keys that the schema knows, or of names. */
function* sectionsOf(path: string, schema: Schema): Generator<{ path: string; schema: Schema }> {
  for (const form of forms(schema)) {
    if (form.properties) yield { path, schema: form };
    const named = form.additionalProperties;
    if (typeof named === 'object' && forms(named).some(({ properties }) => properties)) {
      yield { path: `${path}.NAME`, schema: named };
    }
  }
}

function spelled(value: unknown): string {
  return value === '' ? "''" : JSON.stringify(value).replaceAll('"', '');
}

function forms(schema: Schema): Schema[] {
  return schema.anyOf ? schema.anyOf.flatMap(forms) : [schema];
}
