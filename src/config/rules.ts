import { Binds } from './binds.ts';
import { isOpen, NAME_RULE, parseBind, type Bind } from './values.ts';
import { didYouMean } from './suggest.ts';

/** The keys and list indexes that lead to a value of the file. */
export type Path = readonly (string | number)[];
/**
 * What is wrong with the value at `path`, or, with `at: 'key'`, with the last key of `path`; `within` is the place in
 * another file that the value names.
 */
export type Finding = {
  readonly path: Path;
  readonly message: string;
  readonly at?: 'key';
  readonly within?: { readonly file: string; readonly line: number };
};

/** Keys whose values are secrets: no message repeats them. `shared` may hold a password in its URL. */
export const SECRET_KEYS: ReadonlySet<string> = new Set(['token', 'shared', 'password', 'sentinelPassword']);

type Tree = Readonly<Record<string, unknown>>;

const isTree = (value: unknown): value is Tree => typeof value === 'object' && value !== null && !Array.isArray(value);
const at = (value: unknown, key: string | number): unknown =>
  isTree(value) && Object.hasOwn(value, key) ? value[key] : undefined;
const entries = (value: unknown): [string, unknown][] => (isTree(value) ? Object.entries(value) : []);

/**
 * The rules that the schema cannot express, because they are about several keys. They judge the raw file, so that
 * their findings are reported together with those of the schema; they pass over values of a wrong shape, which the
 * schema reports.
 */
export function crossCheck(root: unknown): Finding[] {
  return [
    ...checkNames(root),
    ...checkBackendNames(root),
    ...checkServerNames(root),
    ...checkBinds(root),
    ...checkHealthChecks(root),
    ...checkSharedTables(root),
    ...checkAdmin(root),
    ...checkDoctor(root),
  ];
}

/** Whether the keys of the map at `path` are names of the operator's. */
export function isNameMap(path: Path): boolean {
  const [top, , group] = path;
  if (path.length === 1) return top === 'frontends' || top === 'backends';
  return path.length === 3 && ((top === 'frontends' && group === 'sni') || (top === 'backends' && group === 'servers'));
}

/** The name `__proto__`, which a record of zod drops without an issue. */
function* checkNames(root: unknown): Generator<Finding> {
  const groups: Path[] = [['frontends'], ['backends']];
  for (const [name] of entries(at(root, 'frontends'))) groups.push(['frontends', name, 'sni']);
  for (const [name] of entries(at(root, 'backends'))) groups.push(['backends', name, 'servers']);
  for (const group of groups) {
    if (at(group.reduce(at, root), '__proto__') === undefined) continue;
    yield { path: [...group, '__proto__'], message: NAME_RULE, at: 'key' };
  }
}

function* checkBackendNames(root: unknown): Generator<Finding> {
  const backends = entries(at(root, 'backends')).map(([name]) => name);
  const known = new Set(backends);
  for (const [name, frontend] of entries(at(root, 'frontends'))) {
    if (!isTree(frontend)) continue;
    const backend = at(frontend, 'backend');
    if (backend === undefined && entries(at(frontend, 'sni')).length === 0) {
      yield { path: ['frontends', name], message: `names no backend; add "backend: ${backends[0] ?? 'NAME'}"` };
    }
    const routes = entries(at(frontend, 'sni')).map(([key, route]) => ({ path: ['sni', key], route }));
    for (const { path, route } of [{ path: ['backend'], route: backend }, ...routes]) {
      if (typeof route !== 'string' || known.has(route)) continue;
      const message = `there is no backend ${JSON.stringify(route)}.${didYouMean(route, backends)}`;
      yield { path: ['frontends', name, ...path], message };
    }
  }
}

/** Names that are equal as TLS server names, where case does not count, and differ as keys of YAML. */
function* checkServerNames(root: unknown): Generator<Finding> {
  for (const [name, frontend] of entries(at(root, 'frontends'))) {
    const seen = new Map<string, string>();
    for (const [pattern] of entries(at(frontend, 'sni'))) {
      const same = seen.get(pattern.toLowerCase());
      const path = ['frontends', name, 'sni', pattern];
      if (same !== undefined) yield { path, message: `is ${same} again; upper and lower case are the same`, at: 'key' };
      else seen.set(pattern.toLowerCase(), pattern);
    }
  }
}

function* checkBinds(root: unknown): Generator<Finding> {
  const seen = new Binds<{ bind: Bind; owner: string }>();
  for (const { path, owner, value } of allBinds(root)) {
    const bind = bindOf(value);
    if (!bind) continue;
    if (bind.kind === 'tcp' && at(value, 'reusePort') === true && !sharesPorts()) {
      const message = `needs Node 22.12 or later, and this is Node ${process.versions.node}`;
      yield { path: [...path, 'reusePort'], message };
    }
    const other = seen.colliding(bind);
    if (other) yield { path, message: `${bind.text} collides with ${other.bind.text} of ${other.owner}` };
    seen.add(bind, { bind, owner });
  }
}

/**
 * Whether this Node knows `reusePort`, which came with 22.12 and 23.1; an older Node would ignore the key. Whether the
 * kernel can share a port is tried when the bind opens.
 */
function sharesPorts(): boolean {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  return major > 23 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12);
}

/** A bind, in its short form or as a map. */
function bindOf(value: unknown): Bind | undefined {
  const text = at(value, 'address') ?? value;
  return typeof text === 'string' ? parseBind(text) : undefined;
}

function* allBinds(root: unknown): Generator<{ path: Path; owner: string; value: unknown }> {
  const metrics = at(at(root, 'metrics'), 'bind');
  // The default address of metrics collides too. It comes first, so that the finding is about the frontend, which the
  // file has, and not about metrics, which the file does not mention.
  if (metrics === undefined) yield { path: ['metrics', 'bind'], owner: 'metrics, by default', value: '*:9180' };
  for (const [name, frontend] of entries(at(root, 'frontends'))) {
    const path = ['frontends', name, 'bind'];
    const value = at(frontend, 'bind');
    const owner = `frontend ${name}`;
    if (!Array.isArray(value)) yield { path, owner, value };
    else for (const [i, item] of value.entries()) yield { path: [...path, i], owner, value: item };
  }
  const admin = at(at(root, 'admin'), 'bind');
  if (admin !== undefined) yield { path: ['admin', 'bind'], owner: 'admin', value: admin };
  if (metrics !== undefined) yield { path: ['metrics', 'bind'], owner: 'metrics', value: metrics };
}

/** Values of a key that say as much as no key. */
const UNSET: readonly unknown[] = [undefined, false, ''];

function* checkHealthChecks(root: unknown): Generator<Finding> {
  for (const [name, backend] of entries(at(root, 'backends'))) {
    const check = at(backend, 'healthCheck');
    const type = at(check, 'type') ?? 'tcp';
    const only = (key: string, ...owners: string[]): Finding[] =>
      UNSET.includes(at(check, key)) || owners.some((owner) => owner === type)
        ? []
        : [
            {
              path: ['backends', name, 'healthCheck', key],
              message: `belongs to "type: ${owners.join('" or "type: ')}"; this check has type ${JSON.stringify(type)}`,
            },
          ];
    yield* [...only('storage', 'registry'), ...only('path', 'http'), ...only('expect', 'http')];
    yield* only('host', 'http', 'registry');
    const tls = at(check, 'tls');
    if (isTree(tls) && 'cert' in tls !== 'key' in tls) {
      yield { path: ['backends', name, 'healthCheck', 'tls'], message: 'cert and key go together' };
    }
    const storage = at(check, 'storage');
    if (isTree(storage) && 'user' in storage !== 'passwordFile' in storage) {
      yield { path: ['backends', name, 'healthCheck', 'storage'], message: 'user and passwordFile go together' };
    }
  }
}

function* checkSharedTables(root: unknown): Generator<Finding> {
  for (const [name, backend] of entries(at(root, 'backends'))) {
    const shared = at(at(backend, 'stickTable'), 'shared');
    const path = ['backends', name, 'stickTable', 'shared'];
    if (at(at(backend, 'stickTable'), 'sharedStates') === true && UNSET.includes(shared)) {
      const message = 'needs shared, the Redis that states are shared by, such as "shared: redis://HOST:PORT"';
      yield { path: ['backends', name, 'stickTable', 'sharedStates'], message };
    }
    if (!isTree(shared)) continue;
    const ways = ['url', 'sentinels', 'nodes'].filter((key) => key in shared);
    if (ways.length !== 1) yield { path, message: 'expected one of url, sentinels and nodes' };
    if ('master' in shared !== 'sentinels' in shared) yield { path, message: 'sentinels and master go together' };
    if ('cert' in shared !== 'key' in shared) yield { path, message: 'cert and key go together' };
    for (const [user, password, file] of [
      ['user', 'password', 'passwordFile'],
      ['sentinelUser', 'sentinelPassword', 'sentinelPasswordFile'],
    ] as const) {
      const isGiven = password in shared || file in shared;
      if (password in shared && file in shared) yield { path, message: `${password} and ${file} exclude each other` };
      if (user in shared && !isGiven) yield { path, message: `${user} needs ${password} or ${file}` };
      if (user === 'sentinelUser' && isGiven && !('sentinels' in shared)) {
        yield { path, message: 'a password for Sentinels needs sentinels' };
      }
    }
  }
}

function* checkAdmin(root: unknown): Generator<Finding> {
  const admin = at(root, 'admin');
  const bind = bindOf(at(admin, 'bind'));
  const secret = at(admin, 'token') ?? at(admin, 'tokenFile');
  if (!bind || !isOpen(bind) || secret !== undefined) return;
  yield {
    path: ['admin', 'bind'],
    message: `${bind.text} is open to others; add tokenFile, or bind a loopback address`,
  };
}

function* checkDoctor(root: unknown): Generator<Finding> {
  const doctor = at(root, 'doctor');
  if (!isTree(doctor)) return;
  const backends = entries(at(root, 'backends'));
  const names = backends.map(([name]) => name);
  const backend = at(doctor, 'backend');
  if (typeof backend === 'string' && !names.includes(backend)) {
    const message = `there is no backend ${JSON.stringify(backend)}.${didYouMean(backend, names)}`;
    yield { path: ['doctor', 'backend'], message };
  }
  if ('user' in doctor !== 'passwordFile' in doctor) {
    yield { path: ['doctor'], message: 'user and passwordFile go together' };
  }
  if (['0s', undefined].includes(at(doctor, 'interval') as string | undefined)) return;
  if (backend === undefined && names.length > 1) {
    yield { path: ['doctor'], message: `names no backend; add "backend: ${names[0] ?? 'NAME'}"` };
  }
  const [, audited] = backends.find(([name]) => name === (backend ?? names[0])) ?? [];
  const check = at(audited, 'healthCheck');
  if (
    UNSET.includes(at(doctor, 'name')) &&
    UNSET.includes(at(check, 'host')) &&
    UNSET.includes(at(at(check, 'tls'), 'serverName'))
  ) {
    yield { path: ['doctor'], message: 'name is missing: the public name of the registry, as in docker pull NAME/…' };
  }
}
