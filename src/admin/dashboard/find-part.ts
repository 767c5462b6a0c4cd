import type { Explanation, Move, Whois } from './answers.ts';
import { ApiError, pathOf, type Api } from './api.ts';
import { byId, h } from './dom.ts';
import { clock, duration, plural } from './format.ts';

/** `10.0.0.7:41234` or `[2001:db8::7]:41234`: what a node's log shows of a connection. */
const WITH_PORT = /^(\[[^\]]*\]|[^:]*):\d+$/;

export type Find = { ask(address: string): void; clear(): void };

/** Says where a client of an address goes and why, or which client stood behind an address of the balancer. */
export function findPart(api: Api, refused: (error: ApiError) => void): Find {
  const found = byId('found');
  const address = byId('address') as HTMLInputElement;
  let asked = 0;

  async function ask(what: string): Promise<void> {
    const turn = ++asked;
    let answer: Node[];
    try {
      answer = WITH_PORT.test(what)
        ? whois(await api.get<Whois>(pathOf(['whois'], { from: what })))
        : explanation(await api.get<Explanation>(pathOf(['explain'], { ip: what })));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.failure === 'token') refused(error);
      answer = [h('p', { class: 'fault' }, error.message)];
    }
    if (turn === asked) found.replaceChildren(...answer);
  }

  byId('find-form').addEventListener('submit', (event) => {
    event.preventDefault();
    void ask(address.value.trim());
  });
  return {
    ask(what) {
      address.value = what;
      byId('find').scrollIntoView({ block: 'nearest' });
      void ask(what);
    },
    clear() {
      asked++;
      address.value = '';
      found.replaceChildren();
    },
  };
}

function explanation({ ip, frontends, backends }: Explanation): Node[] {
  const refused = frontends.filter(({ admitted }) => !admitted);
  return [
    h('h3', {}, ip),
    ...refused.map(({ name, why }) => h('p', { class: 'fault' }, `${name} refuses it: ${why}`)),
    ...backends.map((backend) => {
      const { name, why, server, home, connections, waiting, expiresMs, wouldGo, moves } = backend;
      const facts: [string, string | undefined][] = [
        ['Bound to', server ?? undefined],
        ['First server', home === server ? undefined : (home ?? undefined)],
        ['A connection now goes to', wouldGo ?? undefined],
        ['Open connections', server === null ? undefined : String(connections)],
        ['Waiting', waiting > 0 ? String(waiting) : undefined],
        ['Is forgotten in', expiresMs === null || connections > 0 ? undefined : duration(expiresMs)],
      ];
      return h(
        'article',
        {},
        h('h4', {}, name),
        h('p', { class: 'why-text' }, sentence(why)),
        pairs(facts),
        ...history(moves),
      );
    }),
  ];
}

function history(moves: readonly Move[]): Node[] {
  if (moves.length === 0) return [];
  const each = moves.map(({ at, from, to, reason }) => h('li', {}, `${clock(at)} ${from} → ${to}: ${reason}`));
  return [
    h('p', { class: 'caption' }, `Moved ${plural(moves.length, 'time')} of late`),
    h('ol', { class: 'moves' }, ...each),
  ];
}

function whois({ from, others, ...first }: Whois): Node[] {
  const each = [first, ...others].map(({ open, client, frontend, backend, server, since, endedAt, end }) => {
    const until = endedAt === null ? 'open' : `ended ${clock(endedAt)} (${end ?? ''})`;
    const facts = [
      ['Frontend', frontend],
      ['Server', server === null ? 'none' : `${backend ?? ''}/${server}`],
      ['Since', `${clock(since)}, ${until}`],
    ] as const;
    return h('article', {}, h('p', { class: 'why-text' }, `${open ? 'is' : 'was'} ${client}`), pairs(facts));
  });
  return [h('h3', {}, from), ...each];
}

function pairs(all: readonly (readonly [string, string | undefined])[]): Node {
  const known = all.flatMap(([name, value]) => (value === undefined ? [] : [h('dt', {}, name), h('dd', {}, value)]));
  return h('dl', { class: 'pairs' }, ...known);
}

function sentence(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`;
}
