import { constants, fstatSync, openSync, write } from 'node:fs';
import { Socket } from 'node:net';
import { isatty, WriteStream } from 'node:tty';
import type { Sink } from './outlet.ts';

export const STDOUT = 1;

/**
 * Standard output, written without ever waiting in the event loop, and, if its reader can get stuck, in no thread of
 * libuv either: the end of a process waits for those. `process.stdout` waits, so nobody may touch it beside this.
 */
export function standardOutput(): Sink {
  const kind = fstatSync(STDOUT);
  if (kind.isFIFO() || kind.isSocket()) return toStream(new Socket({ fd: ownPipe(), readable: false, writable: true }));
  if (isatty(STDOUT)) return toStream(terminal());
  return toFile(STDOUT);
}

/**
 * The pipe, opened anew: not to wait is a property of an open file, and others who write to the pipe may share ours.
 * What cannot be opened anew (a socket; the pipe of another user) is used as it is, and set back by Node at the end.
 */
function ownPipe(): number {
  try {
    return openSync('/proc/self/fd/1', constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return STDOUT;
  }
}

/** libuv opens a terminal anew, and Node then has it wait. */
function terminal(): WriteStream {
  const stream = new WriteStream(STDOUT);
  const { _handle } = stream as unknown as { _handle?: { setBlocking?: (blocking: boolean) => void } };
  _handle?.setBlocking?.(false);
  return stream;
}

function toStream(stream: Socket): Sink {
  // The callback of a write tells it too.
  stream.on('error', () => {});
  return (text, done) => void stream.write(text, done);
}

/** A file, or a device such as /dev/null. What follows a line that was torn by a full disk begins a line of its own. */
function toFile(fd: number): Sink {
  let torn = false;
  return (text, done) => {
    const bytes = Buffer.from(torn ? `\n${text}` : text);
    const from = (start: number): void =>
      write(fd, bytes, start, bytes.length - start, null, (error, count) => {
        if (!error && start + count < bytes.length) return from(start + count);
        torn = error !== null && (torn || start > 0);
        done(error);
      });
    from(0);
  };
}
