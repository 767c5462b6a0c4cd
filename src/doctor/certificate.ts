import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { certificateFault } from '../pool/probe/faults.ts';
import { disagreement, finding, listed, type Finding } from './findings.ts';
import { quoted, type Audience } from './node.ts';

const DAY_MS = 86_400_000;
const SOON_DAYS = 14;
/** More intermediates than any chain has. */
const LONGEST_CHAIN = 8;

/** What the certificate of a node says, and what OpenSSL says of its chain. */
export type CertificateSeen = {
  readonly fingerprint: string;
  readonly validFromMs: number;
  readonly validToMs: number;
  /** As X.509 lists them; undefined where the extension is missing. */
  readonly subjectAltName: string | undefined;
  /** Whether it names the public name: in subjectAltName, or as the common name where it has no subjectAltName. */
  readonly forName: boolean;
  /** OpenSSL's code for what is wrong with the chain; undefined where the chain verifies. */
  readonly fault: string | undefined;
  /** Whether a trusted authority has signed it; its dates do not count. */
  readonly trusted: boolean;
};

/** What `socket`, after its handshake, was shown; undefined where the node has no certificate. */
export function certificateSeen(socket: TLSSocket, audience: Audience): CertificateSeen | undefined {
  const certificate = socket.getPeerX509Certificate();
  if (!certificate) return undefined;
  // Node's types call `authorizationError` an Error; it holds the code that OpenSSL gave.
  const fault = (socket.authorizationError as unknown as string | null) ?? undefined;
  const { subjectAltName, fingerprint256 } = certificate;
  return {
    fingerprint: fingerprint256,
    validFromMs: Date.parse(certificate.validFrom),
    validToMs: Date.parse(certificate.validTo),
    subjectAltName,
    forName: isFor(certificate, audience.name),
    fault,
    // OpenSSL names one fault alone, so behind an expired date there may be an untrusted signature too.
    trusted: fault === undefined || (DATE_FAULTS.includes(fault) && isSignedByOneOf(certificate, audience.authorities)),
  };
}

const DATE_FAULTS = ['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID'];

/** As Go's crypto/x509 looks for a name, except that the common name counts here: CERT_NO_SAN tells of its use. */
function isFor(certificate: X509Certificate, name: string): boolean {
  if (isIP(name) !== 0) return certificate.checkIP(name) !== undefined;
  const subject = certificate.subjectAltName === undefined ? 'always' : 'never';
  return certificate.checkHost(name, { subject, partialWildcards: false }) !== undefined;
}

function isSignedByOneOf(certificate: X509Certificate, pem: string): boolean {
  const authorities = splitPem(pem);
  let link = certificate;
  for (let depth = 0; depth < LONGEST_CHAIN; depth++) {
    const issued = link;
    if (authorities.some((authority) => issuedBy(issued, authority))) return true;
    const next = link.issuerCertificate;
    if (!next || !issuedBy(link, next) || next.fingerprint256 === link.fingerprint256) return false;
    link = next;
  }
  return false;
}

/** A certificate counts as its own issuer: clients trust a node whose very certificate is in their file. */
function issuedBy(issued: X509Certificate, issuer: X509Certificate): boolean {
  if (issued.fingerprint256 === issuer.fingerprint256) return true;
  return issued.checkIssued(issuer) && issued.verify(issuer.publicKey);
}

/** The certificates of a PEM text, without those that Node cannot read. */
export function splitPem(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN (?:TRUSTED )?CERTIFICATE-----.+?-----END (?:TRUSTED )?CERTIFICATE-----/gs) ?? [];
  return blocks.flatMap((block) => {
    try {
      return [new X509Certificate(block)];
    } catch {
      return [];
    }
  });
}

/**
 * Whether the password may go to a node: only where its certificate proves that the node is the cluster's. A
 * certificate that is out of date still proves whose the node is.
 */
export function mayTellSecrets(seen: CertificateSeen | undefined): boolean {
  return seen !== undefined && seen.trusted && seen.forName;
}

/** The findings of one node at the moment `nowMs`: dates, trust and name, each by itself. */
export function judgeCertificate(label: string, audience: Audience, seen: CertificateSeen, nowMs: number): Finding[] {
  return [...judgeDates(label, seen, nowMs), ...judgeTrust(label, seen), ...judgeName(label, audience, seen)];
}

function judgeDates(label: string, { validFromMs, validToMs, fault }: CertificateSeen, nowMs: number): Finding[] {
  if (validToMs <= nowMs) return [finding('CERT_EXPIRED', label, `its certificate expired on ${day(validToMs)}`)];
  if (validFromMs > nowMs)
    return [finding('CERT_NOT_YET_VALID', label, `its certificate is valid from ${day(validFromMs)} only`)];
  if (fault === 'CERT_HAS_EXPIRED')
    return [finding('CERT_EXPIRED', label, 'a certificate that signs the one of this node has expired')];
  if (fault === 'CERT_NOT_YET_VALID')
    return [finding('CERT_NOT_YET_VALID', label, 'a certificate that signs the one of this node is not yet valid')];
  const days = Math.floor((validToMs - nowMs) / DAY_MS);
  if (days > SOON_DAYS) return [];
  const left = days < 1 ? 'less than a day' : `${days} day${days === 1 ? '' : 's'}`;
  return [finding('CERT_EXPIRES_SOON', label, `its certificate expires in ${left}, on ${day(validToMs)}`)];
}

function judgeTrust(label: string, { fault, trusted }: CertificateSeen): Finding[] {
  if (trusted || fault === undefined) return [];
  const behindDates: Record<string, string> = {
    CERT_HAS_EXPIRED: 'the certificate, which is out of date, is signed by an unknown authority',
    CERT_NOT_YET_VALID: 'the certificate, which is not yet valid, is signed by an unknown authority',
  };
  return [finding('CERT_UNTRUSTED', label, behindDates[fault] ?? certificateFault(fault).what)];
}

function judgeName(label: string, audience: Audience, { subjectAltName, forName }: CertificateSeen): Finding[] {
  if (subjectAltName === undefined) return [finding('CERT_NO_SAN', label, 'its certificate has no subjectAltName')];
  if (forName) return [];
  const names = subjectAltName.split(', ').map((name) => name.replace(/^IP Address:|^DNS:/, ''));
  const shown = quoted({ audience }, listed(names.slice(0, 8)) + (names.length > 8 ? ', …' : ''));
  return [finding('CERT_WRONG_NAME', label, `its certificate is for ${shown}, not for ${audience.name}`)];
}

/** Whether all nodes show one certificate. */
export function judgeFingerprints(
  nodes: readonly { readonly label: string; readonly certificate: CertificateSeen }[],
): Finding[] {
  const seen = disagreement(
    nodes.map(({ label, certificate: { fingerprint, validToMs } }) => ({
      node: label,
      said: `SHA-256 ${fingerprint.slice(0, 11)}…, until ${day(validToMs)}`,
    })),
  );
  if (seen === undefined) return [];
  const labels = nodes.map(({ label }) => label);
  return [finding('CERT_DIFFERS', labels, `the nodes have different certificates (${seen})`)];
}

function day(ms: number): string {
  return Number.isNaN(ms) ? 'an unknown date' : new Date(ms).toISOString().slice(0, 10);
}
