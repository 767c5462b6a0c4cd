import { isScalar, visit, type Document, type Scalar } from 'yaml';

/** Variables by their names, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A text with the variables' values in it, or what is wrong with the text. */
export type Expanded = { readonly text: string } | { readonly fault: string };

/** `$${`, `${NAME}`, `${NAME:-default}`, and `${` before anything else. */
const VARIABLE = /\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})?/g;

/**
 * Puts the values of variables in the place of `${NAME}`. The default of `${NAME:-default}` stands for a variable that
 * is not set or is empty, as in a shell; `$${` becomes `${`. What a value has is not looked at again.
 */
export function expand(text: string, env: Environment): Expanded {
  let fault: string | undefined;
  const expanded = text.replace(VARIABLE, (written: string, name?: string, standard?: string) => {
    if (written === '$${') return '${';
    if (name === undefined) {
      fault ??= '"${" begins neither ${NAME} nor ${NAME:-default}; to have the two characters, write "$${"';
      return '';
    }
    const value = Object.hasOwn(env, name) ? env[name] : undefined;
    if (standard !== undefined) return value === undefined || value === '' ? standard : value;
    if (value === undefined) fault ??= `the environment has no ${name}; set it, or give a default: \${${name}:-…}`;
    return value ?? '';
  });
  return fault === undefined ? { text: expanded } : { fault };
}

/** Scalars of a document that had variables. */
export type Expansions = {
  readonly scalars: ReadonlySet<Scalar>;
  readonly faults: readonly { readonly scalar: Scalar; readonly message: string }[];
};

/** Expands every value of `document`, in its place. Keys stay as they are. */
export function expandDocument(document: Document, env: Environment): Expansions {
  const scalars = new Set<Scalar>();
  const faults: { scalar: Scalar; message: string }[] = [];
  visit(document, {
    Scalar: (role, scalar) => {
      if (role === 'key' || typeof scalar.value !== 'string' || !scalar.value.includes('${')) return;
      const expanded = expand(scalar.value, env);
      if ('fault' in expanded) faults.push({ scalar, message: expanded.fault });
      else {
        scalars.add(scalar);
        scalar.value = expanded.text;
      }
    },
  });
  return { scalars, faults };
}

/** A variable's value as the number or the truth value that it spells; undefined if it spells neither. */
export function spelledValue(text: string): number | boolean | undefined {
  if (text === 'true' || text === 'false') return text === 'true';
  return /^-?\d{1,15}(\.\d{1,6})?$/.test(text) ? Number(text) : undefined;
}

/** Whether `value` is a scalar that had variables: what a variable holds has no type of its own. */
export function isExpanded(value: unknown, { scalars }: Expansions): boolean {
  return isScalar(value) && scalars.has(value);
}
