import type { Config } from '../config/schema.ts';
import type { ListenersStep } from '../listeners/listeners.ts';
import type { Backend } from '../pool/backend.ts';
import type { Server } from '../pool/server.ts';
import type { ServerTerms } from '../pool/terms.ts';
import { differences, formatDifferences } from './differences.ts';
import type { Generation } from './generation.ts';

/** What a plan would change, in the words of its parts. */
export type Change = {
  readonly kind: 'comes' | 'leaves' | 'changes' | 'opens' | 'closes';
  /** Such as `server docker_registry/s3`. */
  readonly what: string;
  readonly detail: string;
  /** Clients that lose their server, or find it at another address. */
  readonly clients: number;
  /** Open connections of what leaves or is elsewhere: they go on. */
  readonly connections: number;
};

/** What is planned. */
type Planned = Pick<ListenersStep, 'opened' | 'closed'> & {
  readonly generation: Generation;
  /** The servers of a backend that would be in force. */
  servers(backend: string): ReadonlyMap<string, ServerTerms>;
};

/** A server's own options; those of its backend are told once, of the backend. */
const OWN_OPTIONS = ['address', 'weight', 'backup', 'maxConnections', 'slowStart'] as const;

/** Everything that a commit of `next` would change of what is in force. */
export function changesOf(old: Generation, next: Planned): Change[] {
  const before = old.config;
  const { config } = next.generation;
  return [
    ...next.opened.map(({ owner, address }) => change('opens', nameOf(owner), address)),
    ...next.closed.map(({ owner, address }) => change('closes', nameOf(owner), address)),
    ...frontendChanges(old, before.frontends, config.frontends),
    ...backendChanges(old, next),
    ...(['timeouts', 'metrics', 'admin', 'state', 'log'] as const).flatMap((key) =>
      changed(key, differences(before[key], config[key])),
    ),
    ...restOf(before, config),
  ];
}

/** The frontend of this name; metrics and admin are called as what they are. */
function nameOf({ kind, name }: ListenersStep['opened'][number]['owner']): string {
  return kind === name ? kind : `${kind} ${name}`;
}

/** What a change is in a sentence. */
export function inWords({ kind, what, detail, clients, connections }: Change): string {
  const whom = [counted(clients, 'client'), counted(connections, 'connection')]
    .filter((text) => text !== '')
    .join(', ');
  return `${what} ${kind}${detail === '' ? '' : `: ${detail}`}${whom === '' ? '' : ` (${whom})`}`;
}

/** Empty for none. */
function counted(count: number, noun: string): string {
  return count === 0 ? '' : `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function change(kind: Change['kind'], what: string, detail = '', clients = 0, connections = 0): Change {
  return { kind, what, detail, clients, connections };
}

/** Nothing where there are no differences. */
function changed(what: string, found: ReturnType<typeof differences>, clients = 0, connections = 0): Change[] {
  return found.length === 0 ? [] : [change('changes', what, formatDifferences(found), clients, connections)];
}

/** Keys of the file that have no lines of their own above. */
function restOf(before: Config, config: Config): Change[] {
  const told = ['frontends', 'backends', 'timeouts', 'metrics', 'admin', 'state', 'log'];
  const keys = [...new Set([...Object.keys(before), ...Object.keys(config)])].filter((key) => !told.includes(key));
  const at = (of: Config, key: string): unknown => (of as Readonly<Record<string, unknown>>)[key];
  return keys.flatMap((key) => changed(key, differences(at(before, key), at(config, key))));
}

function frontendChanges(old: Generation, before: Config['frontends'], after: Config['frontends']): Change[] {
  return namesOf(before, after).flatMap((name) => {
    const what = `frontend ${name}`;
    const [was, is] = [before[name], after[name]];
    if (!was) return [change('comes', what)];
    if (!is) return [change('leaves', what, '', 0, old.frontends.get(name)?.connections ?? 0)];
    return changed(what, differences(was, is));
  });
}

function backendChanges(old: Generation, next: Planned): Change[] {
  const { config } = next.generation;
  return namesOf(old.config.backends, config.backends).flatMap((name) => {
    const what = `backend ${name}`;
    const [was, is] = [old.config.backends[name], config.backends[name]];
    const backend = old.backends.get(name);
    if (!is) return [change('leaves', what, '', backend?.table?.entries ?? 0, connectionsOf(backend?.servers ?? []))];
    const own = was ? differences({ ...was, servers: {} }, { ...is, servers: {} }) : [];
    // What a client is has changed: nobody's binding is anybody's any more.
    const forgets = own.some(({ path }) => path === 'stickTable' || path.startsWith('stickTable.prefix'));
    const entries = backend?.table?.entries ?? 0;
    const kept = forgets || !is.stickTable ? 0 : Math.min(entries, is.stickTable.size);
    const here = was ? changed(what, own, entries - kept) : [change('comes', what)];
    return [...here, ...serverChanges(name, backend, next.servers(name), forgets)];
  });
}

function serverChanges(
  backend: string,
  old: Backend | undefined,
  after: ReadonlyMap<string, ServerTerms>,
  forgotten: boolean,
): Change[] {
  const before = new Map((old?.servers ?? []).map((server) => [server.name, server]));
  // Clients are counted once: with their backend, where it forgets them all.
  const clientsOf = (server: Server): number => (forgotten ? 0 : (old?.table?.entriesOf(server) ?? 0));
  return [...new Set([...before.keys(), ...after.keys()])].flatMap((name) => {
    const what = `server ${backend}/${name}`;
    const [was, is] = [before.get(name), after.get(name)];
    if (!was) return [change('comes', what, is && formatDifferences(differences({}, { address: is.address })))];
    if (!is) return [change('leaves', what, '', clientsOf(was), was.connections)];
    const found = differences(pick(was.config), pick(is));
    const moves = found.some(({ path }) => path === 'address');
    const ends = was.ownWeight !== undefined && was.config.weight !== is.weight;
    const [line] = changed(what, found, moves ? clientsOf(was) : 0, moves ? was.connections : 0);
    if (!line) return [];
    return [ends ? { ...line, detail: `${line.detail}; the operator's weight ${was.ownWeight} ends` } : line];
  });
}

const pick = (terms: ServerTerms): object => Object.fromEntries(OWN_OPTIONS.map((key) => [key, terms[key]]));

const connectionsOf = (servers: readonly Server[]): number =>
  servers.reduce((sum, { connections }) => sum + connections, 0);

/** Those of `before` first. */
function namesOf(before: object, after: object): string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])];
}
