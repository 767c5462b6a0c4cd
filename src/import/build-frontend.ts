import { namesOf, writeAdmission, type OnlyNames } from './admission.ts';
import type { FileDraft, ProxyDraft } from './draft.ts';
import { Outline, type Sourced } from './outline.ts';
import { lost, meaningless, textOf } from './outcome.ts';
import { parseBind } from '../config/values.ts';
import { nameOf } from './scalars.ts';

const SERVER_NAME = /^(\*\.)?[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/;
/** As of DNS, and as long as a name of TLS can be asked for. */
const LONGEST_NAME = 253;
const ANYBODY = ['0.0.0.0/0', '::/0'];

/**
 * Writes a frontend into `frontends`; `backends` are those that have been written. Leaves out a frontend that leads
 * nowhere, and says so.
 */
export function writeFrontend(draft: ProxyDraft, frontends: Outline, backends: Outline, file: FileDraft): void {
  const { ledger } = file;
  const { name, front, section } = draft;
  const leaveOut = (why: string): void =>
    ledger.note(section.number, `${section.kind} ${name}`, lost(`left out: ${why}`));
  if (frontends.get(nameOf(name))) return leaveOut('another has this name');
  const binds = [...draft.binds].filter((bind) => {
    const address = parseBind(bind.value);
    const other = address && file.taken.colliding(address);
    if (other) ledger.note(bind.line ?? 0, bind.value, lost(`line ${other.line} has this address`), 'bind');
    return !other;
  });
  if (binds.length === 0) return leaveOut('Berth binds none of its addresses');
  const routes = routesOf(draft, file);
  // A frontend of the result has its keys in the order of the reference.
  const into = frontends.map(nameOf(name), section.number);
  const written = binds.map((bind) => withOptions(bind, draft));
  const [only, ...more] = written;
  if (only && more.length === 0) into.put('bind', only);
  else into.put('bind', written);
  const onlyNames = writeAdmission(draft, front, file);
  const known = (to: Sourced<string> | undefined): boolean => {
    if (!to || backends.get(nameOf(to.value))) return to !== undefined;
    ledger.note(to.line ?? 0, textOf(['backend', to.value]), lost('there is no such backend in TCP mode'));
    return false;
  };
  const fallback = known(routes.fallback) ? routes.fallback : undefined;
  const sni = restricted(new Map([...routes.byName].filter(([, to]) => known(to))), fallback, onlyNames);
  if (!fallback && sni.size === 0) {
    frontends.delete(nameOf(name));
    return leaveOut('none of its backends is there');
  }
  for (const bind of binds) {
    const address = parseBind(bind.value);
    if (address) file.taken.add(address, bind);
  }
  if (fallback && !onlyNames) into.set('backend', nameOf(fallback.value), fallback.line);
  for (const [pattern, to] of sni) into.map('sni').set(pattern, nameOf(to.value), to.line);
  if (sni.size > 0 || draft.proxyBinds.length > 0 || draft.acceptProxy.length > 0) copy(front, into, 'prefaceTimeout');
  writeMaxConnections(draft, into, file);
  writeAcceptProxy(draft, into, file);
  for (const key of ['waitForClient', 'allow', 'deny', 'perSource']) copy(front, into, key);
}

/** A unix socket says who may connect. */
function withOptions(bind: Sourced<string>, { socketOptions }: ProxyDraft): Sourced | Outline {
  const options = socketOptions.get(bind.value) ?? [];
  if (options.length === 0) return bind;
  const map = new Outline(bind.line);
  map.set('address', bind.value, bind.line);
  for (const [key, value] of options) map.set(key, value, bind.line);
  return map;
}

function copy(from: Outline, to: Outline, key: string): void {
  const entry = from.get(key);
  if (entry) to.put(key, entry);
}

type Routes = { readonly fallback: Sourced<string> | undefined; readonly byName: Map<string, Sourced<string>> };

/** Rules in their order: the first that holds decides. */
function routesOf({ section, front, servers, routes }: ProxyDraft, { ledger }: FileDraft): Routes {
  const byName = new Map<string, Sourced<string>>();
  let everybody: Sourced<string> | undefined;
  for (const { condition, backend, line } of routes) {
    const names = namesOf(condition);
    const to = { value: backend, line: line.number };
    if (everybody) {
      ledger.note(line.number, textOf(line.words), meaningless(`line ${everybody.line} sends everybody elsewhere`));
    } else if (names === 'everybody') everybody = to;
    else if ('is' in names) ledger.note(line.number, textOf(line.words), names);
    else {
      for (const pattern of names) {
        const key = pattern.toLowerCase();
        if (key.length > LONGEST_NAME || !SERVER_NAME.test(key)) {
          ledger.note(line.number, textOf([pattern]), lost('`sni` takes a name, or `*.` and a name'), 'server name');
          continue;
        }
        const wider = masksOf(key).find((mask) => byName.has(mask));
        if (wider !== undefined) {
          const says = `\`sni\` takes the name before \`${wider}\`, which stands above it here`;
          ledger.note(line.number, textOf(line.words), lost(says));
        }
        if (!byName.has(key)) byName.set(key, to);
      }
    }
  }
  const named = front.scalar('backend');
  const own =
    section.kind === 'listen' && servers.length > 0 ? { value: section.name, line: section.number } : undefined;
  const entry = front.get('backend');
  const line = entry && 'line' in entry ? entry.line : undefined;
  return { byName, fallback: everybody ?? (typeof named === 'string' ? { value: named, line } : own) };
}

/** The patterns `*.…` that mean a name too, the widest last. */
function masksOf(name: string): string[] {
  const labels = name.split('.');
  return labels
    .slice(1)
    .map((_, i) => `*.${labels.slice(i + 1).join('.')}`)
    .filter((mask) => mask !== name);
}

/** What is left of the routes where these names alone are let in. */
function restricted(
  byName: Map<string, Sourced<string>>,
  fallback: Sourced<string> | undefined,
  only: OnlyNames,
): Map<string, Sourced<string>> {
  if (!only) return byName;
  const patterns = new Set(only.patterns.map((pattern) => pattern.toLowerCase()));
  const kept = [...byName].filter(([name]) => [name, ...masksOf(name)].some((each) => patterns.has(each)));
  const result = new Map(kept);
  for (const pattern of patterns) {
    if (!result.has(pattern) && fallback) result.set(pattern, { value: fallback.value, line: only.line });
  }
  return result;
}

/** HAProxy's global maxconn is a limit for all frontends together; each of Berth's has one of its own. */
function writeMaxConnections({ front }: ProxyDraft, into: Outline, { maxconn }: FileDraft): void {
  const own = front.scalar('maxConnections');
  const isOwn = typeof own === 'number' && own > 0 && (!maxconn || own <= maxconn.value);
  if (isOwn) copy(front, into, 'maxConnections');
  else if (maxconn && maxconn.value > 0) into.set('maxConnections', maxconn.value, maxconn.line);
}

function writeAcceptProxy({ binds, proxyBinds, acceptProxy }: ProxyDraft, into: Outline, { ledger }: FileDraft): void {
  const [line] = proxyBinds;
  if (line === undefined) return into.list('acceptProxy', acceptProxy);
  const ofBind = new Set(proxyBinds);
  const without = [...binds].find((bind) => !ofBind.has(bind.line));
  const isOfBind = [...binds].some((bind) => ofBind.has(bind.line));
  if (without && isOfBind) {
    const says = `\`acceptProxy\` holds for the bind of line ${without.line} too; give that a frontend of its own`;
    ledger.note(line, 'accept-proxy', lost(says));
  }
  return into.list(
    'acceptProxy',
    ANYBODY.map((value) => ({ value, line })),
  );
}
