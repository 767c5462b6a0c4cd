/** A CA and the certificates it signs, good and bad, made with openssl. */
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import type { Workspace } from './processes.ts';

const DAY_MS = 86_400_000;

export interface Certificate {
  certificate: string;
  key: string;
}

/** What is wrong with a certificate; every kind but 'untrusted' is signed by the cluster's CA; 'client' is good, for clients. */
export type CertificateKind =
  'good' | 'expired' | 'expires-soon' | 'not-yet-valid' | 'wrong-name' | 'no-san' | 'untrusted' | 'client';

/**
 * A CA of its own in `dir`: ca.crt and ca.key. The configuration file keeps the machine's own openssl.cnf out of it.
 */
export async function makeAuthority(workspace: Workspace, dir: string): Promise<void> {
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

export async function makeCertificate(
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
      `extendedKeyUsage=${kind === 'client' ? 'clientAuth' : 'serverAuth'}\n${kind === 'no-san' ? '' : `subjectAltName=${san}\n`}`,
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
