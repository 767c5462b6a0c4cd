import { isIP } from 'node:net';
import { disagreement } from '../doctor/findings.ts';
import { REPOSITORY } from './look.ts';
import type { CertificateSeen, Looked, Seen, Spoken } from './seen.ts';

/** The check that all servers pass which are well: what `healthCheck` says, where it is not Berth's default. */
export type Check = {
  readonly type: 'tcp' | 'http' | 'registry';
  readonly tls: boolean;
  readonly storage: boolean;
};
export type Choice = {
  readonly check: Check;
  /** Clients speak first in TLS and in HTTP. */
  readonly waitForClient: boolean;
  /** Whether clients come with TLS; undefined where no server has answered. */
  readonly tls: boolean | undefined;
  /** What the operator should know of the check. */
  readonly remarks: readonly string[];
  /** In what the servers differ: a client would notice when it is moved. */
  readonly differences: readonly string[];
};

type Heard = Seen & { readonly kind: 'heard' };
type HeardOf = { readonly label: string; readonly seen: Heard };

/** By what the servers have said that answered: the others may be what these are, and be away. */
export function choose(looked: readonly Looked[]): Choice {
  const heard = looked.filter((one): one is HeardOf => one.seen.kind === 'heard');
  if (heard.length === 0) return unknown(looked);
  const all = heard.map(({ seen }) => seen);
  const tls = all.every((seen) => seen.tls !== undefined);
  const spoken = all.map((seen) => seen.spoken);
  const type = typeOf(spoken, all);
  const storage = type === 'registry' && hasOpenStorage(spoken);
  // A handshake that was refused is refused to a check, too.
  const check = { type, tls: tls && all.every((seen) => isShaken(seen)), storage };
  const speaksFirst = tls || spoken.every(({ kind }) => kind === 'registry' || kind === 'http');
  return {
    check,
    waitForClient: speaksFirst,
    tls,
    remarks: remarksOn(check, all),
    differences: differencesOf(heard),
  };
}

function unknown(looked: readonly Looked[]): Choice {
  const silent = looked.some(({ seen }) => seen.kind === 'silent');
  const remark = silent
    ? 'No server has said what it is, so the check connects and asks nothing.'
    : 'No server has answered, so the check connects and asks nothing. Run berth init again when they run.';
  const check = { type: 'tcp', tls: false, storage: false } as const;
  return { check, waitForClient: false, tls: undefined, remarks: [remark], differences: [] };
}

function typeOf(spoken: readonly Spoken[], all: readonly Heard[]): Check['type'] {
  const inTls = all.filter((seen) => seen.tls !== undefined).length;
  if ((inTls > 0 && inTls < all.length) || !all.every(isShaken)) return 'tcp';
  // A registry that is ill answers 503, or does not answer at all.
  const others = spoken.filter(({ kind }) => kind !== 'registry');
  if (others.length < spoken.length && others.every((one) => one.kind === 'http' && one.v2 >= 500)) return 'registry';
  const isPage = (one: Spoken): boolean => one.kind === 'http' && (one.root ?? 0) >= 200 && (one.root ?? 0) < 400;
  return spoken.every(isPage) ? 'http' : 'tcp';
}

/** Whether a check without a client certificate gets through to HTTP. */
function isShaken({ tls, spoken }: Heard): boolean {
  return tls !== 'refused' && spoken.kind !== 'wants-certificate';
}

/** A storage can be asked without a login where no registry wants one. */
function hasOpenStorage(spoken: readonly Spoken[]): boolean {
  const registries = spoken.filter((one) => one.kind === 'registry');
  return (
    registries.every(({ login }) => login.kind === 'none') && registries.some(({ storage }) => storage === 'answers')
  );
}

function remarksOn({ type, tls, storage }: Check, all: readonly Heard[]): string[] {
  const registries = all.flatMap(({ spoken }) => (spoken.kind === 'registry' ? [spoken] : []));
  const over = tls ? ' over TLS' : '';
  const asks = {
    registry: `The check asks GET /v2/${over}: 200 and 401 are up${storage ? '; and for its storage' : ''}.`,
    http: `The check asks GET /${over}: 200 to 399 are up.`,
    tcp: tls ? 'The check shakes hands, and asks nothing.' : 'The check connects, and asks nothing.',
  };
  const wantsLogin = type === 'registry' && !storage && registries.some(({ login }) => login.kind !== 'none');
  const user = `storage: { repository: ${REPOSITORY}, user: USER, passwordFile: FILE }`;
  return [
    asks[type],
    ...(tls ? [`It does not verify certificates; it does with tls: ${verifying(all)}`] : []),
    ...(wantsLogin ? [`It sees a storage that hangs with ${user}`] : []),
    ...(all.some(({ spoken }) => spoken.kind === 'wants-certificate')
      ? ['With a client certificate it can ask more: { type: registry, tls: { cert: FILE, key: FILE } }']
      : []),
  ];
}

/** The `tls` that refuses a certificate which does not verify. */
function verifying(all: readonly Heard[]): string {
  const certificates = certificatesOf(all);
  const trusted = certificates.every(({ fault }) => fault === undefined);
  const [first, ...others] = certificates.map(({ names }) => names.filter((name) => isPlainName(name)));
  const shared = first?.find((name) => others.every((names) => names.includes(name)));
  const serverName = shared === undefined ? [] : [`serverName: ${shared}`];
  return `{ ${[...(trusted ? [] : ['ca: FILE']), ...serverName, ...(trusted ? ['verify: true'] : [])].join(', ')} }`;
}

function isPlainName(name: string): boolean {
  return isIP(name) === 0 && /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/i.test(name);
}

function certificatesOf(all: readonly Heard[]): CertificateSeen[] {
  return all.flatMap(({ tls }) => (tls === undefined || tls === 'refused' ? [] : [tls]));
}

function differencesOf(heard: readonly HeardOf[]): string[] {
  const told = (say: (seen: Heard) => string | undefined): string[] => {
    const said = heard.flatMap(({ label, seen }) => {
      const words = say(seen);
      return words === undefined ? [] : [{ node: label, said: words }];
    });
    const difference = disagreement(said);
    return difference === undefined ? [] : [difference];
  };
  return [
    ...told(({ tls }) => (tls === undefined ? 'no TLS' : 'TLS')),
    ...told(({ spoken }) => kindInWords(spoken)),
    ...told(({ tls }) => (typeof tls === 'object' ? `a certificate for ${tls.names.join(', ')}` : undefined)),
    ...told(({ spoken }) => (spoken.kind === 'registry' ? loginInWords(spoken) : undefined)),
  ];
}

function kindInWords({ kind }: Spoken): string {
  if (kind === 'registry') return 'a registry';
  return kind === 'wants-certificate' ? 'asks for a certificate' : 'no registry';
}

function loginInWords({ login }: Spoken & { kind: 'registry' }): string {
  if (login.kind === 'token') return `tokens of ${login.realm}`;
  return { none: 'no login', basic: 'a password', unknown: 'an unknown login' }[login.kind];
}
