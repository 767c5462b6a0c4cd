import { setMaxListeners } from 'node:events';
import { audit } from './audit.ts';
import { sorted, type Finding } from './findings.ts';
import type { Order } from './options.ts';
import { findNodes } from './targets.ts';

export { orderOf } from './options.ts';

/**
 * One audit that disturbs nobody: `turn` is called, and waited for, before the audit turns to a node, with how many
 * nodes there are. Rejects when `turn` does or `signal` aborts, and then has deleted what it had begun on the nodes.
 */
export async function round(
  { servers, audience, options }: Order,
  turn: (nodes: number) => Promise<void>,
  signal: AbortSignal,
): Promise<{ nodes: number; findings: readonly Finding[] }> {
  // Every wait for a storage that lags listens to this signal, and Node would warn of a leak after the tenth.
  setMaxListeners(0, signal);
  const { nodes, findings } = await findNodes(servers, audience);
  const gently = { ...options, turn: () => turn(nodes.length) };
  const audited = await audit(audience, nodes, gently, () => {}, signal);
  return { nodes: nodes.length, findings: sorted([...findings, ...audited]) };
}
