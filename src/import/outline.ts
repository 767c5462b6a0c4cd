import { Document, isCollection, type Node, type Pair, type Scalar } from 'yaml';
import { jsonSchema } from '../config/schema.ts';

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
    const document = new Document(this.toJS());
    document.commentBefore = head
      .split('\n')
      .map((line) => (line === '' ? '' : ` ${line}`))
      .join('\n');
    this.#comment(document.contents);
    return document.toString({ lineWidth: 0, singleQuote: true, flowCollectionPadding: true });
  }

  #comment(node: Node | null): void {
    if (!isCollection(node)) return;
    for (const { key, value } of node.items as Pair<Scalar<string>, Node>[]) {
      const entry = this.#entries.get(key.value);
      if (entry instanceof Outline) {
        if (entry.line !== undefined) key.commentBefore = ` line ${entry.line}`;
        entry.#comment(value);
      } else if (entry && 'value' in entry) note(value, entry);
      else if (isCollection(value)) {
        (value.items as Node[]).forEach((item, i) => {
          const of = entry?.[i];
          if (of instanceof Outline) of.#comment(item);
          else note(item, of);
        });
      }
    }
  }
}

function note(node: Node | null, sourced: Sourced | undefined): void {
  if (node && sourced?.line !== undefined) node.comment = ` line ${sourced.line}`;
}

function plain(entry: Entry): unknown {
  if (entry instanceof Outline) return entry.toJS();
  if (!('value' in entry)) return entry.map(plain);
  // A balancer.yml has variables too.
  return typeof entry.value === 'string' ? entry.value.replaceAll('${', '$$$${') : entry.value;
}

type Schema = {
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | false;
  readonly anyOf?: readonly Schema[];
};

const flat = (form: Schema): readonly Schema[] => (form.anyOf ? [form, ...form.anyOf.flatMap(flat)] : [form]);
