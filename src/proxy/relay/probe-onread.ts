import { createServer, type AddressInfo, type Socket } from 'node:net';
import { onreadSockets, type Reader } from './sockets.ts';

const PROBE_MS = 2_000;

/**
 * Whether this Node can do what `onreadSockets` needs: a few bytes go there and back over loopback, and are compared.
 */
export async function probeOnread(): Promise<boolean> {
  const sent = Buffer.from('berth probes onread');
  const opened: Socket[] = [];
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
  try {
    return await new Promise<boolean>((resolve, reject) => {
      setTimeout(resolve, PROBE_MS, false).unref();
      server.on('error', reject);
      // What a listener throws ends the process, unless the listener catches it.
      const trying = <A extends readonly unknown[]>(act: (...args: A) => void): ((...args: A) => void) => {
        return (...args) => {
          try {
            act(...args);
          } catch (error) {
            reject(error);
          }
        };
      };
      const echoing = trying((accepted: Socket) => {
        opened.push(accepted);
        const landing = Buffer.alloc(64);
        const { socket: echo } = onreadSockets.adopt(
          accepted,
          readerInto(landing, (count) => writer.write(landing.subarray(0, count))),
        );
        const writer = onreadSockets.writer(echo);
        opened.push(echo.on('error', reject));
        echo.on('end', () => echo.end());
      });
      const asking = trying(() => {
        const [former, landing] = [Buffer.alloc(64), Buffer.alloc(64)];
        let got = '';
        const { port } = server.address() as AddressInfo;
        const client = onreadSockets.connect(
          { host: '127.0.0.1', port },
          readerInto(former, (count) => (got += landing.toString('latin1', 0, count))),
        );
        opened.push(client.socket.on('error', reject));
        client.socket.once('connect', () => client.aim(landing));
        client.socket.on('end', () => resolve(got === sent.toString('latin1'))).end(sent);
      });
      server.on('connection', echoing).listen(0, '127.0.0.1', asking);
    });
  } catch {
    return false;
  } finally {
    for (const socket of opened) socket.destroy();
    server.close();
  }
}

function readerInto(buffer: Buffer, landed: (count: number) => unknown): Reader {
  const received = (): boolean => true;
  return { buffer: () => buffer, received, landed: (count) => landed(count) !== false, finished() {} };
}
