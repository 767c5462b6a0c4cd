import { STANDARD_ADMIN, type Config } from './config/schema.ts';
import { isOpen } from './config/values.ts';
import type { ListenersStep } from './listeners/listeners.ts';
import type { Teller } from './log.ts';
import { missingSources } from './pool/sources.ts';

/** Tells of the addresses that a commit has opened, and of those that `config` asks for in vain. */
export function tellOpenings(log: Teller, config: Config, step: Pick<ListenersStep, 'opened' | 'missing'>): void {
  for (const { owner, address } of step.opened) {
    if (owner.kind === 'frontend') log.tell('listening', { frontend: owner.name, address });
    else log.tell(`listening_${owner.kind}`, { address });
    if (owner.kind === 'metrics' && isOpen(config.metrics.bind)) log.tell('metrics_open', { address });
  }
  for (const source of missingSources(config)) log.tell('source_missing', source);
  for (const { code, message } of step.missing) {
    const reason = code === 'EADDRINUSE' ? `${STANDARD_ADMIN.bind.text} is taken` : message;
    log.tell('admin_missing', { code, reason });
  }
}
