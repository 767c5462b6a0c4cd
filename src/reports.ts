import type { Log } from './log.ts';
import { formatEndpoint } from './config/values.ts';
import type { Metrics } from './metrics.ts';
import type { PoolObserver } from './pool/observer.ts';
import type { Server } from './pool/server.ts';
import type { ProxyObserver } from './proxy/observer.ts';

/** Refusals are logged at most this often for each frontend and reason; the metrics count them all. */
const REFUSAL_LOG_MS = 1_000;

export type Reports = PoolObserver & ProxyObserver;

/** Asked for when something happens, not before. */
export type ReportParts = {
  readonly metrics: () => Metrics;
  readonly logConnections: () => boolean;
  readonly serverDown: (server: Server) => void;
};

/** Turns what happens into log lines and counters. */
export function reports(log: Log, { metrics, logConnections, serverDown }: ReportParts): Reports {
  const refusals = new Map<string, { loggedMs: number; since: number }>();
  return {
    serverChanged(changed, before) {
      const { backend, name: server, config, health } = changed;
      const where = { backend, server, address: formatEndpoint(config.address) };
      if (health.up) log.info({ ...where, downMs: health.since - before.since }, 'server up');
      else {
        log.warn({ ...where, reason: health.reason }, 'server down');
        serverDown(changed);
      }
    },
    adminChanged({ backend, name: server, admin: state }, before) {
      log.warn({ backend, server, state, before }, 'server state');
    },
    serverCame(server) {
      metrics().serverCame(server);
    },
    serverLeft(server) {
      metrics().serverLeft(server);
    },
    serverChecked({ backend, name: server }, ok) {
      metrics().serverChecks.inc({ backend, server, result: ok ? 'passed' : 'failed' });
    },
    refused(frontend, reason, client) {
      metrics().frontendRefused.inc({ frontend, reason });
      // It was not turned away, and its connection has a line of its own.
      if (reason === 'client_left') return;
      const key = `${frontend} ${reason}`;
      const seen = refusals.get(key) ?? { loggedMs: -Infinity, since: 0 };
      refusals.set(key, seen);
      seen.since++;
      if (performance.now() - seen.loggedMs < REFUSAL_LOG_MS) return;
      log.warn({ frontend, reason, client, count: seen.since }, 'connection refused');
      Object.assign(seen, { loggedMs: performance.now(), since: 0 });
    },
    connected({ backend, name: server }, seconds) {
      metrics().connectSeconds.observe({ backend, server }, seconds);
    },
    connectFailed({ backend, name: server }, reason) {
      metrics().serverConnectErrors.inc({ backend, server, reason });
    },
    retried(backend, redispatched) {
      metrics().backendRetries.inc({ backend });
      if (redispatched) metrics().backendRedispatches.inc({ backend });
    },
    ended(record) {
      metrics().ended(record);
      if (logConnections()) log.info(record, 'connection');
    },
  };
}
