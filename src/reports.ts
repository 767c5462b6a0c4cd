import { formatEndpoint } from './config/values.ts';
import type { Counts } from './counts.ts';
import type { ListenObserver } from './listeners/listeners.ts';
import type { Log } from './log.ts';
import type { PoolObserver } from './pool/observer.ts';
import type { Server } from './pool/server.ts';
import type { ProxyObserver } from './proxy/observer.ts';

/** Refusals are logged at most this often for each frontend and reason; the metrics count them all. */
const REFUSAL_LOG_MS = 1_000;

/** A client that has most connections is logged at most this often. */
const CROWD_LOG_MS = 60 * 60_000;

export type Reports = PoolObserver & ProxyObserver & ListenObserver;

export type ReportParts = {
  readonly log: Log;
  readonly counts: Counts;
  /** Whether a connection has a line in the log: asked when the connection ends. */
  readonly logConnections: () => boolean;
  readonly serverDown: (server: Server) => void;
};

/** Turns what happens into log lines and counts. */
export function reports({ log, counts, logConnections, serverDown }: ReportParts): Reports {
  const refusals = new Map<string, { loggedMs: number; since: number }>();
  /** When each was logged. */
  const crowds = new Map<string, number>();
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
    nameChanged({ failing, ...name }, before) {
      if (failing) log.warn({ ...name, reason: failing.reason }, 'name does not resolve');
      else log.warn({ ...name, failedMs: before ? Date.now() - before.sinceMs : 0 }, 'name resolves again');
    },
    adminChanged({ backend, name: server, admin: state }, before) {
      log.warn({ backend, server, state, before }, 'server state');
    },
    serverCame({ backend, name: server }) {
      log.debug({ backend, server }, 'server came');
    },
    serverLeft({ backend, name: server, connections }) {
      log.debug({ backend, server, connections }, 'server left');
    },
    clientCrowds(backend, crowd) {
      const [nowMs, key] = [performance.now(), `${backend} ${crowd.client}`];
      for (const [old, loggedMs] of crowds) if (nowMs - loggedMs > CROWD_LOG_MS) crowds.delete(old);
      if (crowds.has(key)) return;
      crowds.set(key, nowMs);
      log.warn({ backend, ...crowd }, 'one client has most connections: is it a NAT or a proxy?');
    },
    serverChecked(server, ok) {
      counts.ofServer(server).checks[ok ? 'passed' : 'failed']++;
    },
    listenFailed({ code, message }) {
      log.error({ code }, `${message}; Berth tries again and again`);
    },
    listensAtLast({ kind, name }, address) {
      log.info({ ...(kind === 'frontend' ? { frontend: name } : {}), address }, 'listening at last');
    },
    storageChanged({ backend, name: server }, seen) {
      if (seen.known) log.info({ backend, server }, 'storage known');
      else log.warn({ backend, server, reason: seen.reason }, 'storage unknown');
    },
    refused(frontend, reason, client) {
      counts.refused(frontend)[reason]++;
      // The client was not turned away: its connection has a line of its own, or is a probe that is worth none.
      if (reason === 'client_left' || reason === 'client_silent') return;
      const key = `${frontend} ${reason}`;
      const seen = refusals.get(key) ?? { loggedMs: -Infinity, since: 0 };
      refusals.set(key, seen);
      seen.since++;
      if (performance.now() - seen.loggedMs < REFUSAL_LOG_MS) return;
      log.warn({ frontend, reason, client, count: seen.since }, 'connection refused');
      Object.assign(seen, { loggedMs: performance.now(), since: 0 });
    },
    connected(server, seconds) {
      counts.ofServer(server).connectSeconds.observe(seconds);
    },
    connectFailed(server, reason) {
      counts.ofServer(server).connectErrors[reason]++;
    },
    retried(backend, redispatched) {
      const of = counts.ofBackend(backend);
      of.retries++;
      if (redispatched) of.redispatches++;
    },
    ended(record, backend) {
      if (backend) {
        const { ended, seconds } = counts.ofBackend(backend);
        ended.set(record.end, (ended.get(record.end) ?? 0) + 1);
        seconds.observe(record.durationMs / 1_000);
      }
      if (logConnections()) log.info(record, 'connection');
    },
  };
}
