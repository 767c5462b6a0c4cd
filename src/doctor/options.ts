import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { createSecureContext, type SecureContext } from 'node:tls';
import { didYouMean } from '../config/suggest.ts';
import type { BackendConfig, Config } from '../config/schema.ts';
import { DOCTOR_REPOSITORY, isDoctorRepository, isHost, parseEndpoint, type Endpoint } from '../config/values.ts';
import { StartError } from '../errors.ts';
import { systemAuthorities } from '../pool/probe/authorities.ts';
import type { AuditOptions } from './audit.ts';
import { splitPem } from './certificate.ts';
import type { Audience } from './node.ts';
import { AuditTokens } from './tokens.ts';

/** The flags of the command line, by their names without `--`. */
export type Flags = Readonly<Record<string, string | boolean | undefined>>;

/** What the operator has ordered: which servers, as which clients, with which checks. */
export type Order = {
  readonly servers: BackendConfig['servers'];
  readonly audience: Audience;
  readonly options: AuditOptions;
};

const LONGEST_PASSWORD_BYTES = 64 << 10;
const WAIT_MS = 4_000;
const PATIENT_WAIT_MS = 35_000;

/**
 * Everything the audit needs to know; the password is read from `input`. Rejects with a StartError (DOCTOR_CALL) that
 * says what is wrong with the call.
 */
export async function readOrder(config: Config, flags: Flags, input: NodeJS.ReadStream): Promise<Order> {
  const text = (name: string): string | undefined => (typeof flags[name] === 'string' ? flags[name] : undefined);
  const backend = pickBackend(config, text('backend'));
  const repository = text('repo') ?? DOCTOR_REPOSITORY;
  if (!isDoctorRepository(repository))
    throw wrong(`--repo ${repository} is no repository name, such as ${DOCTOR_REPOSITORY}`);
  const debug = debugAddresses(text('debug'));
  const authorities = readAuthorities(text('ca'));
  const user = text('user');
  const password = await readPassword(user, flags['password-stdin'] === true, input);
  const credentials = user === undefined || password === undefined ? undefined : { user, password };
  return {
    servers: backend.servers,
    audience: audienceOf(backend, { name: text('name'), authorities, credentials, repository }),
    options: {
      repository,
      debug,
      write: flags['write'] === true,
      waitMs: flags['patient'] === true ? PATIENT_WAIT_MS : WAIT_MS,
    },
  };
}

/** What the key `doctor` of balancer.yml orders. Throws a StartError. */
export function orderOf({ doctor, backends }: Config): Order & { readonly backend: string } {
  const [only = ''] = Object.keys(backends);
  const backend = doctor.backend ?? only;
  const { user, passwordFile, repository, write } = doctor;
  const authorities = doctor.ca?.content ?? systemAuthorities();
  const credentials = user !== undefined && passwordFile ? { user, password: passwordFile.content } : undefined;
  const audited = pickBackend({ backends }, backend);
  return {
    backend,
    servers: audited.servers,
    audience: audienceOf(audited, { name: doctor.name, authorities, credentials, repository }),
    options: { repository, debug: [], write, waitMs: WAIT_MS },
  };
}

type Guise = Pick<Audience, 'authorities' | 'credentials'> & {
  readonly name: string | undefined;
  readonly repository: string;
};

/** As whom the doctor comes, where the checks of the backend know what the operator has not said. */
function audienceOf({ healthCheck }: BackendConfig, guise: Guise): Audience {
  const { authorities, credentials, repository } = guise;
  const { host: name, authority } = publicName(guise.name ?? checkedName(healthCheck));
  const tokens = new AuditTokens(authorities, credentials, repository);
  const shown = clientCertificate(healthCheck);
  let made: SecureContext | undefined;
  const secureContext = (): SecureContext => (made ??= createSecureContext({ ca: authorities, ...shown }));
  return { name, authority, authorities, credentials, clientCertificate: shown, secureContext, tokens };
}

/** The name that the checks of the backend give the registry. */
function checkedName(check: BackendConfig['healthCheck']): string | undefined {
  if (check === false) return undefined;
  return check.host || (check.tls === false ? undefined : check.tls.serverName);
}

/** What the checks of the backend show to nodes that ask for a certificate. */
function clientCertificate(check: BackendConfig['healthCheck']): Audience['clientCertificate'] {
  const { cert, key } = check === false || check.tls === false ? {} : check.tls;
  return cert && key ? { cert: cert.content, key: key.content } : undefined;
}

function wrong(message: string, cause?: unknown): StartError {
  return new StartError('DOCTOR_CALL', message, cause);
}

function pickBackend({ backends }: Pick<Config, 'backends'>, name: string | undefined): BackendConfig {
  const names = Object.keys(backends);
  if (name === undefined && names.length > 1) throw wrong(`--backend is missing; one of ${names.join(', ')}`);
  const picked = name ?? names[0] ?? '';
  const backend = Object.hasOwn(backends, picked) ? backends[picked] : undefined;
  if (!backend)
    throw wrong(`there is no backend ${picked}.${didYouMean(picked, names) || ` There is ${names.join(', ')}`}`);
  return backend;
}

/** Reads `registry.example.com`, `registry.example.com:5000`, `10.0.0.1`, `[::1]:5000`. Throws a StartError. */
export function publicName(text: string | undefined): { host: string; authority: string } {
  if (text === undefined) throw wrong('--name is missing: the public name of the registry, as in docker pull NAME/…');
  const fault = wrong(`--name ${text} is no HOST or HOST:PORT, such as registry.example.com`);
  const bare = isIP(text) === 6 ? { host: text, authority: `[${text}]` } : { host: text, authority: text };
  const { host, authority } = isHost(text) ? bare : { host: parseEndpoint(text)?.host, authority: text };
  if (host === undefined || !URL.canParse(`https://${authority}`)) throw fault;
  return { host: host.toLowerCase().replace(/\.$/, ''), authority };
}

function debugAddresses(text: string | undefined): Endpoint[] {
  return (text ?? '').split(',').flatMap((part) => {
    if (part.trim() === '') return [];
    const endpoint = parseEndpoint(part.trim());
    if (!endpoint) throw wrong(`--debug ${part} is no HOST:PORT`);
    return [endpoint];
  });
}

function readAuthorities(file: string | undefined): string {
  if (file === undefined) return systemAuthorities();
  let pem: string;
  try {
    pem = readFileSync(file, 'utf8');
  } catch (error) {
    throw wrong(`cannot read --ca ${file}: ${(error as NodeJS.ErrnoException).code ?? 'unknown'}`, error);
  }
  if (splitPem(pem).length === 0) throw wrong(`--ca ${file} holds no PEM certificate`);
  return pem;
}

async function readPassword(
  user: string | undefined,
  given: boolean,
  input: NodeJS.ReadStream,
): Promise<string | undefined> {
  if (!given && user === undefined) return undefined;
  if (!given) throw wrong('--user needs --password-stdin, as in: berth doctor --user U --password-stdin … < FILE');
  if (user === undefined) throw wrong('--password-stdin needs --user');
  if (user.includes(':')) throw wrong('--user: a user of basic authentication has no : in it');
  if (input.isTTY) throw wrong('--password-stdin reads a pipe or a file, so that the password is not seen: … < FILE');
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of input as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > LONGEST_PASSWORD_BYTES) throw wrong('what came on standard input is too long for a password');
    chunks.push(chunk);
  }
  const password = Buffer.concat(chunks)
    .toString()
    .replace(/\r?\n$/, '');
  if (password === '') throw wrong('--password-stdin: there was no password on standard input');
  return password;
}
