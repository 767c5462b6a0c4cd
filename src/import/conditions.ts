import { Acls, sizeOf, sourceIn, type Asked, type AskedOf, type Listed } from './acls.ts';
import type { Budget } from './budget.ts';
import { cidrOf, complement, EVERYBODY, intersection, NOBODY, union, type Networks } from './networks.ts';
import type { Line } from './words.ts';
import { isCidr } from '../config/values.ts';

export type Term = { readonly negated: boolean; readonly asked: Asked };
/** Alternatives, each of terms that must all hold; no terms at all hold always. */
export type Condition = readonly (readonly Term[])[];

export const ALWAYS: Condition = [[]];

/** The lists and maps that a file names. */
export type Lists = {
  /** The lines of a list or map; undefined where it cannot be read. */
  readonly readList: (file: string) => readonly string[] | undefined;
  /** A file that the file names, as balancer.yml must name it. */
  readonly locate: (file: string) => string;
};
export const NO_LISTS: Lists = { readList: () => undefined, locate: (file) => file };

/** A file's lines, or the words of the condition itself. */
type FileList = { readonly path?: string; readonly list: readonly string[] };
type Arguments = {
  readonly flags: string[];
  readonly method?: string;
  readonly values: string[];
  readonly files: readonly FileList[];
  readonly missing?: string;
};

/** Names of many tests multiply; nobody writes so many. */
const MOST_ALTERNATIVES = 200;

/** The named conditions of a section, and how to read conditions that name them. */
export class Conditions {
  readonly #acls: Acls;
  readonly #lists: Lists;
  readonly #budget: Budget;

  constructor(lists: Lists, budget: Budget) {
    this.#acls = new Acls(budget);
    this.#lists = lists;
    this.#budget = budget;
  }

  inherit(other: Conditions, line: number): void {
    this.#acls.inherit(other.#acls, line);
  }

  /** `acl NAME TEST …` */
  define({ words: [, name = '', ...test], number }: Line): Asked {
    const asked = this.#asked(test, number);
    this.#acls.define(name, asked);
    return asked;
  }

  /** What follows `if` or `unless`; nothing holds always. Undefined where it is no condition. */
  read(words: readonly string[], line: number): Condition | undefined {
    if (words.length === 0) return ALWAYS;
    const [how, ...rest] = words;
    if ((how !== 'if' && how !== 'unless') || rest.length === 0) return undefined;
    const alternatives = this.#alternatives(rest, line);
    const condition = how === 'unless' && alternatives ? negated(alternatives) : alternatives;
    const size = condition?.flat().reduce((sum, { asked }) => sum + sizeOf(asked), 0) ?? MOST_ALTERNATIVES;
    return this.#budget.spend(size, line) ? condition : undefined;
  }

  #alternatives(words: readonly string[], line: number): Condition | undefined {
    const done: Term[][] = [];
    let open: Term[][] = [[]];
    for (let i = 0; i < words.length; i++) {
      const word = words[i] ?? '';
      if (word === 'or' || word === '||') {
        done.push(...open);
        open = [[]];
        continue;
      }
      const not = word.startsWith('!');
      const name = (not ? word.slice(1) || words[++i] : word) ?? '';
      let asked;
      if (name === '{') {
        const end = words.indexOf('}', i);
        if (end < 0) return undefined;
        asked = [this.#asked(words.slice(i + 1, end), line)];
        i = end;
      } else asked = this.#acls.get(name, line) ?? [this.#asked(predefined(name) ?? ['unknown', name], line)];
      const choices: Term[][] = not
        ? [asked.map((one) => ({ negated: true, asked: one }))]
        : asked.map((one) => [{ negated: false, asked: one }]);
      open = open.flatMap((terms) => choices.map((more) => [...terms, ...more]));
      if (open.length + done.length > MOST_ALTERNATIVES) return undefined;
    }
    return [...done, ...open];
  }

  #asked([fetch = '', ...words]: readonly string[], line: number): Asked {
    const { flags, method, values, files, missing } = this.#arguments(words, line);
    if (missing !== undefined) return { kind: 'other', says: `${missing} cannot be read here` };
    const [name = ''] = fetch.split(/[(,]/, 1);
    const converters = fetch.slice(name.length).replace(/^\([^)]*\)/, '');
    if (name === 'src' && converters === '' && method === undefined) {
      const lists = [{ list: values }, ...files];
      const bad = lists.flatMap(({ list }) => list).find((value) => cidrOf(value) === undefined);
      if (bad !== undefined) return { kind: 'other', says: `${bad} is no network` };
      return sourceIn(lists.flatMap((one) => listOf(one)));
    }
    for (const { list } of files) for (const value of list) values.push(value);
    if (name === 'always_true' || name === 'always_false') {
      return sourceIn([], name === 'always_true' ? EVERYBODY : NOBODY);
    }
    if (/^req[._]ssl_hello_type$/.test(name) && values[0] === '1') return { kind: 'hello' };
    if (/^(wait_end|req[._]len|req[._]proto_http|req_ssl_ver|req\.ssl_ver)$/i.test(name)) return { kind: 'hello' };
    if (/^req[._]ssl_sni$/.test(name)) return serverNames(converters, method, flags, values);
    const counter = /^(?:src|sc\d?)_(?:(conn_cur)|(conn_rate|sess_rate))$/.exec(name);
    if (counter) return limit(fetch, counter[1] ? 'connections' : 'rate', values);
    const says = /^(hdr|path|url|method|req\.hdr|req\.fhdr|http_)/.test(name)
      ? `Berth reads no HTTP, and so no \`${name}\``
      : `Berth decides by \`src\` and \`req.ssl_sni\`, not by \`${name === 'unknown' ? values[0] : name}\``;
    return { kind: 'other', says };
  }

  /** Flags, `-m METHOD`, values, and the values of each `-f FILE`. */
  #arguments(words: readonly string[], line: number): Arguments {
    const flags: string[] = [];
    const values: string[] = [];
    const files: FileList[] = [];
    let method: string | undefined;
    let missing: string | undefined;
    for (let i = 0; i < words.length; i++) {
      const word = words[i] ?? '';
      if (word === '--') {
        values.push(...words.slice(i + 1));
        break;
      }
      if (values.length > 0 || !/^-[a-zA-Z]$/.test(word)) values.push(word);
      else if (word === '-m') method = words[++i];
      else if (word === '-f' || word === '-M') {
        const file = words[++i] ?? '';
        const list = this.#lists.readList(file);
        if (list && this.#budget.spend(list.length, line)) files.push({ path: this.#lists.locate(file), list });
        else missing = file;
        // Further flags may follow a file.
        if (/^-[a-zA-Z]$/.test(words[i + 1] ?? '')) flags.push(words[++i] ?? '');
      } else flags.push(word);
    }
    return {
      flags,
      values,
      files,
      ...(method === undefined ? {} : { method }),
      ...(missing === undefined ? {} : { missing }),
    };
  }
}

/** A file that Berth can read as it is stays a file, which Berth reads again at each reload. */
function listOf({ path, list }: FileList): Listed[] {
  const cidrs = list.flatMap((value) => cidrOf(value) ?? []);
  if (path !== undefined && list.length > 0 && list.every(isCidr)) return [{ value: `file:${path}`, cidrs }];
  return cidrs.map((value) => ({ value, cidrs: [value] }));
}

/** Names that HAProxy knows by itself. */
function predefined(name: string): string[] | undefined {
  const known: Record<string, string[]> = {
    TRUE: ['always_true'],
    FALSE: ['always_false'],
    LOCALHOST: ['src', '127.0.0.1/8', '::1'],
    WAIT_END: ['wait_end'],
    REQ_CONTENT: ['req.len'],
  };
  return Object.hasOwn(known, name) ? known[name] : undefined;
}

const HOST = /^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/i;

function serverNames(converters: string, method: string | undefined, flags: string[], values: string[]): Asked {
  const other = (says: string): Asked => ({ kind: 'other', says });
  if (converters !== '' && converters !== ',lower') return other(`Berth compares \`req.ssl_sni\` as it is`);
  const how = method ?? 'str';
  if (how === 'str' && values.every((value) => HOST.test(value))) return { kind: 'serverName', patterns: values };
  if (how === 'end' && values.every((value) => value.startsWith('.') && HOST.test(value.slice(1)))) {
    return { kind: 'serverName', patterns: values.map((value) => `*${value}`) };
  }
  return other(`\`sni\` takes a name, or *.name, and no \`-m ${how}\`${flags.length > 0 ? ` ${flags.join(' ')}` : ''}`);
}

function limit(fetch: string, of: 'connections' | 'rate', values: readonly string[]): Asked {
  const [how = '', bound = ''] = values;
  const [, table] = /\((?:\d+,)?([^()\d][^()]*)\)/.exec(fetch) ?? [];
  if (/^\d{1,7}$/.test(bound) && ['gt', 'ge'].includes(how)) {
    const most = Number(bound) - (how === 'ge' ? 1 : 0);
    if (most > 0) return { kind: 'limit', of, most, ...(table === undefined ? {} : { table }) };
  }
  return { kind: 'other', says: `\`perSource\` is a number that \`${fetch}\` may not exceed` };
}

/** Of the alternatives, none: every choice of one term of each, turned round. */
function negated(condition: Condition): Condition | undefined {
  let result: Term[][] = [[]];
  for (const terms of condition) {
    result = result.flatMap((done) => terms.map((term) => [...done, { ...term, negated: !term.negated }]));
    if (result.length > MOST_ALTERNATIVES) return undefined;
  }
  return result;
}

/** The addresses for which a condition on nothing but the source holds; otherwise what else the condition asks. */
export function sourcesOf(condition: Condition): Networks | AskedOf<Exclude<Asked['kind'], 'source'>> {
  let all = NOBODY;
  for (const terms of condition) {
    let some = EVERYBODY;
    for (const { negated: not, asked } of terms) {
      if (asked.kind !== 'source') return asked;
      some = intersection(some, not ? complement(asked.networks) : asked.networks);
    }
    all = union(all, some);
  }
  return all;
}
