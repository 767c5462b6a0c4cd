/** The balancer.yml of a test, as an object: JSON is YAML. */

export type Settings = {
  readonly frontends: Readonly<Record<string, object>>;
  readonly backends: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly [key: string]: unknown;
};

/**
 * A server with a name of its own; or one that is called s1, s2, … by its place: `HOST:PORT`, a port of 127.0.0.1, its
 * keys.
 */
export type Given =
  | { readonly name: string; readonly address: string }
  | string
  | number
  | { readonly name?: undefined; readonly address: string; readonly [key: string]: unknown };

/** Health checks that see a change at once. */
export const QUICK_CHECKS = { healthCheck: { interval: '50ms', fastInterval: '50ms', fall: 1, rise: 1 } };

/** Health checks that say nothing after the first: what a test sees then comes from the connections alone. */
export const RARE_CHECKS = { healthCheck: { interval: '1h', fastInterval: '1h' } };

/**
 * Frontend `f` and backend `b` in front of `servers`, all on free ports of loopback. `backend` and `frontend` are
 * further keys of those two, `rest` of the top level; what they name in its place.
 */
export function settings(
  servers: readonly Given[],
  backend: object = {},
  rest: object = {},
  frontend: object = {},
): Settings {
  return {
    frontends: { f: { bind: '127.0.0.1:0', backend: 'b', ...frontend } },
    backends: { b: { servers: Object.fromEntries(servers.map(entry)), ...backend } },
    metrics: { bind: '127.0.0.1:0' },
    admin: { bind: '127.0.0.1:0' },
    ...rest,
  };
}

function entry(server: Given, i: number): [string, unknown] {
  if (typeof server === 'number') return [`s${i + 1}`, `127.0.0.1:${server}`];
  if (typeof server === 'string' || server.name === undefined) return [`s${i + 1}`, server];
  return [server.name, server.address];
}

/** As it stands in the file; a test that wants its file to the letter has written it itself. */
export function yaml(file: Settings | string): string {
  return typeof file === 'string' ? file : JSON.stringify(file, null, 2);
}
