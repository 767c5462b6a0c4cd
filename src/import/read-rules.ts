import type { Asked } from './acls.ts';
import { ALWAYS } from './conditions.ts';
import type { FileDraft, ProxyDraft, Reader, RuleLayer } from './draft.ts';
import { carried, lost, type Outcome } from './outcome.ts';
import { parseTime, prefixOf, timer } from './scalars.ts';
import type { Line } from './words.ts';

export const readAcl: Reader = (draft, _, line) => {
  const asked: Asked = draft.conditions.define(line);
  return asked.kind === 'other' ? lost(asked.says) : undefined;
};

/** `tcp-request LAYER accept|reject [if|unless CONDITION]` */
export const readRule =
  (layer: RuleLayer, admits: boolean): Reader =>
  (draft, args, line) => {
    const condition = draft.conditions.read(args, line.number);
    if (!condition) return lost('the condition cannot be read');
    draft.rules.push({ layer, admits, condition, line });
    return undefined;
  };

/** `track-sc0 src [table T] [if …]`: the counters that rules ask for are those of this table. */
export const readTrack: Reader = (draft, _, { words, number }) => {
  const [, , , what, ...rest] = words;
  const prefix = prefixOf(what ?? '');
  if (!prefix) return lost('`perSource` counts by the source address');
  const table = rest[0] === 'table' ? (rest[1] ?? '') : undefined;
  const condition = rest[0] === 'table' ? rest.slice(2) : rest;
  draft.tracked ??= { line: number, table, prefix };
  return condition.length > 0 ? lost('`perSource` counts every source') : undefined;
};

/** `tcp-request connection expect-proxy layer4 [if { src NETWORK }]` */
export const readExpectProxy: Reader = (draft, [how, ...words], { number }) => {
  if (how !== 'layer4') return lost('no such rule in Berth');
  const condition = draft.conditions.read(words, number);
  if (!condition) return lost('the condition cannot be read');
  if (condition === ALWAYS) {
    draft.proxyBinds.push(number);
    return undefined;
  }
  for (const terms of condition) {
    const [term, ...more] = terms;
    if (term?.asked.kind !== 'source' || term.negated || more.length > 0) {
      return lost('`acceptProxy` is a list of networks');
    }
    for (const { value } of term.asked.listed) draft.acceptProxy.push({ value, line: number });
  }
  return undefined;
};

export const readInspectDelay: Reader = (draft, [delay = ''], { number }) => {
  const ms = parseTime(delay);
  if (ms === undefined || ms === 0) return lost('no duration');
  draft.front.set('prefaceTimeout', timer(ms), number);
  return undefined;
};

/** `use_backend NAME [if …]`, or a name that is looked up in a map by the server name. */
export const readRoute: Reader = (draft, [backend = '', ...words], line, file) => {
  const condition = draft.conditions.read(words, line.number);
  if (!condition) return lost('the condition cannot be read');
  if (!backend.startsWith('%[')) {
    draft.routes.push({ condition, backend, line });
    const wild = condition
      .flat()
      .some(({ asked }) => asked.kind === 'serverName' && asked.patterns.join().includes('*'));
    return wild ? carried('`sni`, where `*.` is one label and not several') : undefined;
  }
  return readMap(draft, backend, line, file);
};

const MAP = /^%\[req[._]ssl_sni(?:,lower)?,map(_str|_dom|_end|_beg|_sub|_reg)?\(([^,)]+)(?:,([^,)]+))?\)\]$/;

function readMap(
  draft: ProxyDraft,
  expression: string,
  line: Line,
  { around, budget }: FileDraft,
): Outcome | undefined {
  const [whole, how = '_str', name = '', fallback] = MAP.exec(expression) ?? [];
  if (whole === undefined || how !== '_str')
    return lost('a backend is named, or looked up by `req.ssl_sni` in a `map()`');
  const rows = around.readList(name);
  if (!rows) return lost(`${name} cannot be read here`);
  if (!budget.spend(rows.length, line.number)) return undefined;
  for (const row of rows) {
    const [pattern = '', backend = ''] = row.split(/\s+/);
    const asked: Asked = { kind: 'serverName', patterns: [pattern] };
    draft.routes.push({ condition: [[{ negated: false, asked }]], backend, line });
  }
  if (fallback !== undefined) draft.routes.push({ condition: ALWAYS, backend: fallback, line });
  return undefined;
}
