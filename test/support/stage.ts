/** One backend behind HAProxy or behind Berth, set and watched in the same words. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { start } from './berth.ts';
import { folderOf } from './files.ts';
import { startHaproxy } from './haproxy.ts';
import { serverStatus, setState, status } from './operator.ts';
import { serve, type Manner, type TestServer } from './servers.ts';
import { QUICK_CHECKS, settings } from './settings.ts';
import { eventually, within } from './waiting.ts';

export type Setting = {
  readonly weights?: readonly number[];
  readonly backup?: string;
  /** The most connections of each server. */
  readonly most?: number;
  /** Rare ones leave what a test sees to the connections. */
  readonly checks?: 'quick' | 'rare';
  readonly expire?: string;
  readonly manner?: Manner;
};

/** A balancer with its servers s1, s2, … */
export type Stage = {
  readonly name: 'Berth' | 'HAProxy';
  readonly port: number;
  readonly servers: readonly TestServer[];
  set(server: string, state: 'ready' | 'drain' | 'maint'): Promise<void>;
  until(server: string, state: 'up' | 'down'): Promise<void>;
  /** How many clients are bound. */
  entries(): Promise<number>;
  /** How many connections wait, for one server or for any. */
  waiting(): Promise<number>;
};

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `s${i + 1}`);

export async function stageBerth(t: TestContext, count: number, setting: Setting): Promise<Stage> {
  const { weights = [], backup, most = 0, checks = 'quick', expire = '30m', manner } = setting;
  const servers = await serve(t, names(count), manner);
  const list = servers.map(({ name, address }, i) => ({
    address,
    weight: weights[i] ?? 1,
    backup: name === backup,
    maxConnections: most,
  }));
  const check = checks === 'quick' ? QUICK_CHECKS : { healthCheck: { interval: '1h', fall: 1_000 } };
  const berth = await start(t, settings(list, { stickTable: { expire }, ...check }));
  return {
    name: 'Berth',
    port: await berth.port(),
    servers,
    set: async (server, state) => void (await setState(berth, server, state)),
    until: async (server, state) => {
      await eventually(`${server} ${state}`, async () => {
        return (await serverStatus(berth, server))?.up === (state === 'up');
      });
    },
    entries: async () => (await berth.metric('berth_stick_table_entries{backend="b"}')) ?? NaN,
    waiting: async () => {
      const [backend] = (await status(berth)).backends;
      return backend!.servers.reduce((sum, { queue }) => sum + queue, backend!.queue);
    },
  };
}

/** `say` asks HAProxy's own socket. */
export async function stageHaproxy(
  t: TestContext,
  count: number,
  setting: Setting,
): Promise<Stage & { say(command: string): Promise<string> }> {
  const { weights = [], backup, most = 0, checks = 'quick', expire = '30m', manner } = setting;
  const servers = await serve(t, names(count), manner);
  const control = join(folderOf(t), 'control.sock');
  const check = checks === 'quick' ? 'check inter 50 rise 1 fall 1' : '';
  const list = servers.map(
    ({ name, address }, i) =>
      `  server ${name} ${address} weight ${weights[i] ?? 1} ${check} maxconn ${most} ${name === backup ? 'backup' : ''}\n`,
  );
  const [, port = 0] = await startHaproxy(t, [
    // Whether HAProxy listens is tried here: in `f` that would be somebody's first connection.
    'listen trial\n  bind 127.0.0.1:PORT',
    'frontend f\n  bind 127.0.0.1:PORT\n  default_backend b',
    `backend b\n  balance roundrobin\n  option redispatch 1\n  stick-table type ip size 200k expire ${expire}\n  stick on src\n${list.join('')}`,
    `global\n  stats socket ${control} level admin`,
  ]);
  const say = async (command: string): Promise<string> => {
    const socket = connect(control);
    let answer = '';
    socket.on('data', (data) => (answer += data.toString())).end(`${command}\n`);
    await within(once(socket, 'close'), command);
    return answer;
  };
  return {
    say,
    name: 'HAProxy',
    port,
    servers,
    set: async (server, state) => void (await say(`set server b/${server} state ${state}`)),
    until: async (server, state) => {
      await eventually(`${server} ${state}`, async () => {
        const line = (await say('show stat')).split('\n').find((one) => one.startsWith(`b,${server},`));
        return line?.split(',')[17] === state.toUpperCase();
      });
    },
    entries: async () => Number(/used:(\d+)/.exec(await say('show table b'))?.[1]),
    waiting: async () => {
      const lines = (await say('show stat')).split('\n').filter((line) => line.startsWith('b,'));
      return lines.reduce((sum, line) => sum + Number(line.split(',')[2]), 0);
    },
  };
}
