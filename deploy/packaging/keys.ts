/** The keys of balancer.yml as its JSON Schema has them, section by section, for the pages that list them. */

export type Schema = {
  description?: string;
  default?: unknown;
  required?: string[];
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  anyOf?: Schema[];
};

export type Key = {
  readonly key: string;
  readonly description: string;
  readonly isRequired: boolean;
  /** As it is written in the file; undefined where there is none, or where the sections below have the defaults. */
  readonly standard: string | undefined;
  /** The paths of the sections that list what the key may hold. */
  readonly below: readonly string[];
};
/** The path of the file itself is empty; NAME in a path stands for any name. */
export type Section = { readonly path: string; readonly keys: readonly Key[] };

/** The section at `path`, and then those of its keys. */
export function* sections(schema: Schema, path = ''): Generator<Section> {
  const keys = forms(schema).flatMap((form) =>
    Object.entries(form.properties ?? {}).map(([key, value]) => {
      const inner = [...inside(path === '' ? key : `${path}.${key}`, value)];
      const isRequired = form.required?.includes(key) === true;
      const hasDefault = !isRequired && value.default !== undefined;
      const isPlain = inner.length === 0 || typeof value.default !== 'object';
      return {
        key,
        description: value.description ?? '',
        isRequired,
        standard: hasDefault && isPlain ? spelled(value.default) : undefined,
        below: inner.map((one) => one.path),
        inner,
      };
    }),
  );
  yield { path, keys };
  for (const one of keys.flatMap(({ inner }) => inner)) yield* sections(one.schema, one.path);
}

/** The maps that a key may hold: of keys that the schema knows, or of names. */
function* inside(path: string, schema: Schema): Generator<{ path: string; schema: Schema }> {
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
