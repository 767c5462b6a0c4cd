/** A registry and a token server that say what a test wants, in plain HTTP on loopback. */
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import type { TestContext } from 'node:test';
import { listen } from './listening.ts';

export type TokenStand = {
  readonly port: number;
  readonly realm: string;
  /** `METHOD URL AUTHORIZATION` of each question to the token server. */
  readonly asked: string[];
  /** `URL AUTHORIZATION` of each question to the registry but those at /v2/. */
  readonly shown: string[];
};

/** Replies with a token, the next one each time: t1, t2, … */
export function tokens(life: object = {}): RequestListener {
  let given = 0;
  return (_, response) => void response.end(JSON.stringify({ token: `t${++given}`, ...life }));
}

/** The registry takes the tokens that `takes` says, and challenges everybody else to go to `realm`. */
export async function tokenStand(
  t: TestContext,
  answer: RequestListener,
  takes: (token: string) => boolean = () => true,
  realmOf: (port: number) => string = (port) => `http://127.0.0.1:${port}/token`,
): Promise<TokenStand> {
  const [asked, shown]: [string[], string[]] = [[], []];
  const server = createServer((request, response) => {
    asked.push([request.method, request.url, request.headers.authorization ?? '-'].join(' '));
    answer(request, response);
  });
  const realm = realmOf(await listen(t, server));
  const challenge = (response: ServerResponse, error = ''): void =>
    void response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}",service="s"${error}` }).end();
  const registry = createServer(({ url = '', headers }: IncomingMessage, response) => {
    const { authorization = '' } = headers;
    if (url !== '/v2/') shown.push(`${url} ${authorization}`);
    const token = /^Bearer (.+)$/.exec(authorization)?.[1];
    if (token === undefined) return challenge(response);
    if (!takes(token)) return challenge(response, ',error="invalid_token"');
    response.end('{"tags":[]}');
  });
  return { port: await listen(t, registry), realm, asked, shown };
}
