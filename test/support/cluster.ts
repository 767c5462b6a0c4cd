/**
 * A real cluster of Docker registry nodes on loopback: certificates, users, Redis, nodes that can be stopped, killed and frozen,
 * and a client (skopeo) that pushes and pulls images made here. Needs the Debian packages docker-registry, skopeo, redis-server,
 * apache2-utils and openssl (`test/setup.sh` installs them).
 */
import { createHash, randomBytes, randomFillSync } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { copyFile, mkdir, rename, writeFile } from 'node:fs/promises';
import { connect, createServer, isIP, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { accepts, openWorkspace, type Program, type Workspace } from './processes.ts';

const DAY_MS = 86_400_000;

export interface Certificate {
  certificate: string;
  key: string;
}

/** What is wrong with a certificate; every kind but 'untrusted' is signed by the cluster's CA. */
export type CertificateKind =
  'good' | 'expired' | 'expires-soon' | 'not-yet-valid' | 'wrong-name' | 'no-san' | 'untrusted';

/** One node's settings; null is 'none of it'. Nodes of one cluster agree in all but the port unless a test wants otherwise. */
export interface NodeSettings {
  /** null: not set, so that the registry makes up its own. */
  secret: string | null;
  storage: string;
  /** A password file, as `cluster.makeHtpasswd` returns; null: anyone may push. */
  htpasswd: string | null;
  /** null: plain HTTP. */
  certificate: CertificateKind | Certificate | null;
  /** host:port. */
  redis: string | null;
  /** The loopback address it listens on. */
  address: string;
  /** Laid over the registry's own configuration, section by section: `{ http: { host: 'https://elsewhere' } }`. */
  override: Record<string, Record<string, unknown>>;
}

/** One line of a node's access log. */
export interface AccessLine {
  remote: string;
  method: string;
  path: string;
  status: number;
  agent: string;
}

export interface Image {
  /** As skopeo names it. */
  source: string;
  manifest: string;
  config: string;
  layers: string[];
  /** Of all layers and the configuration, as they travel. */
  bytes: number;
}

export interface TransferOptions {
  user?: string;
  password?: string;
  /** A directory that holds ca.crt; default: the cluster's CA. */
  certDir?: string;
  /** false: plain HTTP, or a certificate that is not verified. */
  verifyTls?: boolean;
  timeoutMs?: number;
}

/** host:port, or a port of 127.0.0.1. */
export type Target = string | number;

export interface ClusterOptions {
  /** How many, or the settings in which each differs from its fellows. Default: 2. */
  nodes?: number | Partial<NodeSettings>[];
  /** false: no Redis. */
  redis?: boolean;
  user?: string;
  password?: string;
  /** What the certificates are for: host names and addresses. The first is the common name. */
  names?: string[];
  /** Default: one of its own. Closing the cluster closes it. */
  workspace?: Workspace;
  /** Told what has just been brought up. */
  progress?: (step: string) => void;
}

/** Brings up the CA, the user, Redis and the nodes; leaves nothing behind when one of them does not come up. */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const cluster = new Cluster(options);
  try {
    await cluster.start();
  } catch (error) {
    await cluster.close();
    throw error;
  }
  return cluster;
}

export class Cluster {
  readonly workspace: Workspace;
  readonly user: string;
  readonly password: string;
  readonly names: string[];
  readonly nodes: RegistryNode[] = [];
  redis: Program | undefined;
  /** What a node gets where its own settings say nothing else. */
  defaults: NodeSettings;
  #options: ClusterOptions;
  #certificates = new Map<CertificateKind, Promise<Certificate>>();

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.workspace = options.workspace ?? openWorkspace();
    this.user = options.user ?? 'demo';
    this.password = options.password ?? randomBytes(6).toString('hex');
    this.names = options.names ?? ['registry.test', 'localhost', '127.0.0.1'];
    this.defaults = {
      secret: randomBytes(16).toString('hex'),
      storage: join(this.workspace.dir, 'storage'),
      htpasswd: null,
      certificate: 'good',
      redis: null,
      address: '127.0.0.1',
      override: {},
    };
  }

  /** The CA's certificate, which clients must trust. */
  get ca(): string {
    return join(this.certDir, 'ca.crt');
  }

  /** Holds the CA's certificate and nothing else: skopeo takes a key beside it for a client certificate's. */
  get certDir(): string {
    return join(this.workspace.dir, 'trusted');
  }

  get #authority(): string {
    return join(this.workspace.dir, 'authority');
  }

  async start(): Promise<void> {
    const tell = this.#options.progress ?? (() => {});
    await makeAuthority(this.workspace, this.#authority);
    await mkdir(this.certDir);
    await copyFile(join(this.#authority, 'ca.crt'), this.ca);
    await this.certificate('good');
    tell(`CA and node certificate for ${this.names.join(', ')}`);
    this.defaults.htpasswd = await this.makeHtpasswd(this.user, this.password);
    tell(`user ${this.user}, password hashed with bcrypt`);
    if (this.#options.redis !== false) {
      const port = await this.workspace.freePort();
      this.defaults.redis = `127.0.0.1:${port}`;
      this.redis = await startRedis(this.workspace, port);
      tell(`Redis on ${this.defaults.redis}`);
    }
    const { nodes = 2 } = this.#options;
    for (const settings of typeof nodes === 'number' ? Array.from({ length: nodes }, () => ({})) : nodes) {
      const node = await this.addNode(settings);
      tell(`registry node ${node.name} on ${node.endpoint}`);
    }
  }

  /** Starts one more node; nodes are called s1, s2, … */
  async addNode(settings: Partial<NodeSettings> = {}): Promise<RegistryNode> {
    const whole = { ...this.defaults, ...settings };
    const node = new RegistryNode(
      this,
      `s${this.nodes.length + 1}`,
      await this.workspace.freePort(whole.address),
      whole,
    );
    this.nodes.push(node);
    await node.start();
    return node;
  }

  /** Made once a kind, so that nodes of one kind share it. */
  certificate(kind: CertificateKind): Promise<Certificate> {
    const made = this.#certificates.get(kind) ?? makeCertificate(this.workspace, this.#authority, kind, this.names);
    this.#certificates.set(kind, made);
    return made;
  }

  /** The path of a password file with one user, hashed by bcrypt, which is all the registry understands. */
  async makeHtpasswd(user: string, password: string): Promise<string> {
    const file = join(this.workspace.dir, `htpasswd-${randomBytes(4).toString('hex')}`);
    const line = await this.workspace.run('htpasswd', ['-Bin', user], { input: password });
    await writeFile(file, `${line.trim()}\n`);
    return file;
  }

  makeImage(options: { layers: number; layerBytes: number }): Promise<Image> {
    return makeImage(join(this.workspace.dir, `image-${randomBytes(4).toString('hex')}`), options);
  }

  /** `repository` with or without a tag. Throws ProgramError, with skopeo's words, when the push fails. */
  async push(
    image: Image,
    repository: string,
    to: Target,
    options: TransferOptions = {},
  ): Promise<{ seconds: number }> {
    return this.#copy('dest', options, [image.source, `docker://${hostPort(to)}/${repository}`]);
  }

  /** Pulls into a new directory, in which every blob is a file. Throws ProgramError, with skopeo's words, when it fails. */
  async pull(
    repository: string,
    from: Target,
    options: TransferOptions = {},
  ): Promise<{ seconds: number; dir: string }> {
    const dir = join(this.workspace.dir, `pulled-${randomBytes(4).toString('hex')}`);
    return { dir, ...(await this.#copy('src', options, [`docker://${hostPort(from)}/${repository}`, `dir:${dir}`])) };
  }

  /** A port that leads to `port` as a client of the address `localAddress` would come; lives as long as the cluster. */
  async connectFrom(localAddress: string, port: number, host = '127.0.0.1'): Promise<Forwarder> {
    const forwarder = await connectFrom(localAddress, port, host);
    this.workspace.onClose(() => forwarder.close());
    return forwarder;
  }

  /** Ends every process in order, waits for it, and removes the directory. */
  close(): Promise<void> {
    return this.workspace.close();
  }

  async #copy(side: 'src' | 'dest', options: TransferOptions, ends: string[]): Promise<{ seconds: number }> {
    const { user = this.user, password = this.password, certDir = this.certDir, verifyTls = true } = options;
    const flags = [
      `--${side}-cert-dir`,
      certDir,
      `--${side}-creds`,
      `${user}:${password}`,
      `--${side}-tls-verify=${verifyTls}`,
    ];
    const started = performance.now();
    // For root, skopeo keeps what it knows about blobs outside the home directory, for good; for any other user, in it.
    const env = { _CONTAINERS_ROOTLESS_UID: '1' };
    const timeoutMs = options.timeoutMs ?? 120_000;
    await this.workspace.run('skopeo', ['copy', '--insecure-policy', '-q', ...flags, ...ends], { env, timeoutMs });
    return { seconds: (performance.now() - started) / 1000 };
  }
}

/** One docker-registry; keeps its port over stops and starts. */
export class RegistryNode {
  readonly name: string;
  readonly port: number;
  settings: NodeSettings;
  #cluster: Cluster;
  #program: Program | undefined;

  constructor(cluster: Cluster, name: string, port: number, settings: NodeSettings) {
    this.#cluster = cluster;
    this.name = name;
    this.port = port;
    this.settings = settings;
  }

  get endpoint(): string {
    return `${this.settings.address}:${this.port}`;
  }

  get pid(): number {
    return this.#program?.pid ?? -1;
  }

  /** Starts it, with changed settings if any, and returns when it accepts connections. */
  async start(changes: Partial<Omit<NodeSettings, 'address'>> = {}): Promise<void> {
    if (this.#program?.running) throw new Error(`${this.name} is already running`);
    this.settings = { ...this.settings, ...changes };
    const { workspace } = this.#cluster;
    const { certificate, storage, address } = this.settings;
    const tls = typeof certificate === 'string' ? await this.#cluster.certificate(certificate) : certificate;
    const file = join(workspace.dir, `${this.name}.yml`);
    await mkdir(storage, { recursive: true });
    await writeFile(file, JSON.stringify(registryConfig(this.endpoint, this.settings, tls), null, 2)); // JSON is YAML
    const env = { OTEL_TRACES_EXPORTER: 'none' };
    this.#program = workspace.start({ name: this.name, command: 'docker-registry', args: ['serve', file], env });
    await this.#program.waitFor(`accepts no connection on ${this.endpoint}`, () => accepts(this.port, address));
  }

  /** SIGTERM, then wait. */
  async stop(): Promise<void> {
    await this.#program?.stop();
  }

  /** SIGKILL, then wait. */
  async kill(): Promise<void> {
    await this.#program?.kill();
  }

  /** SIGSTOP: connections are still accepted by the kernel, and nothing answers. */
  freeze(): void {
    this.#program?.signal('SIGSTOP');
  }

  thaw(): void {
    this.#program?.signal('SIGCONT');
  }

  /** Of all its runs. */
  log(): string {
    return this.#program?.log() ?? '';
  }

  /** Every request it has answered, health checks included (their agent tells them from a client's). */
  requests(): AccessLine[] {
    const line = /^(\S+) - \S+ \[[^\]]*\] "(\S+) (\S+) [^"]*" (\d+) \d+ "[^"]*" "([^"]*)"$/gm;
    return [...this.log().matchAll(line)].map(([, remote = '', method = '', path = '', status, agent = '']) => {
      return { remote, method, path, status: Number(status), agent };
    });
  }
}

function registryConfig(endpoint: string, settings: NodeSettings, tls: Certificate | null): Record<string, unknown> {
  const { secret, storage, htpasswd, redis, override } = settings;
  const timeouts = { dialtimeout: '100ms', readtimeout: '100ms', writetimeout: '100ms' };
  const sections: Record<string, Record<string, unknown>> = {
    log: { level: 'info', formatter: 'json' },
    storage: {
      filesystem: { rootdirectory: storage },
      delete: { enabled: true },
      ...(redis !== null && { cache: { blobdescriptor: 'redis' } }),
    },
    http: { addr: endpoint, ...(secret !== null && { secret }), ...(tls && { tls }) },
    ...(htpasswd !== null && { auth: { htpasswd: { realm: 'Registry Realm', path: htpasswd } } }),
    ...(redis !== null && { redis: { addr: redis, db: 0, ...timeouts, pool: { maxidle: 16, maxactive: 64 } } }),
    health: { storagedriver: { enabled: true, interval: '10s', threshold: 3 } },
  };
  for (const [name, laid] of Object.entries(override)) sections[name] = { ...sections[name], ...laid };
  return { version: '0.1', ...sections };
}

async function startRedis(workspace: Workspace, port: number): Promise<Program> {
  const args = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--save',
    '',
    '--appendonly',
    'no',
    '--dir',
    workspace.dir,
  ];
  const redis = workspace.start({ name: 'redis', command: 'redis-server', args });
  await redis.waitFor(`accepts no connection on port ${port}`, () => accepts(port));
  return redis;
}

/** A CA of its own in `dir`: ca.crt and ca.key. The configuration file keeps the machine's own openssl.cnf out of it. */
async function makeAuthority(workspace: Workspace, dir: string): Promise<void> {
  const config = join(dir, 'ca.cnf');
  await mkdir(dir, { recursive: true });
  const extensions =
    'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash';
  const name = `Berth test CA ${randomBytes(4).toString('hex')}`;
  await writeFile(
    config,
    `[req]\ndistinguished_name=dn\nx509_extensions=ext\nprompt=no\n[dn]\nCN=${name}\n[ext]\n${extensions}\n`,
  );
  const files = ['-keyout', join(dir, 'ca.key'), '-out', join(dir, 'ca.crt')];
  await workspace.run('openssl', ['req', '-x509', ...NEW_KEY, '-days', '3650', '-config', config, ...files]);
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-sha256'];

/** From and until, in days from now. */
const VALIDITY: Partial<Record<CertificateKind, [number, number]>> = {
  expired: [-30, -1],
  'expires-soon': [-30, 7],
  'not-yet-valid': [1, 365],
};

async function makeCertificate(
  workspace: Workspace,
  caDir: string,
  kind: CertificateKind,
  names: string[],
): Promise<Certificate> {
  const dir = join(workspace.dir, `certificate-${kind}`);
  await mkdir(dir);
  const signer = kind === 'untrusted' ? join(dir, 'other-ca') : caDir;
  if (kind === 'untrusted') await makeAuthority(workspace, signer);
  const wanted = kind === 'wrong-name' ? ['other.test'] : names;
  const san = wanted.map((name) => `${isIP(name) === 0 ? 'DNS' : 'IP'}:${name}`).join(',');
  const config = join(dir, 'openssl.cnf');
  const at = (name: string) => join(dir, name);
  await writeFile(at('index.txt'), '');
  await writeFile(
    config,
    `[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN=${wanted[0]}\n[ca]\ndefault_ca=d\n` +
      `[d]\ndatabase=${at('index.txt')}\nnew_certs_dir=${dir}\ndefault_md=sha256\npolicy=p\nrand_serial=yes\nx509_extensions=ext\n` +
      `[p]\ncommonName=supplied\n[ext]\nbasicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\n` +
      `extendedKeyUsage=serverAuth\n${kind === 'no-san' ? '' : `subjectAltName=${san}\n`}`,
  );
  await workspace.run('openssl', [
    'req',
    '-new',
    ...NEW_KEY,
    '-config',
    config,
    '-keyout',
    at('key.pem'),
    '-out',
    at('csr.pem'),
  ]);
  const [from, until] = VALIDITY[kind] ?? [-1, 365];
  // `openssl ca` and not `openssl x509`: before OpenSSL 3.4 nothing else sets dates in the past.
  const dates = ['-startdate', openSslDate(from), '-enddate', openSslDate(until)];
  const signing = ['-cert', join(signer, 'ca.crt'), '-keyfile', join(signer, 'ca.key'), '-in', at('csr.pem'), ...dates];
  await workspace.run('openssl', ['ca', '-batch', '-notext', '-config', config, ...signing, '-out', at('crt.pem')]);
  return { certificate: at('crt.pem'), key: at('key.pem') };
}

/** YYYYMMDDHHMMSSZ. */
function openSslDate(daysFromNow: number): string {
  return new Date(Date.now() + daysFromNow * DAY_MS).toISOString().replace(/\.\d+|[-:T]/g, '');
}

/**
 * An OCI image in `dir`, made without a network or a daemon: layers of random bytes, which no compression makes smaller and
 * no registry has seen before. Memory stays flat however large a layer is.
 */
export async function makeImage(
  dir: string,
  { layers, layerBytes }: { layers: number; layerBytes: number },
): Promise<Image> {
  const blobs = join(dir, 'blobs', 'sha256');
  await mkdir(blobs, { recursive: true });
  const made: { digest: string; diffId: string; size: number }[] = [];
  for (let index = 0; index < layers; index++) made.push(await makeLayer(blobs, `data/layer-${index}`, layerBytes));
  const put = async (mediaType: string, value: unknown) => {
    const text = JSON.stringify(value);
    const digest = createHash('sha256').update(text).digest('hex');
    await writeFile(join(blobs, digest), text);
    return { mediaType, digest: `sha256:${digest}`, size: text.length };
  };
  const config = await put('application/vnd.oci.image.config.v1+json', {
    created: new Date(0).toISOString(),
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: made.map((layer) => layer.diffId) },
  });
  const mediaType = 'application/vnd.oci.image.layer.v1.tar+gzip';
  const manifestType = 'application/vnd.oci.image.manifest.v1+json';
  const descriptors = made.map(({ digest, size }) => ({ mediaType, digest, size }));
  const manifest = await put(manifestType, { schemaVersion: 2, mediaType: manifestType, config, layers: descriptors });
  const annotations = { 'org.opencontainers.image.ref.name': 'latest' };
  await writeFile(
    join(dir, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
  );
  await writeFile(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const bytes = made.reduce((sum, layer) => sum + layer.size, config.size);
  const digests = { manifest: manifest.digest, config: config.digest, layers: made.map((layer) => layer.digest) };
  return { source: `oci:${dir}:latest`, ...digests, bytes };
}

async function makeLayer(
  blobs: string,
  name: string,
  bytes: number,
): Promise<{ digest: string; diffId: string; size: number }> {
  const unfinished = join(blobs, 'unfinished');
  const diff = createHash('sha256');
  const blob = createHash('sha256');
  let size = 0;
  const tar = async function* (): AsyncGenerator<Buffer> {
    for (const block of tarWithRandomFile(name, bytes)) {
      diff.update(block);
      yield block;
    }
  };
  const measure = async function* (source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const block of source) {
      blob.update(block);
      size += block.length;
      yield block;
    }
  };
  // Level 0 stores: clients expect gzip, and random bytes would only cost time to compress.
  await pipeline(tar, createGzip({ level: 0 }), measure, createWriteStream(unfinished));
  const digest = blob.digest('hex');
  await rename(unfinished, join(blobs, digest));
  return { digest: `sha256:${digest}`, diffId: `sha256:${diff.digest('hex')}`, size };
}

/** POSIX ustar: a header block, the bytes padded to whole blocks of 512, two empty blocks. */
function* tarWithRandomFile(name: string, bytes: number): Generator<Buffer> {
  const header = Buffer.alloc(512);
  const octal = (value: number, length: number) => value.toString(8).padStart(length, '0');
  header.write(name, 0);
  header.write(`${octal(0o644, 7)}\0${octal(0, 7)}\0${octal(0, 7)}\0${octal(bytes, 11)}\0${octal(0, 11)}\0`, 100);
  header.write(`        0`, 148); // the checksum counts as spaces while it is computed; 0 is 'a file'
  header.write('ustar\u000000', 257);
  header.write(
    `${octal(
      header.reduce((sum, byte) => sum + byte, 0),
      6,
    )}\0 `,
    148,
  );
  yield header;
  for (let left = bytes; left > 0; left -= 2 ** 20) yield randomFillSync(Buffer.allocUnsafe(Math.min(left, 2 ** 20)));
  yield Buffer.alloc(((512 - (bytes % 512)) % 512) + 1024);
}

/** What of `image` is not, byte for byte, in the directory a pull made; empty when the two are identical. */
export async function differences(image: Image, pulledDir: string): Promise<string[]> {
  const wanted = [image.config, ...image.layers].map((digest) => ({ digest, file: digest.replace('sha256:', '') }));
  const found: string[] = [];
  for (const { digest, file } of [...wanted, { digest: image.manifest, file: 'manifest.json' }]) {
    const hash = createHash('sha256');
    try {
      await pipeline(createReadStream(join(pulledDir, file)), hash);
      const got = `sha256:${hash.digest('hex')}`;
      if (got !== digest) found.push(`${file} is ${got}, pushed was ${digest}`);
    } catch (error) {
      found.push(`${file}: ${(error as Error).message}`);
    }
  }
  return found;
}

export interface Forwarder {
  /** On 127.0.0.1. */
  port: number;
  close(): Promise<void>;
}

/**
 * Accepts on a port of 127.0.0.1 and goes on to `host:port` from `localAddress`: a client that cannot choose its own address,
 * such as skopeo, then comes from any address of 127.0.0.0/8. Passes half-closes on, and resets as resets.
 */
export async function connectFrom(localAddress: string, port: number, host = '127.0.0.1'): Promise<Forwarder> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const target = connect({ port, host, localAddress, allowHalfOpen: true, noDelay: true });
    for (const [one, other] of [[client, target] as const, [target, client] as const]) {
      open.add(one);
      one.pipe(other);
      one.once('error', () => other.resetAndDestroy());
      one.once('close', () => open.delete(one));
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const close = async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of open) socket.destroy();
    await closed;
  };
  return { port: (server.address() as AddressInfo).port, close };
}

function hostPort(target: Target): string {
  return typeof target === 'number' ? `127.0.0.1:${target}` : target;
}
