import { readFileSync } from 'node:fs';
import { rootCertificates } from 'node:tls';

/** Where Go's programs, such as docker, look for authorities on Linux: Debian, Fedora, openSUSE, RHEL, Alpine. */
const FILES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/** PEM of the authorities that this system trusts; those that come with Node where the system has no file of them. */
export function systemAuthorities(): string {
  for (const file of FILES) {
    try {
      return readFileSync(file, 'utf8');
    } catch {
      // This system keeps its authorities in another file of the list.
    }
  }
  return rootCertificates.join('\n');
}
