import { spawn, type ChildProcess } from 'node:child_process';
import type { EventName } from '../events.ts';
import type { Log } from '../log.ts';

/**
 * Node has no datagram sockets of the unix family, so systemd's own command speaks for Berth. A shell that lives as
 * long as Berth starts the command for each line: if Berth itself forked, its event loop would stand still meanwhile.
 */
const SPEAKER = `trap '' TERM INT HUP; while IFS= read -r line; do systemd-notify "$line"; done`;

const STOPPING = 'STOPPING=1';

/** What systemd is told of an event (sd_notify(3)). */
const STATES: Partial<Record<EventName, string>> = {
  started: 'READY=1',
  reloading: 'RELOADING=1',
  reloaded: 'READY=1',
  reload_failed: 'READY=1',
  lame_duck: STOPPING,
  draining: STOPPING,
};

/** Beyond what a drain may take: the state is saved, the process ends. */
const END_MS = 10_000;

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Tells systemd, where it has started Berth, how Berth is: ready, reloading, stopping and for how long, `status` in
 * words whenever an event has changed it, and that the event loop turns, as often as the unit's WatchdogSec asks for.
 */
export function tellServiceManager(env: Environment, log: Log, status: () => string): void {
  if (!env['NOTIFY_SOCKET']) return;
  let speaker: ChildProcess | undefined;
  const say = (line: string): void => {
    speaker ??= speak(() => (speaker = undefined));
    speaker.stdin?.write(`${line}\n`);
  };
  let told = '';
  let isStarted = false;
  log.subscribe(({ event, line }) => {
    isStarted ||= event === 'started';
    const state = STATES[event];
    if (state !== undefined) say(state);
    if (state === STOPPING) say(patienceFor(line));
    const now = status();
    // Before the start all servers count as usable, because nobody has checked them.
    if (!isStarted || now === told) return;
    told = now;
    say(`STATUS=${now}`);
  });
  const everyMs = watchdogMs(env);
  // By a timer, and by nothing that runs beside the event loop: a loop that hangs says nothing.
  if (everyMs !== undefined) setInterval(() => say('WATCHDOG=1'), everyMs).unref();
}

/** TimeoutStopSec does not cut short what balancer.yml allows; where it is longer, it stays in force. */
function patienceFor(line: string): string {
  const { lameDuckMs = 0, drainMs = 0 } = JSON.parse(line) as Partial<Record<'lameDuckMs' | 'drainMs', number>>;
  return `EXTEND_TIMEOUT_USEC=${(lameDuckMs + drainMs + END_MS) * 1_000}`;
}

/** How often systemd is to hear of this process, half of what its patience allows; undefined where it does not ask. */
function watchdogMs({ WATCHDOG_USEC, WATCHDOG_PID }: Environment): number | undefined {
  if (WATCHDOG_PID !== undefined && Number(WATCHDOG_PID) !== process.pid) return undefined;
  const patienceMs = Number(WATCHDOG_USEC) / 1_000;
  return patienceMs > 0 ? Math.max(1, patienceMs / 2) : undefined;
}

/** It ends with this process, whose end closes its standard input. What the command complains of is in the journal. */
function speak(ended: () => void): ChildProcess {
  const speaker = spawn('/bin/sh', ['-c', SPEAKER], { stdio: ['pipe', 'ignore', 'inherit'] });
  speaker.once('error', ended).once('exit', ended);
  speaker.stdin.on('error', () => {});
  // It must not keep Berth alive.
  speaker.unref();
  return speaker;
}
