import type { Advice } from './advice.ts';
import { FAULTS } from './faults.ts';

/** Every code of a finding. Within a level the report has its findings in this order. */
export const CATALOG = {
  ...FAULTS,
  CERT_EXPIRES_SOON: {
    level: 'WARN',
    users: "soon: 'x509: certificate has expired'",
    mend: 'Renew the certificate and restart this node: a registry reads it only when it starts.',
  },
  CERT_DIFFERS: {
    level: 'WARN',
    users: 'nothing while all of them are good; one that is forgotten at the next renewal breaks one node alone',
    mend: 'Put the same certificate and key on every node.',
  },
  API_HEADER: {
    level: 'WARN',
    users: 'older docker clients take it for a registry of version 1, or for none',
    mend:
      'Something between rewrites headers, or it is no registry: it should send Docker-Distribution-Api-Version: ' +
      'registry/2.0.',
  },
  TOKEN_SHORT: {
    level: 'WARN',
    users: "a push of a large layer outlives its token and fails with 'unauthorized'",
    mend: 'Let the token server give tokens that live for five minutes or more.',
  },
  NO_CREDENTIALS: {
    level: 'INFO',
    users: 'nothing',
    mend: 'Without --user and --password-stdin, users, storage, secret and cache were not looked at.',
  },
  BCRYPT_SLOW: {
    level: 'WARN',
    users: 'each request pays it, some 30 in one docker push: pushes and pulls are slow and the CPU is busy',
    mend: 'Make the hash anew with a lower cost: `htpasswd -B -C 5`, with a long random password.',
  },
  STORAGE_SLOW: {
    level: 'WARN',
    users: 'pushes and pulls are slow',
    mend: 'Look at the mount and the server of the storage: load, network, a disk that is failing.',
  },
  CLOCK: {
    level: 'WARN',
    users:
      'tokens and certificates are refused too early or too late, and logs of two nodes cannot be laid side by side',
    mend: 'Run chrony or systemd-timesyncd on the nodes, and on the machine that the doctor runs on.',
  },
  REDIS_NO_TIMEOUT: {
    level: 'WARN',
    users: 'when Redis freezes, every request for a blob hangs with it',
    mend: 'Set redis.dialtimeout, redis.readtimeout and redis.writetimeout, for example 100ms.',
  },
  REDIS_PASSWORD_SHOWN: {
    level: 'WARN',
    users: 'nothing; but whoever reaches the debug address can read the password of Redis at /debug/vars',
    mend: 'Bind http.debug.addr to loopback or to a network of your own.',
  },
  DELETE: {
    level: 'INFO',
    users: 'images cannot be deleted; a small blob of the doctor stays in its repository',
    mend: 'Set storage.delete.enabled: true where deleting is wanted. Whether caches are shared was not looked at.',
  },
} as const satisfies Record<string, Advice>;

export type Code = keyof typeof CATALOG;
