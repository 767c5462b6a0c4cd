/** The admin API as the page asks it. */

/** A balancer that takes longer says nothing: what hangs is to be told apart from what is slow. */
const PATIENCE_MS = 4_000;
const TOKEN = 'berth-token';

/** `silent` is no answer at all, `token` one that wants another token, `refused` any other that is not a success. */
export type Failure = 'silent' | 'token' | 'refused';

export class ApiError extends Error {
  readonly failure: Failure;
  readonly status: number;

  constructor(failure: Failure, status: number, message: string, cause?: unknown) {
    super(message, { cause });
    this.failure = failure;
    this.status = status;
  }
}

/**
 * The token lies in the tab's session storage: it outlives a reload of the page, so that nobody types it at every
 * reload, and ends with the tab. It goes out in a header, never in an address, so no history, log or referrer has it.
 */
export class Api {
  #token = sessionStorage.getItem(TOKEN) ?? undefined;

  get hasToken(): boolean {
    return this.#token !== undefined;
  }

  remember(token: string): void {
    this.#token = token;
    sessionStorage.setItem(TOKEN, token);
  }

  forget(): void {
    this.#token = undefined;
    sessionStorage.removeItem(TOKEN);
  }

  get<T>(path: string): Promise<T> {
    return this.#json<T>(path, {});
  }

  put<T>(path: string, body: object): Promise<T> {
    return this.#json<T>(path, {
      method: 'PUT',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
    });
  }

  /** An answer whose body is still to come, for as long as `signal` lets it. */
  async stream(path: string, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Response> {
    return this.#ask(path, { headers, signal });
  }

  async #json<T>(path: string, init: RequestInit): Promise<T> {
    const response = await this.#ask(path, { ...init, signal: AbortSignal.timeout(PATIENCE_MS) });
    try {
      return (await response.json()) as T;
    } catch (error) {
      throw new ApiError('silent', response.status, 'the answer broke off', error);
    }
  }

  async #ask(path: string, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.#token !== undefined) headers.set('authorization', `Bearer ${this.#token}`);
    const ask = (): Promise<Response> =>
      fetch(`/api/v1/${path}`, { ...init, headers, cache: 'no-store', referrerPolicy: 'no-referrer' });
    let response: Response;
    try {
      // The balancer closes connections of a source that has many, and a browser opens several at once: a question may
      // be asked once more. A change may not.
      response = await (init.method === undefined ? ask().catch(ask) : ask());
    } catch (error) {
      throw new ApiError('silent', 0, 'no answer', error);
    }
    if (response.ok) return response;
    throw new ApiError(response.status === 401 ? 'token' : 'refused', response.status, await reasonOf(response));
  }
}

/** What the balancer says of its refusal. */
async function reasonOf(response: Response): Promise<string> {
  const said: unknown = await response.json().catch(() => undefined);
  if (typeof said === 'object' && said !== null && 'error' in said) return String(said.error);
  return `${response.status} ${response.statusText}`;
}

/** The path of a call, with its values encoded; a value that is undefined is left out. */
export function pathOf(parts: readonly string[], query: Readonly<Record<string, string | undefined>> = {}): string {
  const pairs = Object.entries(query).flatMap(([key, value]) =>
    value === undefined ? [] : [`${key}=${encodeURIComponent(value)}`],
  );
  const path = parts.map(encodeURIComponent).join('/');
  return pairs.length === 0 ? path : `${path}?${pairs.join('&')}`;
}
