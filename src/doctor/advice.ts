export type Level = 'FAIL' | 'WARN' | 'INFO';

/** What a code of the catalog tells: its usual level, what users see of the fault, and how to mend the fault. */
export type Advice = { readonly level: Level; readonly users: string; readonly mend: string };

/** Answers a question of those who follow a registry recipe. */
export const MINIMUM =
  'Is TLS or basic auth the minimum? A docker client that is not told otherwise needs TLS, with a subjectAltName, ' +
  'signed by an authority that it trusts. Basic auth is not needed to function; but without it anyone can push, and ' +
  'without TLS it is sent in clear.';

/** Answers another question of those who follow a registry recipe. */
export const LOGIN_401 =
  'Login gives 401 though user and password were set? The hash is not bcrypt, the only one a registry takes ' +
  '(htpasswd needs -B); or the file is empty, because > was missing from the recipe and the line went to the screen; ' +
  'or the user differs from node to node; or it is another password. registry:2 images carry no htpasswd program ' +
  'since 2020; with the one of apache2-utils: `htpasswd -Bbn USER PASS > auth/htpasswd`, and the same file on every ' +
  'node.';

export const SAN =
  'Issue the certificate with the public name as subjectAltName: openssl req … -addext "subjectAltName=DNS:NAME", ' +
  'or in the extensions file.';
export const SAME_REDIS =
  'Give every node the same Redis (redis.addr and redis.db) with cache.blobdescriptor: redis, or no cache at all.';
