/** A registry's wish for a token, as it stands in WWW-Authenticate (RFC 6750 section 3). */
export type BearerChallenge = {
  /** The token server's URL, as the node wrote it. */
  readonly realm: string;
  readonly service: string | undefined;
  /** Why the token that was shown is not good; undefined where none was. */
  readonly error: string | undefined;
};

type Challenge = { readonly scheme: string; readonly parameters: ReadonlyMap<string, string> };

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const SCHEME = new RegExp(`[ \\t,]*(${TOKEN})(?:[ \\t]+|(?=,|$))`, 'y');
const PARAMETER = new RegExp(
  `[ \\t,]*(${TOKEN})[ \\t]*=[ \\t]*(?:(${TOKEN})|"((?:[^"\\\\]|\\\\.)*)")[ \\t]*(?=,|$)`,
  'sy',
);
const TOKEN68 = /[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)/y;

/**
 * The first Bearer challenge with a realm in a WWW-Authenticate header, or in several headers that Node has joined;
 * undefined where there is none. The header is a stranger's: what follows the first fault is not read.
 */
export function bearerChallenge(header: string | undefined): BearerChallenge | undefined {
  for (const { scheme, parameters } of challenges(header ?? '')) {
    const realm = parameters.get('realm');
    if (scheme !== 'bearer' || realm === undefined) continue;
    return { realm, service: parameters.get('service'), error: parameters.get('error') };
  }
  return undefined;
}

/** By the grammar of RFC 9110 section 11.6.1; schemes and the names of parameters in lower case. */
function* challenges(header: string): Generator<Challenge> {
  let at = 0;
  const take = (part: RegExp): RegExpExecArray | undefined => {
    part.lastIndex = at;
    const match = part.exec(header) ?? undefined;
    if (match) at = part.lastIndex;
    return match;
  };
  for (let scheme = take(SCHEME); scheme; scheme = take(SCHEME)) {
    const parameters = new Map<string, string>();
    for (let parameter = take(PARAMETER); parameter; parameter = take(PARAMETER)) {
      const [, name = '', plain, quoted = ''] = parameter;
      if (!parameters.has(name.toLowerCase()))
        parameters.set(name.toLowerCase(), plain ?? quoted.replaceAll(/\\(.)/gs, '$1'));
    }
    if (parameters.size === 0) take(TOKEN68);
    yield { scheme: (scheme[1] ?? '').toLowerCase(), parameters };
  }
}
