/** The balancers that are compared, and the configuration file of each. */
import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mostConnections } from './limits.ts';

export interface Contender {
  label: string;
  /**
   * Writes the configuration into `folder`; returns the command that runs the balancer in the foreground, undefined
   * where clients go to a node themselves.
   */
  prepare(folder: string, listen: Ports, backendPorts: readonly number[]): string[] | undefined;
}

/** The ports on which a contender listens; one without metrics or an admin address leaves these unused. */
export interface Ports {
  traffic: number;
  metrics: number;
  admin: number;
}

export interface BerthOptions {
  node: string;
  cli: string;
  profileFolder: string | undefined;
}

/** Berth as it comes: every setting that the file leaves out has its default, so each connection has its log line. */
export function berth({ node, cli, profileFolder }: BerthOptions): Contender {
  return {
    label: 'Berth',
    prepare(folder, listen, backendPorts) {
      const file = join(folder, 'balancer.yml');
      const servers = backendPorts.map((port, index) => `      s${index + 1}: 127.0.0.1:${port}`);
      const lines = [
        'frontends:',
        `  bench: { bind: "127.0.0.1:${listen.traffic}", backend: nodes }`,
        'backends:',
        '  nodes:',
        // HAProxy, without the word `check`, checks its servers no more than this.
        '    healthCheck: false',
        '    servers:',
        ...servers,
        `metrics: { bind: "127.0.0.1:${listen.metrics}" }`,
        `admin: { bind: "127.0.0.1:${listen.admin}" }`,
      ];
      writeFileSync(file, lines.join('\n') + '\n');
      const profile = profileFolder === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`];
      return [node, ...profile, cli, 'start', '-c', file];
    },
  };
}

const TUNED_GLOBAL = ['  tune.bufsize 65536', '  tune.pipesize 1048576'];

/**
 * HAProxy with one thread, because Berth has one thread, and with Berth's default timeouts. With `tuned` it has what
 * the HAProxy manual offers for bulk (sections 3.2 and 4.2): larger buffers, and splice() with large pipes.
 */
export function haproxy(label: string, binary: string, tuned: boolean): Contender {
  return {
    label,
    prepare(folder, listen, backendPorts) {
      const file = join(folder, `${label.replaceAll(/\W+/g, '-')}.cfg`);
      const lines = [
        'global',
        '  nbthread 1',
        // Splicing takes pipes.
        `  maxconn ${Math.floor(mostConnections() * (tuned ? 0.75 : 1))}`,
        '  log stdout format raw local0',
        ...(tuned ? TUNED_GLOBAL : []),
        'defaults',
        '  mode tcp',
        '  log global',
        '  option tcplog',
        ...(tuned ? ['  option splice-auto'] : []),
        '  timeout connect 5s',
        '  timeout client 10m',
        '  timeout server 10m',
        'frontend bench',
        `  bind 127.0.0.1:${listen.traffic}`,
        '  default_backend nodes',
        'backend nodes',
        '  balance roundrobin',
        '  stick-table type ip size 200k expire 30m',
        '  stick on src',
        ...backendPorts.map((port, index) => `  server s${index + 1} 127.0.0.1:${port}`),
      ];
      writeFileSync(file, lines.join('\n') + '\n');
      return [binary, '-db', '-f', file];
    },
  };
}

/** nginx's stream module with one process, sticky by a hash of the address, which is what it has for that. */
export function nginx(binary: string): Contender {
  return {
    label: 'nginx',
    prepare(folder, listen, backendPorts) {
      const file = join(folder, 'nginx.conf');
      const module = NGINX_STREAM_MODULES.find((path) => existsSync(path));
      const lines = [
        ...(module === undefined ? [] : [`load_module ${module};`]),
        'daemon off; master_process off;',
        `pid ${join(folder, 'nginx.pid')}; error_log stderr error;`,
        `events { worker_connections ${2 * mostConnections()}; }`,
        'stream {',
        "  log_format line '$remote_addr $upstream_addr $bytes_sent $bytes_received $session_time';",
        '  access_log /dev/null line;',
        '  upstream nodes {',
        '    hash $remote_addr consistent;',
        ...backendPorts.map((port) => `    server 127.0.0.1:${port};`),
        '  }',
        `  server { listen 127.0.0.1:${listen.traffic} backlog=4096; proxy_pass nodes; proxy_connect_timeout 5s; }`,
        '}',
      ];
      writeFileSync(file, lines.join('\n') + '\n');
      return [binary, '-c', file, '-e', 'stderr'];
    },
  };
}

/** No balancer: what nodes and load generator can do. */
export const DIRECT: Contender = { label: 'direct', prepare: () => undefined };

/** Where distributions put it, if it is not part of the program. */
const NGINX_STREAM_MODULES = [
  '/usr/lib/nginx/modules/ngx_stream_module.so',
  '/usr/lib64/nginx/modules/ngx_stream_module.so',
];

/** The command of a program, and what it says of its version; undefined where it is not installed. */
export function find(name: 'haproxy' | 'nginx'): { binary: string; version: string } | undefined {
  // /usr/sbin is not on every user's PATH.
  for (const binary of [name, `/usr/sbin/${name}`, `/usr/local/sbin/${name}`]) {
    const { status, stdout, stderr } = spawnSync(binary, ['-v'], { encoding: 'utf8' });
    if (status === 0) return { binary, version: /\d+\.\d\S*/.exec(stdout + stderr)?.[0] ?? 'of unknown version' };
  }
  return undefined;
}
