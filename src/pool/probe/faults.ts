/** What may go wrong in TLS and HTTP between Berth and a peer, in sentences: for checks, doctor and token servers. */
import { printable } from '../../config/locate.ts';
import { LARGEST_HEADER_BYTES } from './exchange.ts';

/**
 * `what` happened and how to `mend` it, each a clause of one sentence. Neither holds a code of OpenSSL's or Node's.
 * `kind` is for those who treat some faults in another way than others.
 */
export type Fault = {
  readonly kind: 'not-tls' | 'tls-expected' | 'cut-off' | 'client-certificate' | 'handshake' | 'certificate' | 'http';
  readonly what: string;
  readonly mend: string;
};

export function inWords({ what, mend }: Fault): string {
  return `${what}; ${mend}`;
}

type Clauses = readonly [what: string, mend: string];

const LOOK = 'look at its log';
const NOT_TLS: Clauses = [
  'what answers does not speak TLS',
  'if it speaks plain HTTP, set http.tls on the node, or leave out healthCheck.tls',
];
const CUT_OFF: Clauses = [
  'closed during the handshake',
  `${LOOK}: perhaps it does not speak TLS, or its certificate and key do not belong together`,
];
const OLD_VERSION: Clauses = [
  'no common version of TLS: Berth speaks TLS 1.2 and 1.3',
  'set http.tls.minimumtls to tls1.2 on the node, or renew what stands before it',
];
const NO_COMMON_CIPHER: Clauses = [
  'no common cipher',
  'allow the node the ciphers of TLS 1.2 and 1.3 (http.tls.ciphersuites)',
];
const WEAK_KEY: Clauses = [
  'its certificate or its key exchange is too weak',
  'issue the certificate with a key of RSA 2048 or P-256',
];
const BROKEN: Clauses = ['it breaks the rules of TLS', `${LOOK}, and at what stands between`];

/** By the words that OpenSSL has for a fault which this side finds. */
const FOUND_HERE: Record<string, Clauses> = {
  'wrong version number': NOT_TLS,
  'packet length too long': NOT_TLS,
  'http request': NOT_TLS,
  'https proxy request': NOT_TLS,
  'unknown protocol': NOT_TLS,
  'unexpected eof while reading': CUT_OFF,
  'unsupported protocol': OLD_VERSION,
  'wrong ssl version': OLD_VERSION,
  'version too low': OLD_VERSION,
  'unknown ssl version': OLD_VERSION,
  'no protocols available': OLD_VERSION,
  'no ciphers available': NO_COMMON_CIPHER,
  'unknown cipher returned': NO_COMMON_CIPHER,
  'wrong cipher returned': NO_COMMON_CIPHER,
  'ee key too small': WEAK_KEY,
  'dh key too small': WEAK_KEY,
  'ca key too small': WEAK_KEY,
  'ca md too weak': WEAK_KEY,
  'bad signature': ['its key does not belong to its certificate', 'give the node the key of its certificate'],
};

/** Of faults that may be those of a server which speaks no TLS at all. */
const KINDS: ReadonlyMap<Clauses, Fault['kind']> = new Map<Clauses, Fault['kind']>([
  [NOT_TLS, 'not-tls'],
  [CUT_OFF, 'cut-off'],
]);

/** By the words for a fault of which the peer tells (an alert, RFC 8446 section 6.2). */
const TOLD_BY_PEER: Record<string, Clauses> = {
  'handshake failure': [
    'it refuses the handshake: no common cipher, or it asks for a client certificate',
    'set healthCheck.tls.cert and healthCheck.tls.key if it does, else look at its ciphers',
  ],
  'insufficient security': NO_COMMON_CIPHER,
  'protocol version': OLD_VERSION,
  'unrecognized name': ['it knows no such server name', "set healthCheck.tls.serverName to the node's public name"],
  'no application protocol': ['it speaks no HTTP/1.1', 'allow HTTP/1.1 on the node, or on what stands before it'],
  'internal error': ['it gives up the handshake', `${LOOK}: perhaps it has no certificate for this server name`],
};

/** Go and nginx say no more than that. */
const NOT_ACCEPTED = 'it is of another authority, out of date, or not for clients (extendedKeyUsage clientAuth)';
/** Alerts by which a peer refuses the certificate that it was shown, or tells that it was shown none. */
const CLIENT_CERTIFICATE: Record<string, string> = {
  'certificate required': 'it was shown none',
  'bad certificate': NOT_ACCEPTED,
  'unsupported certificate': 'it is not for clients (extendedKeyUsage clientAuth)',
  'certificate revoked': 'the certificate is revoked',
  'certificate expired': 'the certificate has expired',
  'certificate unknown': NOT_ACCEPTED,
  'unknown ca': 'the certificate is signed by an authority that it does not know',
  'access denied': 'the certificate is of somebody who may not come in',
  'decrypt error': 'the key does not belong to the certificate',
};

/** What a socket's error carries where OpenSSL is its origin. */
type TlsError = Error & { readonly code?: string; readonly reason?: string };

/**
 * Why a TLS connection failed, during its handshake or after: a server of TLS 1.3 says only after the handshake that it
 * wants a client certificate. `shown`: whether this side has one. Undefined where the error is none of TLS.
 */
export function tlsFault(error: TlsError, shown: boolean): Fault | undefined {
  const reason = reasonOf(error);
  if (reason === undefined) return undefined;
  const [, alert] = /^(?:sslv3|tlsv1|tlsv13|tlsv1\.3|ssl\/tls) (?:alert )?(.+)$/.exec(reason) ?? [];
  if (alert === undefined) {
    const found = FOUND_HERE[reason] ?? ([`the handshake failed (${printable(reason)})`, BROKEN[1]] as const);
    return fault(KINDS.get(found) ?? 'handshake', found);
  }
  const refusal = CLIENT_CERTIFICATE[alert];
  if (refusal !== undefined) return clientCertificateFault(shown ? refusal : undefined);
  return fault('handshake', TOLD_BY_PEER[alert] ?? [`it breaks off with "${printable(alert)}"`, LOOK]);
}

/** `refusal`: what is wrong with the certificate that was shown; undefined where none was. */
function clientCertificateFault(refusal: string | undefined): Fault {
  return refusal === undefined
    ? fault('client-certificate', [
        'it asks clients for a certificate',
        'set healthCheck.tls.cert and healthCheck.tls.key',
      ])
    : fault('client-certificate', [
        `it refuses the client certificate: ${refusal}`,
        'set healthCheck.tls.cert to a certificate of an authority in its http.tls.clientcas',
      ]);
}

/** As `tlsFault`, for an error that came before the handshake was over, whatever the error is. */
export function handshakeFault(error: TlsError, shown: boolean): Fault {
  const { code = '' } = error;
  if (HUNG_UP.includes(code)) return fault('cut-off', CUT_OFF);
  return tlsFault(error, shown) ?? fault('handshake', ['the handshake failed', LOOK]);
}

const HUNG_UP = ['ECONNRESET', 'EPIPE', 'ECONNABORTED'];

/**
 * OpenSSL's words for an error. Node hands them out as `reason`, or, where a write has met the error, in the text of an
 * EPROTO: `write EPROTO 80AB…:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:../ssl/…:355:`.
 */
function reasonOf({ code = '', reason, message }: TlsError): string | undefined {
  if (reason !== undefined && reason !== '') return reason.toLowerCase();
  if (code === 'EPROTO')
    return (/:error:[^:]*:[^:]*:[^:]*:([^:]+):/.exec(message)?.[1] ?? 'protocol error').toLowerCase();
  return code.startsWith('ERR_SSL_') ? code.slice('ERR_SSL_'.length).replaceAll('_', ' ').toLowerCase() : undefined;
}

const UNKNOWN_AUTHORITY: Clauses = [
  'the certificate is signed by an unknown authority',
  'set healthCheck.tls.ca to the file of its authority, and let the node send its intermediate certificates',
];
const RENEW = 'renew the certificate and restart the node, which reads it only when it starts';
const ISSUE_AGAIN = 'issue the certificate again';

/** By the code that OpenSSL gives a chain; Node passes on the codes alone. */
const CERTIFICATE_FAULTS: Record<string, Clauses> = {
  CERT_HAS_EXPIRED: ['the certificate, or one that signs it, has expired', RENEW],
  CERT_NOT_YET_VALID: [
    'the certificate, or one that signs it, is not yet valid',
    'set the clocks of this machine and of the one that issued it',
  ],
  DEPTH_ZERO_SELF_SIGNED_CERT: [
    'the certificate is self-signed',
    'set healthCheck.tls.ca to the certificate itself, or have it signed',
  ],
  SELF_SIGNED_CERT_IN_CHAIN: UNKNOWN_AUTHORITY,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNKNOWN_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNKNOWN_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT: UNKNOWN_AUTHORITY,
  CERT_UNTRUSTED: UNKNOWN_AUTHORITY,
  CERT_REVOKED: ['the certificate is revoked', RENEW],
  CERT_SIGNATURE_FAILURE: ['the signature of the certificate is wrong', ISSUE_AGAIN],
  CERT_CHAIN_TOO_LONG: ['the chain of certificates is too long', 'leave out what clients do not need of it'],
  INVALID_CA: [
    'the certificate is signed by one that may not sign',
    'sign it with an authority (basicConstraints CA:TRUE)',
  ],
  PATH_LENGTH_EXCEEDED: ['the certificate is signed by one that may not sign so deep a chain', ISSUE_AGAIN],
  INVALID_PURPOSE: [
    'the certificate is not for servers',
    `${ISSUE_AGAIN}, with extendedKeyUsage serverAuth or without extendedKeyUsage`,
  ],
};

export const isCertificateCode = (code: string): boolean => Object.hasOwn(CERTIFICATE_FAULTS, code);

/** What is wrong with a certificate, by OpenSSL's code. */
export function certificateFault(code: string): Fault {
  return fault('certificate', CERTIFICATE_FAULTS[code] ?? ['the certificate does not verify', ISSUE_AGAIN]);
}

/** `subjectAltName` as Node writes it. It is a stranger's text, of any length. */
export function wrongNameFault(name: string, subjectAltName: string | undefined): Fault {
  const names = subjectAltName?.split(', ').map((one) => one.replace(/^IP Address:|^DNS:/, '')) ?? [];
  const shown = printable(names.slice(0, 8).join(', ') + (names.length > 8 ? ', …' : ''));
  return fault('certificate', [
    names.length === 0
      ? `the certificate names no host, so not ${name}`
      : `the certificate is for ${shown}, not ${name}`,
    'set healthCheck.tls.serverName to a name of the certificate, or issue it for this name (subjectAltName)',
  ]);
}

/** Why a question in HTTP got no answer, after the connection stood; undefined where the error is none of HTTP. */
export function httpFault(error: Error & { readonly code?: string; readonly rawPacket?: unknown }): Fault | undefined {
  const { code = '', rawPacket } = error;
  if (HUNG_UP.includes(code) || code === 'ERR_STREAM_PREMATURE_CLOSE')
    return fault('http', ['closed before the whole answer was there', LOOK]);
  if (code === 'HPE_HEADER_OVERFLOW')
    return fault('http', [`its headers are longer than ${LARGEST_HEADER_BYTES >> 10} KiB`, LOOK]);
  // A TLS server answers a plain request with an alert: a record of type 21 and version 3.x (RFC 8446 section 5.1).
  if (Buffer.isBuffer(rawPacket) && rawPacket[0] === 21 && rawPacket[1] === 3)
    return fault('tls-expected', TLS_EXPECTED);
  return code.startsWith('HPE_')
    ? fault('http', ['the answer is not HTTP', 'look at what listens on that port'])
    : undefined;
}

const TLS_EXPECTED: Clauses = ['it speaks TLS and was asked in plain HTTP', 'set healthCheck.tls'];

/** What servers say in a 400 about the TLS below it: Go's net/http, nginx and Apache. */
const IN_A_400: readonly (readonly [RegExp, Fault])[] = [
  [
    /HTTP request to an HTTPS server|HTTP request was sent to HTTPS port|plain HTTP to an SSL/i,
    fault('tls-expected', TLS_EXPECTED),
  ],
  [/No required SSL certificate was sent/i, clientCertificateFault(undefined)],
  [/The SSL certificate error/i, clientCertificateFault(NOT_ACCEPTED)],
];

/** What lies behind a 400; undefined where its body does not tell. */
export function badRequestFault(body: string): Fault | undefined {
  return IN_A_400.find(([words]) => words.test(body))?.[1];
}

function fault(kind: Fault['kind'], [what, mend]: Clauses): Fault {
  return { kind, what, mend };
}
