import type { Recent } from './clients/recent.ts';
import type { Sessions } from './clients/sessions.ts';
import type { Config } from './config/schema.ts';
import type { ConfigFile } from './config-file.ts';
import type { Backend } from './pool/backend.ts';
import { takesNew } from './pool/choose.ts';
import type { Frontend } from './proxy/frontend.ts';
import type { Rates } from './rates.ts';
import type { DoctorSeen } from './rounds.ts';

/** A lame duck still accepts, and has itself taken out of the rotation of whoever sends clients. */
export const STAGES = ['starting', 'running', 'lame-duck', 'draining'] as const;
export type Stage = (typeof STAGES)[number];

/** What the metrics, the admin API and the log see of a running balancer. */
export type View = {
  readonly stage: Stage;
  /** In force. */
  readonly config: Config;
  readonly configFile: ConfigFile;
  /** In force, or left with connections that still stand. */
  readonly frontends: readonly Frontend[];
  /** In force. */
  readonly backends: readonly Backend[];
  /** What clients do, and what they did lately. */
  readonly sessions: Sessions;
  readonly recent: Recent;
  readonly rates: Rates;
  /** What the doctor has seen on its rounds; undefined where none are wanted. */
  readonly doctor: DoctorSeen | undefined;
  /** Where a frontend listens. */
  addressesOf(frontend: string): readonly string[];
  /** Brings the servers' byte counters up to date, and ends what is idle. */
  sweep(): void;
};

/** Why clients should not be sent here now, or undefined. */
export function notReady({ stage, backends }: View): string | undefined {
  if (stage !== 'running') return stage;
  return backends.some(({ servers }) => servers.some(takesNew)) ? undefined : 'no server takes new clients';
}
