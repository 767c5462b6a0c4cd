import type { AskedOf, Asked, Listed } from './acls.ts';
import { ALWAYS, sourcesOf, type Condition, type Term } from './conditions.ts';
import type { Budget } from './budget.ts';
import { writePrefix } from './build-backend.ts';
import type { FileDraft, ProxyDraft, Rule } from './draft.ts';
import {
  cidrsOf,
  complement,
  decide,
  difference,
  equal,
  EVERYBODY,
  intersection,
  networksOf,
  union,
  type Networks,
} from './networks.ts';
import type { Outline } from './outline.ts';
import { carried, lost, standard, textOf, type Outcome } from './outcome.ts';
import { formatDuration } from '../config/values.ts';

const LAYERS = ['connection', 'session', 'content'] as const;

/** The names that alone are let in; undefined where every client is. */
export type OnlyNames = { readonly patterns: readonly string[]; readonly line: number } | undefined;

type Entry = Listed & { readonly line: number | undefined };
type Written = { readonly allow: Entry[]; readonly deny: Entry[] };

/** Writes `allow`, `deny` and `perSource` of a frontend from its `tcp-request` rules. */
export function writeAdmission(draft: ProxyDraft, front: Outline, file: FileDraft): OnlyNames {
  const written: Written = { allow: [], deny: [] };
  let admitted = EVERYBODY;
  let only: OnlyNames;
  for (const layer of LAYERS) {
    const rules = draft.rules.filter((rule) => rule.layer === layer);
    const judged = new Judgement(draft, front, file, written).judge(rules);
    admitted = intersection(admitted, judged.admitted);
    only ??= judged.only;
  }
  const first = draft.rules[0]?.line.number;
  const { allow, deny } = says(written, admitted) ? written : inOtherWords(admitted, first, file.budget);
  front.list('allow', allow);
  front.list('deny', deny);
  return only;
}

/** Whether deny first and then allow come to what rules in order come to. */
function says({ allow, deny }: Written, admitted: Networks): boolean {
  const all = (entries: readonly Entry[]): Networks => networksOf(entries.flatMap(({ cidrs }) => cidrs));
  return equal(difference(allow.length > 0 ? all(allow) : EVERYBODY, all(deny)), admitted);
}

function inOtherWords(admitted: Networks, line: number | undefined, budget: Budget): Written {
  const lines = (networks: Networks): Entry[] => {
    const entries: Entry[] = [];
    for (const value of cidrsOf(networks)) {
      if (!budget.spend(1, line ?? 1)) break;
      entries.push({ value, cidrs: [value], line });
    }
    return entries;
  };
  const [allow, deny] = [lines(admitted), lines(complement(admitted))];
  return allow.length > 0 && allow.length < deny.length ? { allow, deny: [] } : { allow: [], deny };
}

/** One ruleset of HAProxy's, in which the first rule that matches decides. */
class Judgement {
  readonly #draft: ProxyDraft;
  readonly #front: Outline;
  readonly #file: FileDraft;
  readonly #written: Written;
  /** The rules on nothing but the source, up to the one that decides on everybody. */
  readonly #bySources: { networks: Networks; admits: boolean }[] = [];
  #everybodyDecided = false;
  readonly #accepted: Entry[] = [];
  /** Names, and whether anything that speaks TLS, that have been let in before. */
  readonly #names: string[] = [];
  #helloAccepted = false;
  /** Rules that turn away whoever speaks no TLS. */
  readonly #needTls: Rule[] = [];

  constructor(draft: ProxyDraft, front: Outline, file: FileDraft, written: Written) {
    this.#draft = draft;
    this.#front = front;
    this.#file = file;
    this.#written = written;
  }

  judge(rules: readonly Rule[]): { admitted: Networks; only: OnlyNames } {
    let only: OnlyNames;
    for (const rule of rules) {
      const condition = withoutHello(rule.condition);
      const everybody = condition === ALWAYS || condition.some((terms) => terms.length === 0);
      if (everybody && !rule.admits && this.#names.length > 0) {
        only = { patterns: this.#names, line: rule.line.number };
        break;
      }
      if (isHello(rule.condition) || (everybody && !rule.admits && this.#helloAccepted)) {
        if (rule.admits) {
          this.#helloAccepted = true;
          this.#note(rule, standard('the ClientHello is awaited where `sni` asks for it'));
        } else this.#needTls.push(rule);
        continue;
      }
      const sources = sourcesOf(condition);
      if (!('kind' in sources)) this.#bySource(rule, condition, sources);
      else {
        const names = this.#byOther(rule, condition, sources);
        if (names) only = { patterns: names, line: rule.line.number };
      }
    }
    // Whoever speaks no TLS has no name, and is turned away where there is no `backend` for it.
    const nameless = only === undefined && this.#draft.front.scalar('backend') !== undefined;
    for (const rule of this.#needTls) {
      const turnedAway = standard('a client without a server name has no backend');
      this.#note(rule, nameless ? lost('a client that speaks no TLS goes to `backend` too') : turnedAway);
    }
    const { admitted, undecided } = decide(this.#bySources);
    return { admitted: union(admitted, undecided), only };
  }

  #bySource({ admits, line: { number: line } }: Rule, condition: Condition, sources: Networks): void {
    if (this.#everybodyDecided) return;
    const { allow, deny } = this.#written;
    const named = (terms: readonly Term[]): Entry[] =>
      terms.flatMap(({ asked }) => (asked.kind === 'source' ? asked.listed : [])).map((one) => ({ ...one, line }));
    const alone = condition.every(([term, ...more]) => term?.negated === false && more.length === 0);
    const [terms = []] = condition;
    const others = condition.length === 1 && terms.length > 0 && terms.every(({ negated }) => negated);
    this.#everybodyDecided = equal(sources, EVERYBODY);
    if (admits) append(this.#accepted, alone ? named(condition.flat()) : []);
    else if (this.#everybodyDecided) append(allow, this.#accepted);
    else if (alone) append(deny, named(condition.flat()));
    else if (others) append(allow, named(terms));
    this.#bySources.push({ networks: sources, admits });
  }

  #byOther(rule: Rule, condition: Condition, asked: AskedOf<Exclude<Asked['kind'], 'source'>>): string[] | undefined {
    const alone = condition.every((terms) => terms.length === 1);
    const negated = condition.flat().every((term) => term.negated);
    if (asked.kind === 'limit' && !rule.admits && alone && !condition.flat().some((term) => term.negated)) {
      for (const { asked: each } of condition.flat()) if (each.kind === 'limit') this.#limit(rule, each);
      return undefined;
    }
    const names = condition.flat().flatMap((term) => (term.asked.kind === 'serverName' ? term.asked.patterns : []));
    const justNames = condition.flat().every((term) => term.asked.kind === 'serverName');
    if (asked.kind === 'serverName' && justNames && rule.admits && alone && !negated) {
      for (const name of names) this.#names.push(name);
      return undefined;
    }
    if (asked.kind === 'serverName' && justNames && !rule.admits && negated && condition.length === 1) return names;
    const limits = condition.flat().some((term) => term.asked.kind === 'limit');
    const lists = limits
      ? '`perSource` holds for every source, without an exception'
      : '`allow` and `deny` are lists of networks, `sni` of names to take';
    const why = asked.kind === 'other' ? asked.says : lists;
    this.#note(rule, lost(rule.admits ? why : `${why}; these clients are let in`));
    return undefined;
  }

  #limit(rule: Rule, { of, most, table }: AskedOf<'limit'>): void {
    const perSource = this.#front.map('perSource');
    const { number } = rule.line;
    const { tracked } = this.#draft;
    const name = table ?? tracked?.table ?? this.#draft.name;
    const counters = this.#file.proxies.named(name)?.table;
    if (of === 'connections') perSource.set('connections', most, number);
    else {
      const windowMs = counters?.windows.get('conn_rate') ?? counters?.windows.get('sess_rate');
      if (!windowMs)
        return this.#note(rule, lost(`there is no table \`${name}\` that says how long a rate is counted`));
      perSource.set('rate', `${most}/${formatDuration(windowMs)}`, number);
      this.#note(rule, carried('`perSource.rate`'));
    }
    // Behind both limits, as the reference has it.
    perSource.delete('prefix');
    writePrefix(tracked?.prefix ?? {}, counters?.type, perSource, tracked?.line ?? counters?.line);
  }

  #note({ line }: Rule, outcome: Outcome): void {
    this.#file.ledger.note(line.number, textOf(line.words), outcome);
  }
}

/** A list may have more entries than a call has arguments. */
function append(list: Entry[], more: readonly Entry[]): void {
  for (const entry of more) list.push(entry);
}

/** A test for a ClientHello beside another test says nothing: without a ClientHello there is no name either. */
function withoutHello(condition: Condition): Condition {
  return condition.map((terms) => terms.filter(({ asked, negated }) => asked.kind !== 'hello' || negated));
}

function isHello(condition: Condition): boolean {
  return condition.some((terms) => terms.length > 0) && condition.flat().every(({ asked }) => asked.kind === 'hello');
}

/** The names of a condition on nothing but names; `everybody` where the condition always holds. */
export function namesOf(condition: Condition): readonly string[] | 'everybody' | Outcome {
  const names: string[] = [];
  for (const terms of withoutHello(condition)) {
    const [term, ...more] = terms;
    if (!term) return 'everybody';
    if (term.asked.kind === 'other') return lost(term.asked.says);
    if (term.negated || more.length > 0 || term.asked.kind !== 'serverName') {
      return lost('`sni` sends a name to a backend, and looks at nothing else');
    }
    for (const pattern of term.asked.patterns) names.push(pattern);
  }
  return names;
}
