import type { FileDraft, ProxyDraft } from './draft.ts';
import { LISTEN } from './nginx-directives.ts';
import { lost, textOf } from './outcome.ts';
import { addBind, STEPS_OF_A_BIND } from './read-bind.ts';
import { nginxTime } from './scalars.ts';

const MOST_PORTS = 64;

/** `listen ADDRESS:PORT PARAMETER…`, where the address may be left out. */
export function readListen(
  draft: ProxyDraft,
  words: readonly string[],
  line: number,
  { ledger, budget }: FileDraft,
): void {
  const [, address = '', ...parameters] = words;
  for (const parameter of parameters) {
    const name = parameter.replace(/=.*$/, '');
    const known = Object.hasOwn(LISTEN, name) ? LISTEN[name as keyof typeof LISTEN] : undefined;
    ledger.note(line, parameter, known ?? lost('unknown parameter'), 'listen');
  }
  if (parameters.includes('udp')) return;
  // so_keepalive=on|off|[IDLE]:[INTERVAL]:[COUNT]
  const [, idle = ''] =
    /^so_keepalive=([^:]*):/.exec(parameters.find((one) => one.startsWith('so_keepalive=')) ?? '') ?? [];
  const quiet = nginxTime(idle);
  if (quiet !== undefined) draft.timeouts.set('keepAlive', { value: quiet, line });
  if (parameters.includes('proxy_protocol')) draft.proxyBinds.push(line);
  const binds = bindsOf(address, parameters.includes('ipv6only=off'));
  if (!budget.spend(binds.length * STEPS_OF_A_BIND, line)) return;
  for (const bind of binds) {
    const outcome = addBind(draft, bind, line);
    if (outcome) ledger.note(line, textOf(words), outcome);
  }
}

function bindsOf(address: string, both: boolean): string[] {
  if (address.startsWith('unix:')) return [address];
  const [, host, from = '', to = from] = /^(?:(.*):)?(\d{1,5})(?:-(\d{1,5}))?$/.exec(address) ?? [];
  const any = host === undefined || host === '' || (both && host === '[::]');
  const name = any ? '*' : host;
  const count = Number(to) - Number(from) + 1;
  // What is no address is told when it is added.
  if (from === '' || count < 1 || count > MOST_PORTS) return [address];
  return Array.from({ length: count }, (_, i) => `${name}:${Number(from) + i}`);
}
