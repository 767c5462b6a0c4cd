import assert from 'node:assert/strict';
import { appendFileSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'yaml';
import { rules } from '../support/alerts-page.ts';
import { ADDRESS, Deployed, forThisMachine, NAME } from '../support/deployed.ts';
import { NO_DOCKER_HOST } from '../support/docker-host.ts';
import { differences, makeImage } from '../support/image.ts';
import { openWorkspace } from '../support/processes.ts';

const USER = 'alice';
const PASSWORD = 'of alice, with a space';
/** As root, make-secrets.sh has the containers run as this one. */
const RUN_AS = 10_001;

test('the cluster of deploy/, brought up as an operator does it', { skip: NO_DOCKER_HOST }, async (t) => {
  const workspace = openWorkspace();
  t.after(() => workspace.close());
  const deployed = new Deployed(workspace);
  const { host, dir } = deployed;
  await deployed.start();
  await deployed.makeSecrets([NAME, USER], `${PASSWORD}\n`);
  await workspace.run('sed', ['-i', `s/registry.example.com/${NAME}/`, join(dir, 'berth/balancer.yml')]);
  const files = [forThisMachine(dir)];
  const compose = (args: string[], input = ''): Promise<string> => deployed.compose(args, { files, input });
  workspace.onClose(async () => void (await compose(['down', '--timeout', '5'])));
  await compose(['up', '-d', '--build']);
  const berth = (await compose(['ps', '-q', 'berth'])).trim();
  const ask = (what: string): Promise<string> =>
    host.docker(['inspect', '--format', `{{${what}}}`, berth]).then((said) => said.trim());
  const redis = (...args: string[]): Promise<string> => compose(['exec', '-T', 'redis', 'redis-cli', ...args]);
  const inBerth = (args: string[], input = ''): Promise<string> => compose(['exec', '-T', 'berth', ...args], input);

  await t.test("Docker finds Berth healthy, by the image's own check", () =>
    soon(() => ask('.State.Health.Status'), 'healthy'),
  );

  const consistent = async (...more: string[]): Promise<void> => {
    const password = readFileSync(join(dir, 'secrets/berth/probe-password'), 'utf8');
    const user = ['--user', 'berth', '--password-stdin'];
    const doctor = ['berth', 'doctor', '--name', NAME, '--ca', '/run/secrets/ca.crt', ...user, ...more];
    assert.equal(await inBerth(doctor, password), 'OK 2 nodes consistent\n');
  };
  await t.test('the doctor finds nothing to complain about, --write or not', async () => {
    await consistent();
    await consistent('--write');
  });

  await t.test('a docker client that has the CA logs in, pushes and pulls', async () => {
    const [image, login] = [`${NAME}/library/redis:7`, ['login', '--username', USER, '--password-stdin', NAME]];
    await assert.rejects(host.docker(login, { input: PASSWORD }), /certificate signed by unknown authority/);
    await deployed.trust();
    await assert.rejects(host.docker(login, { input: 'wrong' }), /401 Unauthorized/);
    await host.docker(login, { input: PASSWORD });
    await deployed.makeSecrets([NAME, 'bob'], 'of bob');
    await host.docker(['login', '--username', 'bob', '--password-stdin', NAME], { input: 'of bob' });
    await host.docker(['tag', 'redis:7', image]);
    await host.docker(['push', image]);
    const pushed = await host.docker(['image', 'inspect', '--format', '{{.Id}}', image]);
    await host.docker(['rmi', image]);
    await host.docker(['pull', image]);
    assert.equal(await host.docker(['image', 'inspect', '--format', '{{.Id}}', image]), pushed);
  });

  await t.test('an image comes back byte for byte', async () => {
    const image = await makeImage(join(workspace.dir, 'image'), { layers: 3, layerBytes: 3 << 20 });
    const [pulled, at] = [join(workspace.dir, 'pulled'), `docker://${NAME}/some/image:1`];
    const copy = (side: string, ...ends: string[]): Promise<string> => {
      const env = { _CONTAINERS_ROOTLESS_UID: '1' };
      return host.run(
        'skopeo',
        ['copy', '--insecure-policy', '-q', `--${side}-creds`, `${USER}:${PASSWORD}`, ...ends],
        { env },
      );
    };
    await copy('dest', image.source, at);
    await copy('src', at, `dir:${pulled}`);
    assert.deepEqual(await differences(image, pulled), []);
  });

  await t.test('Berth sees the addresses of the clients, and one client has stayed with one node', async () => {
    const lines = (await compose(['logs', '--no-color', 'berth'])).split('\n').flatMap((line) => {
      const [, json] = /(\{.*"msg":"connection"\})/.exec(line) ?? [];
      return json === undefined ? [] : [JSON.parse(json) as { client: string; server: string }];
    });
    assert.deepEqual([...new Set(lines.map(({ client }) => client.replace(/:\d+$/, '')))], [ADDRESS]);
    assert.equal(new Set(lines.map(({ server }) => server)).size, 1);
  });

  await t.test('both nodes keep what they know of blobs in the one Redis, which wants its password', async () => {
    assert.match(await redis('dbsize'), /NOAUTH/);
    assert.ok(Number(await redis('--no-auth-warning', '-a', setting(dir, 'REDIS_PASSWORD'), 'dbsize')) > 0);
    const clients = await redis('--no-auth-warning', '-a', setting(dir, 'REDIS_PASSWORD'), 'client', 'list');
    const nodes = new Set([...clients.matchAll(/ addr=(?!127\.)([\d.]+):/g)].map(([, from]) => from));
    assert.equal(nodes.size, 2, clients);
  });

  await t.test('Prometheus scrapes Berth', async () => {
    assert.match(await host.run('curl', ['-s', '127.0.0.1:9180/metrics']), /^berth_server_up\{.*server="s1"\} 1$/m);
    const query = 'http://127.0.0.1:9090/api/v1/query?query=up%7Bjob%3D%22berth%22%7D';
    await soon(async () => {
      const { data } = JSON.parse(await host.run('curl', ['-s', query])) as {
        data: { result: { value: [number, string] }[] };
      };
      return data.result.map(({ value }) => value[1]).join();
    }, '1');
  });

  await t.test('Prometheus has the alert rules, and the healthy cluster fires none of them', async () => {
    const answer = await host.run('curl', ['-s', '127.0.0.1:9090/api/v1/rules']);
    const { data } = JSON.parse(answer) as { data: { groups: { rules: { name: string; state: string }[] }[] } };
    const found = data.groups.flatMap((group) => group.rules);
    assert.deepEqual(
      found.map(({ name }) => name),
      rules().map(({ alert }) => alert),
    );
    assert.deepEqual(
      found.filter(({ state }) => state === 'firing').map(({ name }) => name),
      [],
    );
  });

  await t.test('what Grafana is given stands where it looks, and it may write where it keeps what it has', async () => {
    const inGrafana = (...args: string[]): Promise<string> => compose(['exec', '-T', 'grafana', ...args]);
    for (const file of ['dashboards/berth.json', 'provisioning/datasources/prometheus.yml']) {
      const seen = await inGrafana('/bin/cat', `/etc/grafana/${file}`);
      assert.equal(seen, readFileSync(join(dir, 'grafana', file), 'utf8'));
    }
    const { services } = parse(await compose(['config'])) as {
      services: { grafana: { environment: Record<string, string> } };
    };
    const file = services.grafana.environment['GF_SECURITY_ADMIN_PASSWORD__FILE'] ?? '';
    assert.match(await inGrafana('/bin/cat', file), /^[0-9a-f]{48}\n$/);
    for (const folder of ['/var/lib/grafana', '/tmp']) await inGrafana('/bin/touch', `${folder}/written`);
  });

  await t.test('no container has a right of root, or can write to its own file system', async () => {
    for (const service of ['s1', 's2', 'redis', 'berth', 'prometheus', 'grafana']) {
      const id = (await compose(['ps', '-q', service])).trim();
      const pid = (await host.docker(['inspect', '--format', '{{.State.Pid}}', id])).trim();
      const status = await host.run('cat', [`/proc/${pid}/status`]);
      for (const line of [`Uid:\t${RUN_AS}\t${RUN_AS}`, 'CapBnd:\t0000000000000000', 'NoNewPrivs:\t1']) {
        assert.ok(status.includes(line), `${service}: ${line}\n${status}`);
      }
      const root = await host.run('sh', ['-c', `grep ' / ' /proc/${pid}/mounts`]);
      assert.match(root, / ro,/, service);
    }
  });

  await t.test('a node is taken out for work on it, and put back', async () => {
    await inBerth(['berth', 'maint', 'docker_registry/s1']);
    assert.match(await inBerth(['berth', 'status']), /s1 .*maint/);
    await inBerth(['berth', 'ready', 'docker_registry/s1']);
    assert.doesNotMatch(await inBerth(['berth', 'status']), /s1 .*maint/);
  });

  await t.test('berth reload sees a balancer.yml that an editor has put in place of the old one', async () => {
    assert.match(await inBerth(['berth', 'status']), /s1 .*up/);
    const file = join(dir, 'berth/balancer.yml');
    const changed = readFileSync(file, 'utf8').replace('s2: 127', 'second: 127');
    rmSync(file);
    writeFileSync(file, changed, { mode: 0o644 });
    await inBerth(['berth', 'reload']);
    assert.match(await inBerth(['berth', 'status']), /second .*up/);
  });

  await t.test('it ends by itself when it is stopped, and keeps its bindings', async () => {
    await compose(['stop', 'berth']);
    assert.equal(await ask('.State.ExitCode'), '0');
    const state = join(dir, 'data/berth/state');
    assert.match(readFileSync(state, 'utf8'), new RegExp(`"${ADDRESS}"`));
    assert.equal(statSync(state).uid, RUN_AS);
  });

  await t.test('nodes and Redis have addresses of their own, as on several hosts', async () => {
    await compose(['down', '--volumes']);
    const at = `S1=${ADDRESS}:5001\nS2=${ADDRESS}:5002\nREDIS=${ADDRESS}:6379\nREDIS_BIND=${ADDRESS}:6379\n`;
    appendFileSync(join(dir, '.env'), at);
    await workspace.run('sed', ['-i', `s/127.0.0.1:500/${ADDRESS}:500/`, join(dir, 'berth/balancer.yml')]);
    files.push('compose.hosts.yml');
    await compose(['up', '-d']);
    await soon(async () => /s1 .*up/.test(await inBerth(['berth', 'status']).catch(String)), true);
    await consistent('--write');
    assert.ok(Number(await redis('--no-auth-warning', '-a', setting(dir, 'REDIS_PASSWORD'), 'dbsize')) > 0);
  });

  await t.test('the storage is moved to a folder of its own, and a node is restarted as after a renewal', async () => {
    const storage = join(workspace.dir, 'mounted/v2');
    await workspace.run('mkdir', [join(workspace.dir, 'mounted')]);
    await workspace.run('install', ['-d', '-m', '700', '-o', String(RUN_AS), '-g', String(RUN_AS), storage]);
    await workspace.run('sed', ['-i', `s|^STORAGE=.*|STORAGE=${storage}|`, join(dir, '.env')]);
    await compose(['down', '--volumes']);
    await compose(['up', '-d']);
    await soon(async () => /s1 .*up/.test(await inBerth(['berth', 'status']).catch(String)), true);
    await compose(['restart', 's1']);
    await soon(
      () =>
        consistent('--write').then(
          () => true,
          () => false,
        ),
      true,
    );
    assert.ok(readdirSync(storage).length > 0, 'that is where it is');
  });

  await t.test('a node whose storage is not mounted does not start', async () => {
    await compose(['down', '--volumes']);
    assert.ok(readdirSync(join(dir, 'data/registry')).length > 0, 'what was pushed is still there');
    await workspace.run('sed', ['-i', `s|^STORAGE=.*|STORAGE=${dir}/not-mounted/v2|`, join(dir, '.env')]);
    await assert.rejects(compose(['up', '-d', 's1']), /not-mounted.*no such file or directory/);
  });
});

function setting(dir: string, key: string): string {
  return new RegExp(`^${key}=(.*)$`, 'm').exec(readFileSync(join(dir, '.env'), 'utf8'))?.[1] ?? '';
}

/** Asks again and again; a minute, and then it is what is wrong. */
async function soon<T>(ask: () => Promise<T>, wanted: T): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const said = await ask();
    if (said === wanted) return;
    if (Date.now() > deadline) assert.equal(said, wanted);
    await sleep(100);
  }
}
