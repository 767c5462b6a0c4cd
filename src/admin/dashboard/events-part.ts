import type { EventLine } from './answers.ts';
import { byId, h, setHidden, setText } from './dom.ts';
import { bytes, clock, duration } from './format.ts';

/** As many as anybody scrolls through; `berth events` and the log have the others. */
const MOST = 200;

/** What the line has in a place of its own, and what is the same in all lines. */
const SHOWN_ELSEWHERE = new Set(['level', 'time', 'msg', 'event', 'pid', 'hostname', 'backend', 'server', 'frontend']);

const KINDS: Readonly<Record<string, (line: EventLine) => boolean>> = {
  all: () => true,
  warnings: ({ level }) => level !== 'info' && level !== 'debug' && level !== 'trace',
  servers: ({ server, event }) => server !== undefined && event !== 'session',
  sessions: ({ event }) => event === 'session',
};

export type Events = { add(line: EventLine): void; say(state: string): void; clear(): void };

/** The last events, the newest first. */
export function eventsPart(): Events {
  const all = byId('events-list');
  const kind = byId('events-kind') as HTMLSelectElement;
  const none = byId('events-none');
  const lines = new WeakMap<Element, EventLine>();
  const isWanted = (line: EventLine): boolean => KINDS[kind.value]?.(line) ?? true;

  function showNone(): void {
    setHidden(
      none,
      [...all.children].some((one) => one instanceof HTMLElement && !one.hidden),
    );
  }

  kind.addEventListener('change', () => {
    for (const one of all.children) {
      const line = lines.get(one);
      if (line && one instanceof HTMLElement) setHidden(one, !isWanted(line));
    }
    showNone();
  });
  return {
    add(line) {
      const element = entry(line);
      lines.set(element, line);
      element.hidden = !isWanted(line);
      all.prepend(element);
      while (all.children.length > MOST) all.lastElementChild?.remove();
      showNone();
    },
    say: (state) => setText(byId('events-state'), state),
    clear() {
      all.replaceChildren();
      showNone();
    },
  };
}

function entry(line: EventLine): HTMLElement {
  const { level = 'info', time, msg = '' } = line;
  return h(
    'li',
    { class: 'event', 'data-level': level },
    h('time', { datetime: time ?? '' }, clock(time)),
    h('span', { class: 'level' }, level === 'info' ? '' : level),
    h('span', { class: 'text' }, h('b', {}, [placeOf(line), msg].filter(Boolean).join(': ')), ` ${detailsOf(line)}`),
  );
}

function placeOf({ backend, server, frontend }: EventLine): string {
  if (typeof backend === 'string') return typeof server === 'string' ? `${backend}/${server}` : backend;
  return typeof frontend === 'string' ? frontend : '';
}

/** What the words of the line leave out. */
function detailsOf(line: EventLine): string {
  const { msg = '' } = line;
  const rest = Object.entries(line).filter(([key, value]) => !SHOWN_ELSEWHERE.has(key) && !msg.includes(String(value)));
  return rest.map(([key, value]) => detail(key, value)).join(', ');
}

/** A key with its value: the units are in the names of the log. */
function detail(key: string, value: unknown): string {
  if (key === 'reason') return String(value);
  if (typeof value === 'number') {
    if (key.endsWith('Ms')) return `${key.slice(0, -2)} ${duration(value)}`;
    if (key === 'in' || key === 'out') return `${key} ${bytes(value)}`;
  }
  return `${key} ${typeof value === 'string' ? value : JSON.stringify(value)}`;
}
