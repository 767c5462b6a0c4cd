/** What balancers write into the table that they share, letter by letter. */

/** The binding of a client as all balancers have it. */
export type SharedBinding = {
  /** By name: each balancer may have other servers, in another order. */
  readonly server: string;
  /** The balancer that bound the client, or moved it. */
  readonly by: string;
  /** The first server of a client that was moved from it. */
  readonly home: string | undefined;
};

/** Somebody's change of a binding that was there: `value` is empty where the binding was taken away. */
export type Told = { readonly instance: string; readonly client: string; readonly value: string };

/** Anything longer was not written by a balancer. */
const VALUE = /^(\S{1,300}) (\S{1,100})(?: (\S{1,300}))?$/;
const MESSAGE = /^(\S{1,64}) (\S{1,300})(?: (.{1,800}))?$/;

/** The braces are a hash tag: a Redis Cluster has the keys of one backend on one node. */
export const keyOf = (backend: string, client: string): string => `berth:{${backend}}:${client}`;

/** No client: what is said of servers, and the news of it. */
export const SERVERS = 'servers';

/** Where changes are told. */
export const channelOf = (backend: string): string => `berth:{${backend}}`;

export function spell({ server, by, home }: SharedBinding): string {
  return home === undefined ? `${server} ${by}` : `${server} ${by} ${home}`;
}

/** Undefined for what no balancer has written. */
export function parse(value: string): SharedBinding | undefined {
  const [, server, by, home] = VALUE.exec(value) ?? [];
  return server === undefined || by === undefined ? undefined : { server, by, home };
}

/** Undefined for what no balancer has told. */
export function parseTold(message: string): Told | undefined {
  const [, instance, client, value = ''] = MESSAGE.exec(message) ?? [];
  return instance === undefined || client === undefined ? undefined : { instance, client, value };
}
