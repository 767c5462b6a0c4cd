/**
 * A real cluster of Docker registry nodes on loopback: certificates, users, Redis, nodes that can be stopped, killed
 * and frozen, and a client (skopeo) that pushes and pulls images made here. Needs the Debian packages docker-registry,
 * skopeo, redis-server, apache2-utils and openssl (`test/setup.sh` installs them).
 */
import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeAuthority, makeCertificate, type Certificate, type CertificateKind } from './certificates.ts';
import { connectFrom, type Forwarder } from './forwarder.ts';
import { makeImage, type Image } from './image.ts';
import { RegistryNode, type NodeSettings } from './node.ts';
import { accepts, openWorkspace, type Workspace } from './processes.ts';
import type { Program } from './program.ts';

export interface TransferOptions {
  user?: string;
  password?: string;
  /** A directory that holds ca.crt; default: the cluster's CA. */
  certDir?: string;
  /** false: plain HTTP, or a certificate that is not verified. */
  verifyTls?: boolean;
  timeoutMs?: number;
  /** Run skopeo through another program, such as `['nsenter', …]`. */
  through?: readonly string[];
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
      through: [],
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

  /**
   * Pulls into a new directory, in which every blob is a file. Throws ProgramError, with skopeo's words, when it fails.
   */
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
    const forwarder = await connectFrom(localAddress, port, { host });
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
    const copy = ['copy', '--insecure-policy', '-q', ...flags, ...ends];
    const [command, ...args] = options.through ? [...options.through, 'skopeo', ...copy] : ['skopeo', ...copy];
    await this.workspace.run(command ?? 'skopeo', args, { env, timeoutMs });
    return { seconds: (performance.now() - started) / 1000 };
  }
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

function hostPort(target: Target): string {
  return typeof target === 'number' ? `127.0.0.1:${target}` : target;
}
