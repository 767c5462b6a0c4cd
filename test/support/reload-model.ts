/** Configurations for a property of reloads, and what is to be seen of a balancer under each of them. */
import * as fc from 'fast-check';
import { yaml } from './settings.ts';

/** Addresses and files that a run of the property may name, fixed for the run. */
export type Places = {
  /** Where every configuration listens. */
  readonly always: string;
  /** Where some configurations listen. */
  readonly binds: readonly string[];
  /** A name that takes its time to resolve, and where it leads. */
  readonly slow: { readonly bind: string; readonly address: string };
  /** A name that takes its time and then does not exist. */
  readonly gone: string;
  /** Where another process listens. */
  readonly taken: string;
  readonly metrics: readonly string[];
  readonly admin: readonly string[];
  readonly folder: string;
  /** Backend `b` has the servers `b1`, `b2` …, each at its address. */
  readonly servers: ReadonlyMap<string, string>;
};

const FRONTENDS = ['f', 'g', 'h'] as const;
const BACKENDS = ['b', 'c', 'd'] as const;
type Frontend = (typeof FRONTENDS)[number];
type Backend = (typeof BACKENDS)[number];

export type Config = {
  /** Whose each of `binds` is. Frontend `f` has `always` besides; a frontend without a bind is not there. */
  readonly owners: readonly (Frontend | 'nobody')[];
  /** Frontend `f` listens at the slow name too. */
  readonly slow: boolean;
  readonly routes: Readonly<Record<Frontend, Backend>>;
  /** How many servers each backend has. A backend that no frontend names has no fewer. */
  readonly servers: Readonly<Record<Backend, number>>;
  /** Of `metrics` and `admin`. */
  readonly metrics: number;
  readonly admin: number;
  /** Of the state files; 0 is without. */
  readonly state: number;
};

export const FIRST: Config = {
  owners: [],
  slow: false,
  routes: { f: 'b', g: 'b', h: 'b' },
  servers: { b: 3, c: 0, d: 0 },
  metrics: 0,
  admin: 0,
  state: 0,
};

export type Answer = { readonly frontend: string; readonly backend: string; readonly by: readonly string[] };

/** What is to be seen while a configuration is in force. */
export type Seen = {
  /** Where the process listens, in order. */
  readonly listens: readonly string[];
  /** Whose each address is that clients come to, and who may answer there. */
  readonly answers: ReadonlyMap<string, Answer>;
  /** The servers of each backend. */
  readonly servers: ReadonlyMap<string, readonly string[]>;
  /** The values of the labels in /metrics: `frontend f`, `backend b`, `server b/b1`. */
  readonly labels: readonly string[];
};

export function seen(config: Config, places: Places): Seen {
  const frontends = frontendsOf(config, places);
  const answers = new Map(
    frontends.flatMap(({ name, addresses, backend }) =>
      addresses.map((address) => [address, { frontend: name, backend, by: serversOf(config, backend) }] as const),
    ),
  );
  const backends = backendsOf(config);
  return {
    listens: [...answers.keys(), places.metrics[config.metrics]!, places.admin[config.admin]!].toSorted(),
    answers,
    servers: new Map(backends.map((backend) => [backend, serversOf(config, backend)])),
    labels: [
      ...frontends.map(({ name }) => `frontend ${name}`),
      ...backends.map((backend) => `backend ${backend}`),
      ...backends.flatMap((backend) => serversOf(config, backend).map((server) => `server ${backend}/${server}`)),
    ],
  };
}

/** What goes wrong with a reload. `first` and `last` are frontends before and after all others. */
export type Fault =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'a key that is unknown' }
  | { readonly kind: 'a bind'; readonly at: 'taken' | 'gone'; readonly of: 'first' | 'last' | 'metrics' | 'admin' }
  | { readonly kind: 'a state file'; readonly in: 'a missing folder' | 'the place of a folder' }
  /** So many descriptors are left. */
  | { readonly kind: 'descriptors'; readonly left: number };

/** The balancer.yml of a configuration, with the fault that a file can have. */
export function file(config: Config, places: Places, fault: Fault = { kind: 'nothing' }): string {
  const faulty = (of: string): string | undefined =>
    fault.kind === 'a bind' && fault.of === of ? places[fault.at] : undefined;
  const more = (of: 'first' | 'last'): object => {
    const bind = faulty(of);
    return bind === undefined ? {} : { [of]: { bind, backend: config.routes.f } };
  };
  const frontends = frontendsOf(config, places).map(({ name, binds, backend }) => [name, { bind: binds, backend }]);
  const backends = backendsOf(config).map((backend) => {
    const servers = serversOf(config, backend).map((name) => [name, places.servers.get(name)]);
    return [backend, { servers: Object.fromEntries(servers), healthCheck: { interval: '1h' } }];
  });
  return yaml({
    frontends: { ...more('first'), ...Object.fromEntries(frontends), ...more('last') },
    backends: Object.fromEntries(backends),
    metrics: { bind: faulty('metrics') ?? places.metrics[config.metrics] },
    admin: { bind: faulty('admin') ?? places.admin[config.admin] },
    state: { file: stateFile(config, places, fault), interval: '1h' },
    log: { connections: false },
    ...(fault.kind === 'a key that is unknown' ? { frontend: {} } : {}),
  });
}

function stateFile({ state }: Config, { folder }: Places, fault: Fault): string {
  if (fault.kind === 'a state file') return fault.in === 'a missing folder' ? `${folder}/missing/state` : folder;
  return state === 0 ? '' : `${folder}/state${state}`;
}

type FrontendOf = {
  readonly name: Frontend;
  readonly backend: Backend;
  /** As the file names them, and where that is. */
  readonly binds: readonly string[];
  readonly addresses: readonly string[];
};

function frontendsOf({ owners, slow, routes }: Config, { always, binds, slow: name }: Places): FrontendOf[] {
  return FRONTENDS.flatMap((frontend) => {
    const own = binds.filter((_, i) => owners[i] === frontend);
    const fixed = frontend === 'f' ? [always, ...own] : own;
    const late = frontend === 'f' && slow ? [name] : [];
    if (fixed.length === 0) return [];
    return {
      name: frontend,
      backend: routes[frontend],
      binds: [...fixed, ...late.map(({ bind }) => bind)],
      addresses: [...fixed, ...late.map(({ address }) => address)],
    };
  });
}

/** Those that have servers: what a route names has some in every configuration. */
const backendsOf = ({ servers }: Config): Backend[] => BACKENDS.filter((backend) => servers[backend] > 0);

const serversOf = ({ servers }: Config, backend: Backend): string[] =>
  Array.from({ length: servers[backend] }, (_, i) => `${backend}${i + 1}`);

/** The addresses that `binds` has, and the servers that a backend may have. */
export const MOST = { binds: 4, servers: 3 };

/** Plain objects: they print well. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record<T>(model, { noNullPrototype: true });

const backend = fc.constantFrom(...BACKENDS);
const anyConfig: fc.Arbitrary<Config> = record({
  owners: fc.array(fc.constantFrom('f' as const, 'g' as const, 'h' as const, 'nobody' as const), {
    minLength: MOST.binds,
    maxLength: MOST.binds,
  }),
  slow: fc.boolean(),
  routes: record({ f: backend, g: backend, h: backend }),
  servers: record({
    b: fc.nat({ max: MOST.servers }),
    c: fc.nat({ max: MOST.servers }),
    d: fc.nat({ max: MOST.servers }),
  }),
  metrics: fc.nat({ max: 1 }),
  admin: fc.nat({ max: 1 }),
  state: fc.nat({ max: 2 }),
}).map((config) => {
  const servers = { ...config.servers };
  for (const named of Object.values(config.routes)) servers[named] = Math.max(1, servers[named]);
  return { ...config, servers };
});

const anyFault: fc.Arbitrary<Fault> = fc.oneof(
  { weight: 3, arbitrary: fc.constant({ kind: 'nothing' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'a key that is unknown' as const }) },
  {
    weight: 3,
    arbitrary: record({
      kind: fc.constant('a bind' as const),
      at: fc.constantFrom('taken' as const, 'gone' as const),
      of: fc.constantFrom('first' as const, 'last' as const, 'metrics' as const, 'admin' as const),
    }),
  },
  {
    weight: 1,
    arbitrary: record({
      kind: fc.constant('a state file' as const),
      in: fc.constantFrom('a missing folder' as const, 'the place of a folder' as const),
    }),
  },
  {
    weight: 2,
    arbitrary: record({ kind: fc.constant('descriptors' as const), left: fc.nat({ max: 12 }) }),
  },
);

/** A reload: of which configuration, and what goes wrong with it. */
export type Step = { readonly config: Config; readonly fault: Fault };
export const anyStep: fc.Arbitrary<Step> = record({ config: anyConfig, fault: anyFault });
