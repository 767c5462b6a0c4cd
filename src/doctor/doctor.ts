import { setMaxListeners } from 'node:events';
import { printable } from '../config/locate.ts';
import type { Config } from '../config/schema.ts';
import { StartError } from '../errors.ts';
import { audit } from './audit.ts';
import { sorted } from './findings.ts';
import { readOrder, type Flags } from './options.ts';
import { hasFailed, inJson, inWords } from './report.ts';
import { findNodes } from './targets.ts';

/**
 * `berth doctor`: reads the password from standard input where asked to, writes the report to standard output.
 * Resolves to the exit code: 0 without a FAIL, 1 with one or more, 2 where the call is wrong or was interrupted.
 */
export async function runDoctor(config: Config, flags: Flags, json: boolean): Promise<number> {
  let order;
  try {
    order = await readOrder(config, flags, process.stdin);
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    process.stderr.write(`berth: ${printable(error.message)}. See berth doctor --help\n`);
    return 2;
  }
  const progress = process.stderr.isTTY ? showProgress(process.stderr) : () => {};
  progress('resolving names');
  const { nodes, findings: unresolved } = await findNodes(order.servers, order.audience);
  const interrupted = new AbortController();
  // Every wait for a storage that lags listens to this signal, and Node would warn of a leak after the tenth.
  setMaxListeners(0, interrupted.signal);
  const stop = (): void => interrupted.abort();
  // `once`: a second Ctrl-C ends the process, although uploads that the audit has begun are then left behind.
  for (const signal of SIGNALS) process.once(signal, stop);
  try {
    const audited = await audit(order.audience, nodes, order.options, progress, interrupted.signal);
    const findings = sorted([...unresolved, ...audited]);
    progress('');
    process.stdout.write(json ? inJson(findings, nodes) : inWords(findings, nodes));
    return hasFailed(findings) ? 1 : 0;
  } catch (error) {
    if (!interrupted.signal.aborted) throw error;
    progress('');
    process.stderr.write('berth: interrupted\n');
    return 2;
  } finally {
    for (const signal of SIGNALS) process.off(signal, stop);
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** Each step overwrites the line of the step before; an empty step clears the line. */
function showProgress(terminal: NodeJS.WriteStream): (step: string) => void {
  return (step) => void terminal.write(`\r\u001b[2K${step === '' ? '' : `berth doctor: ${step} …`}`);
}
