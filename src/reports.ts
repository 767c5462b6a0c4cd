import type { Recent } from './clients/recent.ts';
import type { SessionObserver, Sessions } from './clients/sessions.ts';
import type { Config } from './config/schema.ts';
import { formatEndpoint } from './config/values.ts';
import type { Counts } from './counts.ts';
import type { ListenObserver } from './listeners/listeners.ts';
import type { Teller } from './log.ts';
import type { PoolObserver } from './pool/observer.ts';
import type { Said } from './pool/said.ts';
import type { Server } from './pool/server.ts';
import type { ProxyObserver } from './proxy/observer.ts';
import { round } from './proxy/record.ts';

/** Refusals are logged at most this often for each frontend and reason; the metrics count them all. */
const REFUSAL_LOG_MS = 1_000;

/** A client that has most connections is logged at most this often. */
const CROWD_LOG_MS = 60 * 60_000;

export type Reports = PoolObserver & ProxyObserver & ListenObserver;

export type ReportParts = {
  readonly log: Teller;
  readonly counts: Counts;
  /** Who hears of connections and clients beside the log. */
  readonly sessions: Sessions;
  readonly recent: Recent;
  /** What has a line in the log: asked when a connection or a session ends. */
  readonly logConnections: () => Config['log']['connections'];
  readonly serverDown: (server: Server) => void;
};

/** Turns what happens into log lines and counts. */
export function reports({
  log,
  counts,
  sessions,
  recent,
  logConnections,
  serverDown,
}: ReportParts): Reports & SessionObserver {
  const refusals = new Map<string, { loggedMs: number; since: number }>();
  /** When each was logged. */
  const crowds = new Map<string, number>();
  return {
    serverChanged(changed, before) {
      const { backend, name: server, config, health } = changed;
      const where = { backend, server, address: formatEndpoint(config.address) };
      if (health.up) log.tell('server_up', { ...where, downMs: health.since - before.since });
      else {
        log.tell('server_down', { ...where, reason: health.reason });
        serverDown(changed);
      }
    },
    nameChanged({ backend, server, address, servers, failing }, before) {
      const name = { backend, server, address, servers };
      if (failing) log.tell('name_unresolved', { ...name, reason: failing.reason });
      else log.tell('name_resolved', { ...name, failedMs: before ? Date.now() - before.sinceMs : 0 });
    },
    adminChanged({ backend, name: server, admin: state, said }, before) {
      log.tell('server_state', { backend, server, state, before, ...inFields(said.state) });
    },
    weightChanged({ backend, name: server, said }, weight, before) {
      log.tell('server_weight', { backend, server, weight, before, ...inFields(said.weight) });
    },
    serverCame({ backend, name: server }) {
      log.tell('server_came', { backend, server });
    },
    serverLeft({ backend, name: server, connections }) {
      log.tell('server_left', { backend, server, connections });
    },
    clientCrowds(backend, crowd) {
      const [nowMs, key] = [performance.now(), `${backend} ${crowd.client}`];
      for (const [old, loggedMs] of crowds) if (nowMs - loggedMs > CROWD_LOG_MS) crowds.delete(old);
      if (crowds.has(key)) return;
      crowds.set(key, nowMs);
      log.tell('client_crowds', { backend, ...crowd });
    },
    sharedChanged(backend, state, before, pending) {
      const downMs = before ? state.sinceMs - before.sinceMs : undefined;
      if (state.up) log.tell('shared_table_up', { backend, downMs, pending });
      else log.tell('shared_table_down', { backend, reason: state.reason });
    },
    sharedStatesFailed(backend, reason) {
      log.tell('shared_states_failed', { backend, reason });
    },
    sharedAnswered(backend, ms) {
      counts.ofShared(backend).observe(ms / 1_000);
    },
    serverChecked(server, ok) {
      counts.ofServer(server).checks[ok ? 'passed' : 'failed']++;
    },
    listenFailed({ code, message: reason }) {
      log.tell('listening_failed', { code, reason });
    },
    listensAtLast({ kind, name }, address) {
      log.tell('listening_at_last', { frontend: kind === 'frontend' ? name : undefined, address });
    },
    storageChanged({ backend, name: server }, seen) {
      if (seen.known) log.tell('storage_known', { backend, server });
      else log.tell('storage_unknown', { backend, server, reason: seen.reason });
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
      log.tell('connection_refused', { frontend, reason, client, count: seen.since });
      Object.assign(seen, { loggedMs: performance.now(), since: 0 });
    },
    connected(server, seconds) {
      counts.ofServer(server).connected(seconds);
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
      recent.add(record);
      log.connection(record, logConnections() === true);
    },
    arrived(backend, client, nowMs) {
      return sessions.arrived(backend, client, nowMs);
    },
    sessionEnded(session) {
      const { client, backend, server, direction, moves } = session;
      const durationMs = round(session.activeMs - session.startedMs);
      counts.ofBackend(backend).sessionSeconds[direction].observe(durationMs / 1_000);
      if (server) counts.ofServer(server).addSession(direction, session.in, session.out);
      const what = { client, backend: backend.name, server: server?.name, moves, direction };
      const howMuch = { in: session.in, out: session.out, connections: session.total, durationMs };
      const since = new Date(session.sinceMs).toISOString();
      log.session({ ...what, ...howMuch, since }, logConnections() !== false);
    },
  };
}

/** Who wanted a change, where, and when; nothing where nobody knows. */
function inFields(said: Said | undefined): { readonly who?: string; readonly by?: string | undefined; since?: string } {
  if (!said || said.who === '') return {};
  return { who: said.who, by: said.by, since: new Date(said.atMs).toISOString() };
}
