/** What `berth init` has seen of a server, and the words for it. */
import { certificateFault } from '../pool/probe/faults.ts';

export type CertificateSeen = {
  /** The host names and addresses that the certificate is for. */
  readonly names: readonly string[];
  readonly untilMs: number;
  readonly fingerprint: string;
  /** OpenSSL's code for why this system does not trust the certificate; undefined where the system does. */
  readonly fault: string | undefined;
};

/** How a registry lets clients in. `realm` is the token server's URL, as the registry wrote it. */
export type Login =
  { readonly kind: 'none' | 'basic' | 'unknown' } | { readonly kind: 'token'; readonly realm: string };

/** What a server has said in HTTP, over TLS where it speaks TLS. */
export type Spoken =
  /** `storage`: how the storage answered a stranger; undefined where a login is needed to ask. */
  | { readonly kind: 'registry'; readonly login: Login; readonly storage: 'answers' | (string & {}) | undefined }
  /** No registry, or one that is ill: the statuses of `/v2/` and of `/`. */
  | { readonly kind: 'http'; readonly v2: number; readonly root: number | undefined }
  | { readonly kind: 'wants-certificate' }
  | { readonly kind: 'unknown'; readonly why: string };

export type Seen =
  /** No connection came about. */
  | { readonly kind: 'away'; readonly reason: string }
  /** It took the connection, and said nothing to TLS or to HTTP. */
  | { readonly kind: 'silent' }
  /** `tls`: its certificate, or 'refused' where there is TLS and the handshake failed; undefined in plain TCP. */
  | { readonly kind: 'heard'; readonly tls: CertificateSeen | 'refused' | undefined; readonly spoken: Spoken };

/** One address of a server. `label` is the server's name, with the address where the name leads to several. */
export type Looked = { readonly label: string; readonly seen: Seen };

/** More names of a certificate would hide what comes after them. */
const MOST_NAMES = 4;

/** A clause about one server, such as `registry, TLS for registry.example.com until 2027-03-01 (trusted here), …`. */
export function inWords(seen: Seen): string {
  switch (seen.kind) {
    case 'away':
      return seen.reason;
    case 'silent':
      return 'it accepts connections, and says nothing to TLS or to HTTP';
    case 'heard':
      return [...spokenInWords(seen.spoken), ...tlsInWords(seen.tls), ...loginInWords(seen.spoken)].join(', ');
    default:
      return seen satisfies never;
  }
}

function spokenInWords(spoken: Spoken): string[] {
  switch (spoken.kind) {
    case 'registry':
      return ['registry'];
    case 'http': {
      const root = spoken.root === undefined ? '' : ` and GET / ${spoken.root}`;
      return [`HTTP, and not as a registry does: GET /v2/ answered ${spoken.v2}${root}`];
    }
    case 'wants-certificate':
      return [];
    case 'unknown':
      return [`no registry (${spoken.why})`];
    default:
      return spoken satisfies never;
  }
}

function tlsInWords(tls: CertificateSeen | 'refused' | undefined): string[] {
  if (tls === undefined) return ['no TLS'];
  if (tls === 'refused') return ['TLS'];
  const { names, untilMs, fault } = tls;
  const more = names.length > MOST_NAMES ? ', …' : '';
  const whom = names.length === 0 ? 'a certificate without names' : names.slice(0, MOST_NAMES).join(', ') + more;
  const trust = fault === undefined ? 'trusted here' : `not trusted here: ${certificateFault(fault).what}`;
  return [`TLS for ${whom} until ${day(untilMs)} (${trust})`];
}

function loginInWords(spoken: Spoken): string[] {
  if (spoken.kind === 'wants-certificate') return ['asks clients for a certificate'];
  if (spoken.kind !== 'registry') return [];
  const { login, storage } = spoken;
  switch (login.kind) {
    case 'none':
      return ['lets anybody in', storage === 'answers' ? 'its storage answers' : `its storage does not: ${storage}`];
    case 'basic':
      return ['asks for a password (Basic)'];
    case 'token':
      return [`asks for a token (Bearer, ${login.realm})`];
    case 'unknown':
      return ['asks for a login that docker clients do not have'];
    default:
      return login satisfies never;
  }
}

function day(ms: number): string {
  return Number.isNaN(ms) ? 'an unknown date' : new Date(ms).toISOString().slice(0, 10);
}
