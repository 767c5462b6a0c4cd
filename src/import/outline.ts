import { jsonSchema } from '../config/schema.ts';
import { yamlScalar } from './yaml-scalar.ts';

type Value = string | number | boolean;
/** A value, and the line of the other balancer's file that the value came from. */
export type Sourced<T = Value> = { readonly value: T; readonly line?: number | undefined };
export type Entry = Outline | Sourced | readonly (Outline | Sourced)[];

/** A balancer.yml that is being written: maps in their order, each with the line that it came from. */
export class Outline {
  readonly line: number | undefined;
  readonly #entries = new Map<string, Entry>();

  constructor(line?: number) {
    this.line = line;
  }

  get isEmpty(): boolean {
    return this.#entries.size === 0;
  }

  get keys(): string[] {
    return [...this.#entries.keys()];
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  /** The value of `key`, where that is neither a map nor a list. */
  scalar(key: string): Value | undefined {
    const entry = this.#entries.get(key);
    return entry && 'value' in entry ? entry.value : undefined;
  }

  set(key: string, value: Value | undefined, line?: number): void {
    if (value !== undefined) this.#entries.set(key, { value, line });
  }

  put(key: string, entry: Entry): void {
    this.#entries.set(key, entry);
  }

  list(key: string, values: readonly Sourced[]): void {
    if (values.length > 0) this.#entries.set(key, values);
  }

  /** The map below `key`, which is made where there is none. */
  map(key: string, line?: number): Outline {
    const there = this.#entries.get(key);
    if (there instanceof Outline) return there;
    const made = new Outline(line);
    this.#entries.set(key, made);
    return made;
  }

  /** Puts everything of `other` here. */
  takeOver(other: Outline): void {
    for (const [key, entry] of other.#entries) this.#entries.set(key, entry);
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }

  /** As plain values. */
  toJS(): Record<string, unknown> {
    return Object.fromEntries([...this.#entries].map(([key, entry]) => [key, plain(entry)]));
  }

  /** Takes out what the schema says anyway, and maps that are then empty. */
  withoutDefaults(forms: readonly Schema[] = [jsonSchema()]): this {
    const all = forms.flatMap(flat);
    for (const [key, entry] of this.#entries) {
      const below = all.flatMap((form) => form.properties?.[key] ?? (form.additionalProperties || []));
      if (entry instanceof Outline) {
        if (entry.withoutDefaults(below).isEmpty) this.#entries.delete(key);
      } else if ('value' in entry && below.some((form) => form.default === entry.value)) this.#entries.delete(key);
    }
    return this;
  }

  /** The text of the file, `head` before it as a comment; a comment at each value says its line. */
  toYaml(head: string): string {
    const before = head.split('\n').map((line) => (line === '' ? '' : `# ${line}`));
    return [...before, '', ...this.#lines(''), ''].join('\n');
  }

  /** By hand: a document of the library's is an object for each word, and takes many times as long. */
  *#lines(indent: string): Generator<string> {
    for (const [key, entry] of this.#entries) {
      const name = `${indent}${yamlScalar(key)}:`;
      if (entry instanceof Outline) {
        if (entry.line !== undefined) yield `${indent}# line ${entry.line}`;
        yield entry.isEmpty ? `${name} {}` : name;
        yield* entry.#lines(`${indent}  `);
      } else if ('value' in entry) yield `${name} ${written(entry)}`;
      else {
        yield entry.length === 0 ? `${name} []` : name;
        for (const item of entry) yield* itemLines(item, `${indent}  `);
      }
    }
  }

  /** As an item of a list. */
  *itemLines(indent: string): Generator<string> {
    let mark = '- ';
    for (const line of this.#lines('')) {
      yield `${indent}${mark}${line}`;
      mark = '  ';
    }
  }
}

function* itemLines(item: Outline | Sourced, indent: string): Generator<string> {
  if (item instanceof Outline) yield* item.itemLines(indent);
  else yield `${indent}- ${written(item)}`;
}

function written({ value, line }: Sourced): string {
  return `${yamlScalar(escaped(value))}${line === undefined ? '' : ` # line ${line}`}`;
}

/** A balancer.yml has variables too. */
const escaped = (value: Value): Value => (typeof value === 'string' ? value.replaceAll('${', '$$$${') : value);

function plain(entry: Entry): unknown {
  if (entry instanceof Outline) return entry.toJS();
  return 'value' in entry ? escaped(entry.value) : entry.map(plain);
}

type Schema = {
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | false;
  readonly anyOf?: readonly Schema[];
};

const flat = (form: Schema): readonly Schema[] => (form.anyOf ? [form, ...form.anyOf.flatMap(flat)] : [form]);
