import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import type { AdminConfig } from '../config/schema.ts';
import type { Bind } from '../config/values.ts';
import { lookUp, NameFault } from '../names/look-up.ts';

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
  const signal = AbortSignal.timeout(ANSWER_MS);
  let text = '';
  try {
    const call = request({
      ...(await whereIs(bind, signal)),
      method,
      path,
      signal,
      headers: {
        ...(bind.kind === 'unix' ? { host: 'localhost' } : {}),
        'content-type': 'application/json',
        ...(secret === undefined ? {} : { authorization: `Bearer ${secret}` }),
      },
    });
    call.end(body && JSON.stringify(body));
    const [response] = (await once(call, 'response')) as [IncomingMessage];
    for await (const chunk of response as AsyncIterable<Buffer>) text += chunk.toString('utf8');
    return { status: response.statusCode ?? 0, body: JSON.parse(text) };
  } catch (error) {
    if (error instanceof SyntaxError) throw new Error(`what answers at ${bind.text} is no balancer`, { cause: error });
    throw new Error(`cannot reach the admin address ${bind.text}: ${whyNot(error)}`, { cause: error });
  }
}

function whyNot(error: unknown): string {
  const { code, name, message } = error as NodeJS.ErrnoException;
  if (error instanceof NameFault) return message;
  if (name === 'AbortError' || name === 'TimeoutError') return 'no answer within 10s';
  const known: Record<string, string> = {
    ECONNREFUSED: 'nothing listens there. Does the balancer run, and with this configuration file?',
    ENOENT: 'there is no such socket. Does the balancer run, and with this configuration file?',
    EACCES: 'permission denied',
  };
  return known[code ?? ''] ?? message;
}

/** With the address of a name: Node would ask the system for it, and nothing could end that. */
async function whereIs(
  bind: Bind,
  signal: AbortSignal,
): Promise<{ socketPath: string } | { host: string; port: number }> {
  if (bind.kind === 'unix') return { socketPath: bind.path };
  const host = ON_THIS_MACHINE[bind.host] ?? bind.host;
  const { addresses } = await lookUp(host, signal);
  return { host: addresses[0] ?? host, port: bind.port };
}
