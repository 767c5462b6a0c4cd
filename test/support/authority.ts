/** Certificates of all kinds, made with openssl in a temporary folder. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

export type Certificate = { readonly key: string; readonly cert: string };

/** `openssl x509 -not_after` is younger than what many machines have; `openssl ca` always had dates. */
const CA_CONFIG = `
[ca]
default_ca = here
[here]
dir = .
database = index.txt
new_certs_dir = .
serial = serial
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign,cRLSign
`;

/** An authority and what it signs. */
export class Authority {
  /** Gone with the test file's tests. */
  static ofFile(): Authority {
    const authority = new Authority();
    after(() => authority.remove());
    return authority;
  }

  readonly folder = mkdtempSync(join(tmpdir(), 'berth-certificates-'));
  readonly ca: string;

  constructor() {
    writeFileSync(join(this.folder, 'ca.cnf'), CA_CONFIG);
    writeFileSync(join(this.folder, 'index.txt'), '');
    writeFileSync(join(this.folder, 'serial'), '01\n');
    const authority = ['-subj', '/CN=Berth test authority', '-extensions', 'authority', '-days', '10'];
    this.#openssl('req', '-x509', ...this.#newKey('ca'), ...authority, '-out', 'ca.pem');
    this.ca = readFileSync(join(this.folder, 'ca.pem'), 'utf8');
  }

  /** Signed by this authority for `name` (`DNS:…` or `IP:…`), valid between two dates such as 20200101000000Z. */
  sign(name: string, from = '20200101000000Z', to = '20400101000000Z'): Certificate {
    const file = `${name}-${to}`.replaceAll(/\W/g, '-');
    this.#openssl(
      'req',
      ...this.#newKey(file),
      '-subj',
      `/CN=${file}`,
      '-addext',
      `subjectAltName=${name}`,
      '-out',
      `${file}.csr`,
    );
    const dates = ['-startdate', from, '-enddate', to];
    const signer = ['-config', 'ca.cnf', '-cert', 'ca.pem', '-keyfile', 'ca.key', '-batch', '-notext'];
    this.#openssl('ca', ...signer, ...dates, '-in', `${file}.csr`, '-out', `${file}.pem`);
    return this.#read(file);
  }

  /** Signed by itself. */
  selfSigned(name: string): Certificate {
    const subject = ['-subj', '/CN=self', '-addext', `subjectAltName=${name}`, '-days', '10'];
    this.#openssl('req', '-x509', ...this.#newKey('self'), ...subject, '-out', 'self.pem');
    return this.#read('self');
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #newKey(file: string): string[] {
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    return [...curve, '-keyout', `${file}.key`, '-config', 'ca.cnf'];
  }

  #openssl(...args: string[]): void {
    execFileSync('openssl', args, { cwd: this.folder, stdio: ['ignore', 'ignore', 'pipe'] });
  }

  #read(file: string): Certificate {
    const text = (ending: string): string => readFileSync(join(this.folder, `${file}.${ending}`), 'utf8');
    return { key: text('key'), cert: text('pem') };
  }
}
