import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import type { AdminConfig } from '../config/schema.ts';

const ANSWER_MS = 10_000;
/** The loopback address at which to ask a balancer that listens on every address of both families, or of one. */
const ON_THIS_MACHINE: Readonly<Record<string, string>> = { '*': '127.0.0.1', '0.0.0.0': '127.0.0.1', '::': '::1' };

/** What the admin address says. */
export type AdminReply = { readonly status: number; readonly body: unknown };

/** Asks a running balancer. Rejects with an Error whose message says what an operator can do. */
export async function ask(
  { bind, token, tokenFile }: AdminConfig,
  method: string,
  path: string,
  body?: object,
): Promise<AdminReply> {
  const secret = token ?? tokenFile?.content;
  const where =
    bind.kind === 'unix'
      ? { socketPath: bind.path }
      : { host: ON_THIS_MACHINE[bind.host] ?? bind.host, port: bind.port };
  const call = request({
    ...where,
    method,
    path,
    signal: AbortSignal.timeout(ANSWER_MS),
    headers: {
      ...(bind.kind === 'unix' ? { host: 'localhost' } : {}),
      'content-type': 'application/json',
      ...(secret === undefined ? {} : { authorization: `Bearer ${secret}` }),
    },
  });
  call.end(body && JSON.stringify(body));
  let text = '';
  try {
    const [response] = (await once(call, 'response')) as [IncomingMessage];
    for await (const chunk of response as AsyncIterable<Buffer>) text += chunk.toString('utf8');
    return { status: response.statusCode ?? 0, body: JSON.parse(text) };
  } catch (error) {
    const { code, name, message } = error as NodeJS.ErrnoException;
    const known: Record<string, string> = {
      ECONNREFUSED: 'nothing listens there. Does the balancer run, and with this configuration file?',
      ENOENT: 'there is no such socket. Does the balancer run, and with this configuration file?',
      EACCES: 'permission denied',
    };
    if (error instanceof SyntaxError) {
      throw new Error(`what answers at ${bind.text} is no balancer`, { cause: error });
    }
    const what =
      name === 'AbortError' || name === 'TimeoutError' ? 'no answer within 10s' : (known[code ?? ''] ?? message);
    throw new Error(`cannot reach the admin address ${bind.text}: ${what}`, { cause: error });
  }
}
