/** A balancer's side of ECMP: deploy/ha/announce.sh and bird.conf, with a real BIRD and a real router beside it. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { suite, test } from 'node:test';
import { noNamespaces } from '../support/able.ts';
import { start } from '../support/berth.ts';
import { connectNamespaces, openNamespace } from '../support/namespace.ts';
import { openWorkspace } from '../support/processes.ts';
import { QUICK_CHECKS, settings } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

const BIRD = resolve('deploy/ha/bird.conf');
const ANNOUNCE = resolve('deploy/ha/announce.sh');
/** As in that file. */
const [BALANCER, ROUTER, ADDRESS] = ['198.51.100.11', '198.51.100.1', '192.0.2.10'];
const READYZ = 'http://127.0.0.1:9180/readyz';

const ROUTER_CONF = `router id ${ROUTER};
protocol device { scan time 1; }
protocol bgp balancer {
  local ${ROUTER} as 65000;
  neighbor ${BALANCER} as 65001;
  ipv4 { import all; export none; };
}
`;
const NODE = `require('node:net').createServer((socket) => socket.on('error', () => {}))
  .listen(5000, '127.0.0.1', () => console.log('listening'))`;

suite('a balancer that announces its address', { skip: noNamespaces('mount', 'net'), timeout: 120_000 }, () => {
  test('its router has the route while Berth is ready, and loses it when Berth is not', async (t) => {
    const workspace = openWorkspace();
    t.after(() => workspace.close());
    const balancer = await openNamespace(workspace, { address: ADDRESS });
    const router = await openNamespace(workspace, { address: '10.98.2.1' });
    await connectNamespaces(workspace, [balancer, BALANCER], [router, ROUTER]);
    const at = (name: string): string => join(workspace.dir, name);
    const run = (namespace: typeof router, name: string, ...command: string[]) => {
      const [nsenter, ...inside] = namespace.through('net');
      return workspace.start({ name, command: nsenter, args: [...inside, ...command] });
    };
    writeFileSync(at('router.conf'), ROUTER_CONF);
    run(router, 'router', 'bird', '-f', '-c', at('router.conf'), '-s', at('router.ctl'));
    run(balancer, 'bird', 'bird', '-f', '-c', BIRD, '-s', at('bird.ctl'));
    const node = run(balancer, 'node', process.execPath, '-e', NODE);
    await node.waitFor('listens', () => node.log().includes('listening'));
    const announce = run(balancer, 'announce', ANNOUNCE, READYZ, at('bird.ctl'));

    const announced = async (): Promise<boolean> => {
      const routes = await workspace.run('birdc', ['-s', at('router.ctl'), 'show', 'route', 'all']).catch(() => '');
      return routes.includes(`${ADDRESS}/32`) && routes.includes(`BGP.next_hop: ${BALANCER}`);
    };
    const config = settings(['127.0.0.1:5000'], QUICK_CHECKS, { metrics: { bind: '127.0.0.1:9180' } });
    const through = balancer.through('net');
    const berth = await start(t, { ...config, timeouts: { lameDuck: '20s' } }, { through });
    await eventually('the route', announced);

    await node.kill();
    await berth.change('server down', 's1');
    await eventually('the route to go, with the only node', async () => !(await announced()));
    run(balancer, 'node', process.execPath, '-e', NODE);
    await berth.change('server up', 's1');
    await eventually('the route again', announced);

    berth.signal('SIGTERM');
    await eventually('the route to go, while Berth is a lame duck', async () => !(await announced()));
    assert.equal(
      berth.lines.some(({ msg }) => msg === 'stopped'),
      false,
    );
    await announce.stop();
  });
});
