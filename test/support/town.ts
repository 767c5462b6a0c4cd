/**
 * A program to run in a network of its own: servers that say their names, and a crowd of clients. `servers N` opens s1
 * to sN and tells their addresses, `come PORT SIZE` has the crowd come, `calls` tells how often it has come, `leave`
 * sends it home and tells how it went. A JSON line answers each line of standard input.
 */
import { createInterface } from 'node:readline';
import { Crowd } from './people.ts';
import { echoes, TestServer } from './servers.ts';

let crowd: Crowd | undefined;

async function obey(order: string, [first = '0', second = '0']: readonly string[]): Promise<unknown> {
  switch (order) {
    case 'servers': {
      const servers = Array.from({ length: Number(first) }, (_, i) => new TestServer(`s${i + 1}`, echoes));
      for (const server of servers) await server.open();
      return servers.map(({ address }) => address);
    }
    case 'come':
      crowd = new Crowd(Number(first), Number(second));
      return {};
    case 'calls':
      return crowd?.calls;
    case 'leave':
      await crowd?.leave();
      return { calls: crowd?.calls, failures: crowd?.failures, clients: crowd?.served.size, split: crowd?.split };
    default:
      throw new Error(`unknown order ${order}`);
  }
}

for await (const line of createInterface(process.stdin)) {
  const [order = '', ...words] = line.split(' ');
  console.log(JSON.stringify(await obey(order, words)));
}
process.exit();
