import { isUtf8 } from 'node:buffer';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { resolve } from 'node:path';
import { cidrFileOf, parseCidrs } from './cidr-file.ts';
import type { Finding, Path } from './rules.ts';
import { LEAST_SECRET } from './scalars.ts';
import type { Config } from './schema.ts';

/** A balancer.yml has some kilobytes; a larger file was named by mistake. */
const LARGEST_FILE_BYTES = 4 << 20;
/** As a file's name: standard input. */
const STANDARD_INPUT = '-';

/** Reads a file as text, or throws an Error that says why it cannot. @see readText, readAtOnce */
export type Reading = (file: string) => string;

/** Relative files lie in `folder`. */
export type Files = { readonly folder: string; readonly read: Reading };

/**
 * Reads the files that the configuration names, once and here, so that a wrong name is reported with its line, and not
 * by a health check that fails later.
 */
export function* readNamedFiles(config: Config, files: Files): Generator<Finding> {
  for (const [name, { healthCheck: check, stickTable }] of Object.entries(config.backends)) {
    if (stickTable !== false && stickTable.shared !== false) {
      const { ca, cert, key, passwordFile, sentinelPasswordFile } = stickTable.shared;
      const path = ['backends', name, 'stickTable', 'shared'];
      yield* readNamed(ca, files, [...path, 'ca'], certificates);
      yield* readNamed(cert, files, [...path, 'cert'], certificates);
      yield* readNamed(key, files, [...path, 'key'], (text) => keyOf(cert?.content ?? '', text));
      yield* readNamed(passwordFile, files, [...path, 'passwordFile'], firstLine);
      yield* readNamed(sentinelPasswordFile, files, [...path, 'sentinelPasswordFile'], firstLine);
    }
    if (check === false) continue;
    const path = ['backends', name, 'healthCheck'];
    const { ca, cert, key } = check.tls === false ? {} : check.tls;
    const password = check.storage === false ? undefined : check.storage.passwordFile;
    yield* readNamed(ca, files, [...path, 'tls', 'ca'], certificates);
    yield* readNamed(cert, files, [...path, 'tls', 'cert'], certificates);
    yield* readNamed(key, files, [...path, 'tls', 'key'], (text) => keyOf(cert?.content ?? '', text));
    yield* readNamed(password, files, [...path, 'storage', 'passwordFile'], firstLine);
  }
  yield* readNamed(config.doctor.ca, files, ['doctor', 'ca'], certificates);
  yield* readNamed(config.doctor.passwordFile, files, ['doctor', 'passwordFile'], firstLine);
  yield* readNamed(config.admin?.tokenFile, files, ['admin', 'tokenFile'], secret);
}

type NamedFile = { readonly file: string; content: string };

function* readNamed(
  named: NamedFile | undefined,
  { folder, read }: Files,
  path: Path,
  use: (text: string) => string,
): Generator<Finding> {
  if (!named) return;
  try {
    named.content = use(read(resolve(folder, named.file)));
  } catch (error) {
    yield { path, message: `cannot be used: ${reason(error)}` };
  }
}

function certificates(text: string): string {
  try {
    void new X509Certificate(text);
    return text;
  } catch (cause) {
    throw new Error('it holds no PEM certificate', { cause });
  }
}

/** The private key in `text`, which must belong to `cert`, the content of the certificate's file, if that is good. */
function keyOf(cert: string, text: string): string {
  let key;
  try {
    key = createPrivateKey(text);
  } catch (cause) {
    const encrypted = /^-----BEGIN ENCRYPTED|^Proc-Type: 4,ENCRYPTED/m.test(text);
    throw new Error(encrypted ? 'its key has a passphrase, and Berth takes none' : 'it holds no PEM private key', {
      cause,
    });
  }
  if (cert !== '' && !new X509Certificate(cert).checkPrivateKey(key))
    throw new Error('its key does not belong to the certificate in cert');
  return text;
}

/** The first line, which must be long enough: a token from an empty file would let everybody in. */
export function secret(text: string): string {
  const line = firstLine(text).trim();
  if (line.length < LEAST_SECRET) throw new Error(`its first line has less than ${LEAST_SECRET} characters`);
  return line;
}

function firstLine(text: string): string {
  return text.split(/\r?\n/, 1)[0] ?? '';
}

type Networks = 'allow' | 'deny' | 'acceptProxy';

/** Puts the networks of `file:PATH` in its place. */
export function* readCidrFiles({ frontends }: Config, files: Files): Generator<Finding> {
  for (const [name, frontend] of Object.entries(frontends)) {
    for (const key of ['allow', 'deny', 'acceptProxy'] satisfies Networks[]) {
      const path = ['frontends', name, key];
      const written = frontend[key];
      const all: string[] = [];
      let faults = 0;
      for (const [i, text] of written.entries()) {
        const { cidrs, findings } = cidrsOf(text, files, [...path, i]);
        // No spread: a file may have more networks than a call may have arguments.
        for (const cidr of cidrs) all.push(cidr);
        yield* findings;
        faults += findings.length;
      }
      frontend[key] = all;
      if (key !== 'allow' || written.length === 0 || all.length > 0 || faults > 0) continue;
      yield { path, message: 'its files name no network, and an empty allow lets everyone in' };
    }
  }
}

function cidrsOf(text: string, { folder, read }: Files, path: Path): { cidrs: readonly string[]; findings: Finding[] } {
  const named = cidrFileOf(text);
  if (named === undefined) return { cidrs: [text], findings: [] };
  const file = resolve(folder, named);
  try {
    const { cidrs, faults } = parseCidrs(read(file));
    const findings = faults.map(({ line, message }): Finding => ({ path, message, within: { file, line } }));
    return { cidrs, findings };
  } catch (error) {
    return { cidrs: [], findings: [{ path, message: `cannot be used: ${reason(error)}` }] };
  }
}

/** Throws an Error with a `code` where the file cannot be read, and without where it is too large or is not UTF-8. */
export function readText(file: string, mostBytes = LARGEST_FILE_BYTES): string {
  if (file === STANDARD_INPUT) return textOf(readAtMost(0, mostBytes));
  const fd = openSync(file, 'r');
  try {
    return textOf(readAtMost(fd, mostBytes));
  } finally {
    closeSync(fd);
  }
}

/**
 * The same in a balancer that runs, whose clients would all wait with it: what has nothing to say at once is refused.
 * Throws an Error.
 */
export function readAtOnce(file: string): string {
  if (file === STANDARD_INPUT) throw new Error('standard input was read at the start and says nothing more');
  // Without the flag to open a pipe waits until somebody writes to it.
  const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (fstatSync(fd).isFIFO()) throw new Error('it is a pipe, and a balancer that runs waits for no writer');
    return textOf(readAtMost(fd, LARGEST_FILE_BYTES));
  } finally {
    closeSync(fd);
  }
}

/** Not every file says before how large it is, and a device has no end. */
function readAtMost(fd: number, mostBytes: number): Buffer {
  const chunks: Buffer[] = [];
  let size = 0;
  for (;;) {
    const chunk = Buffer.allocUnsafe(64 << 10);
    const read = readSync(fd, chunk);
    if (read === 0) return Buffer.concat(chunks, size);
    chunks.push(chunk.subarray(0, read));
    size += read;
    if (size > mostBytes) {
      const most = mostBytes >= 1 << 20 ? `${mostBytes >> 20} MiB` : `${mostBytes >> 10} KiB`;
      throw new Error(`it is larger than ${most}`);
    }
  }
}

function textOf(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw new Error('it is not UTF-8 text');
  return bytes.toString('utf8').replace(/^\uFEFF/, '');
}

export function reason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const known: Record<string, string> = {
    ENOENT: 'no such file',
    EACCES: 'permission denied',
    EISDIR: 'it is a directory',
  };
  return known[code ?? ''] ?? message;
}
