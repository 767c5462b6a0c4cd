import type { ServerResponse } from 'node:http';
import * as z from 'zod';
import type { Control } from '../control.ts';
import type { Counts } from '../counts.ts';
import type { Log } from '../log.ts';
import type { View } from '../view.ts';
import type { Listings } from './paging.ts';

/** What handlers see and change. */
export type Reach = {
  readonly view: View;
  readonly control: Control;
  readonly counts: Counts;
  readonly log: Log;
};

export type Method = 'GET' | 'PUT' | 'POST' | 'DELETE';

/** A request that cannot be granted: 4xx, and what the operator can do about it. Handlers return it. */
export class Refusal {
  readonly status: number;
  readonly body: object;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, error: string | object, headers: Readonly<Record<string, string>> = {}) {
    this.status = status;
    this.body = typeof error === 'string' ? { error } : error;
    this.headers = headers;
  }
}

/** An answer that goes on: `open` gets the response, whose head is not sent yet. */
export class Streamed {
  readonly open: (response: ServerResponse) => void;

  constructor(open: (response: ServerResponse) => void) {
    this.open = open;
  }
}

/** The body that a route wants: JSON of this shape, or a text of one of these types. */
export type Body =
  | { readonly kind: 'json'; readonly schema: z.ZodObject }
  | { readonly kind: 'text'; readonly types: readonly string[]; readonly mostBytes: number };

/** `{name}` in a path is one segment of it, decoded. */
type NamesIn<P extends string> = P extends `${string}{${infer Name}}${infer Rest}` ? Name | NamesIn<Rest> : never;
type BodyOf<B> = B extends { readonly schema: infer S extends z.ZodType }
  ? z.output<S>
  : B extends Body
    ? string
    : null;

/** A request that is well formed: its parts as the route's schemas have them. */
export type Call<P extends string, Q extends z.ZodObject, B> = Reach & {
  /** Makes the pages of lists. */
  readonly listings: Listings;
  readonly params: Readonly<Record<NamesIn<P>, string>>;
  readonly query: z.output<Q>;
  readonly body: BodyOf<B>;
  /** The value of a header that a route looks at; '' where it is not sent. */
  readonly header: (name: string) => string;
  /** `address:port` of whoever asks, or `unix`. */
  readonly who: string;
};

type Outcome<A extends z.ZodType> = z.input<A> | Refusal | Streamed;

type Definition<P extends string, Q extends z.ZodObject, B extends Body | undefined, A extends z.ZodType> = {
  readonly method: Method;
  /** Below /api/v1. */
  readonly path: P;
  /** One sentence for the OpenAPI document. */
  readonly summary: string;
  /** Query parameters, each described. */
  readonly query?: Q;
  /** Headers that it looks at, each described. */
  readonly headers?: z.ZodObject;
  readonly body?: B;
  /** What a 200 carries. */
  readonly answer: A;
  /** Statuses of refusals beyond those that every route has. */
  readonly refusals?: readonly number[];
  /** Whether the request changes something, and so is logged; by default whatever is not a GET. */
  readonly changes?: (query: z.output<Q>) => boolean;
};

/** What a handler gets beside its reach. */
type Asked = 'listings' | 'params' | 'query' | 'body' | 'header' | 'who';

/** A line of the table, of whatever shapes. */
export type Route = {
  readonly method: Method;
  readonly path: string;
  readonly summary: string;
  readonly query: z.ZodObject;
  readonly headers: z.ZodObject;
  readonly body: Body | undefined;
  readonly answer: z.ZodType;
  readonly refusals: readonly number[];
  readonly changes: (query: unknown) => boolean;
  readonly handle: (call: Reach & Record<Asked, unknown>) => Promise<unknown>;
};

const NOTHING = z.strictObject({});

/**
 * `route({ … })(handler)` is a line of the table. The handler is held to the route's schemas by the compiler, which
 * has to know them before it reads the handler.
 */
export function route<
  const P extends string,
  A extends z.ZodType,
  Q extends z.ZodObject = typeof NOTHING,
  B extends Body | undefined = undefined,
>(definition: Definition<P, Q, B, A>): (handle: (call: Call<P, Q, B>) => Outcome<A> | Promise<Outcome<A>>) => Route {
  const { method, path, summary, query = NOTHING, headers = NOTHING, body, answer, refusals = [] } = definition;
  const changes = (definition.changes as Route['changes'] | undefined) ?? (() => method !== 'GET');
  return (handle) => ({
    method,
    path,
    summary,
    query,
    headers,
    body,
    answer,
    refusals,
    changes,
    // A handler that throws in its first turn rejects, as one that throws later does.
    handle: async (call) => handle(call as unknown as Call<P, Q, B>),
  });
}
