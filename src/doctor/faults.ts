import { LOGIN_401, MINIMUM, SAME_REDIS, SAN, type Advice } from './advice.ts';

/** The codes whose usual level is FAIL, in the order of the report. */
export const FAULTS = {
  TCP: {
    level: 'FAIL',
    users: 'clients bound to this node wait or fail, until a health check takes it out',
    mend:
      'Start the registry; look at http.addr (:5000 listens on all addresses), the published port, the firewall, and ' +
      'the address in balancer.yml.',
  },
  TLS_PLAIN_HTTP: {
    level: 'FAIL',
    users: "docker: 'http: server gave HTTP response to HTTPS client'",
    mend: `Set http.tls.certificate and http.tls.key on this node. ${MINIMUM}`,
  },
  TLS_HANDSHAKE: {
    level: 'FAIL',
    users: "'tls: handshake failure', 'EOF' or a timeout, for every client bound to this node",
    mend:
      'Look at the log of this node, at http.tls (certificate and key belong together?), and at what listens on that ' +
      'port.',
  },
  CLIENT_CERT: {
    level: 'FAIL',
    users:
      "docker: 'remote error: tls: certificate required' or 'bad certificate', on every machine without client.cert " +
      'and client.key in /etc/docker/certs.d/NAME/',
    mend:
      'Set healthCheck.tls.cert and healthCheck.tls.key in balancer.yml to a certificate of an authority in the ' +
      "node's http.tls.clientcas: checks and the doctor show it. Every client needs a certificate, too.",
  },
  CERT_EXPIRED: {
    level: 'FAIL',
    users: "'x509: certificate has expired or is not yet valid'",
    mend: 'Renew the certificate and restart this node: a registry reads it only when it starts.',
  },
  CERT_NOT_YET_VALID: {
    level: 'FAIL',
    users: "'x509: certificate has expired or is not yet valid'",
    mend: 'Set the clock of the machine that issued it, or wait; then issue it again.',
  },
  CERT_UNTRUSTED: {
    level: 'FAIL',
    users: "'x509: certificate signed by unknown authority'",
    mend:
      'Sign it with the authority that clients trust, send the intermediate certificates with it (one file, the node ' +
      'first), and put the authority in /etc/docker/certs.d/NAME/ca.crt on every client. If you use your own ' +
      'authority, tell the doctor with --ca FILE. The password is not sent to a node that is not trusted, so nothing ' +
      'more is known of this one.',
  },
  CERT_WRONG_NAME: {
    level: 'FAIL',
    users: "'x509: certificate is valid for …, not …'",
    mend:
      `${SAN} Every node needs the public name, not its own. The password is not sent to a node with another name, ` +
      'so nothing more is known of this one.',
  },
  CERT_NO_SAN: {
    level: 'FAIL',
    users:
      "docker, podman and skopeo: 'x509: certificate relies on legacy Common Name field, use SANs instead'; curl " +
      'accepts it, so a try with curl misleads',
    mend: SAN,
  },
  UNHEALTHY_503: {
    level: 'FAIL',
    users: 'every request is answered 503; a push or pull through this node fails',
    mend:
      "The node's own health check has failed: look at /debug/health and at its log; mostly the storage is not " +
      'mounted, full or read-only.',
  },
  V2_STATUS: {
    level: 'FAIL',
    users: "'unexpected status code', or a client that waits",
    mend:
      'What listens there does not answer as a registry does: look at its log, at http.prefix, and at what stands ' +
      'between (a proxy, a portal).',
  },
  NO_AUTH: {
    level: 'FAIL',
    users: 'anyone who reaches this node can push, pull and delete',
    mend: `Set auth.htpasswd (realm and path) on this node, the same as on the others. ${MINIMUM}`,
  },
  REALM_DIFFERS: {
    level: 'FAIL',
    users: 'a client that was asked by one node is asked again, or elsewhere for a token, by the next: unauthorized',
    mend: 'Set the same auth section (realm; with tokens: service and issuer) on every node.',
  },
  AUTH_REJECTED: {
    level: 'FAIL',
    users: "docker login: 'unauthorized'; 401 Unauthorized",
    mend: `${LOGIN_401} Where a token server checks the password, the user is to be looked for there.`,
  },
  TOKEN_SERVER: {
    level: 'FAIL',
    users: 'no login, push or pull that needs a token works, whichever node it reaches',
    mend:
      'See that the token server runs and can be reached from here, at the realm of auth.token; that its certificate ' +
      'is signed by an authority of this system or of --ca; and that it answers with a token.',
  },
  TOKEN_REJECTED: {
    level: 'FAIL',
    users: "docker login succeeds, and every push and pull fails with 'unauthorized'",
    mend:
      "Compare auth.token of the nodes with the token server: rootcertbundle (or jwks) must hold the token server's " +
      'certificate, issuer and service must be the same on both sides, and so must the clocks.',
  },
  TOKEN_DIFFERS: {
    level: 'FAIL',
    users: "a push or pull is 'unauthorized' on one node and not on the next; stickiness hides it until a client moves",
    mend:
      'Put the same auth.token (rootcertbundle or jwks, issuer, service) on every node, restart the nodes that ' +
      'refuse the token, which read it only when they start, and compare their clocks.',
  },
  REPOSITORY_DENIED: {
    level: 'FAIL',
    users: 'nothing: this user may not pull from or push to the repository that the doctor tries',
    mend:
      'Give the user the right to pull from and push to the repository, or name with --repo one that the user has. ' +
      'Storage, secret and cache were not looked at.',
  },
  HTPASSWD_BROKEN: {
    level: 'FAIL',
    users: 'every login fails with 400 Bad Request, whoever asks',
    mend:
      "A line of the password file of this node has no ':' in it; look for stray text, such as an error message. " +
      '`htpasswd -Bbn USER PASS > auth/htpasswd` makes it anew.',
  },
  AUTH_DIFFERS: {
    level: 'FAIL',
    users:
      'a login works on one node and is unauthorized on the next; a push stays whole only as long as its client ' +
      'stays on one node',
    mend: 'Put the same password file and the same auth section on every node.',
  },
  STORAGE_HANG: {
    level: 'FAIL',
    users: 'pushes and pulls hang, while /v2/, docker login and simple health checks go on working',
    mend:
      'Look at the mount on this node (`ls` in it hangs, too) and at the server of the storage. In balancer.yml, ' +
      'healthCheck: { type: registry, storage: { repository: … } } takes such a node out.',
  },
  STORAGE_ERROR: {
    level: 'FAIL',
    users: 'pushes and pulls through this node fail, mostly with 500 Internal Server Error',
    mend: "Look at the log of this node: the storage is full, not mounted, or not the registry user's to read.",
  },
  UPLOAD_START: {
    level: 'FAIL',
    users: 'no push through this node works; pulls do',
    mend:
      'Remove storage.maintenance.readonly and proxy.remoteurl (a pull-through cache takes no pushes) from this ' +
      'node, or see that its storage can be written to.',
  },
  SECRET_DIFFERS: {
    level: 'FAIL',
    users:
      "without stickiness every push fails with 'blob upload invalid'; docker tries for more than a minute before it " +
      'says so',
    mend:
      'Set http.secret (REGISTRY_HTTP_SECRET) to the same long random text on every node: where it is not set, each ' +
      'makes up its own at each start.',
  },
  STORAGE_NOT_SHARED: {
    level: 'FAIL',
    users:
      "the client that pushed an image can pull it, every other gets 404; without stickiness pushes fail with 'blob " +
      "upload unknown to registry'",
    mend:
      'Give every node the same storage: the same mounted directory (is it mounted, in the container too?) or the ' +
      'same bucket and rootdirectory.',
  },
  STORAGE_LAG: {
    level: 'FAIL',
    users:
      "without stickiness pushes fail with 'blob upload unknown', 'blob upload invalid' or 500 Internal Server " +
      'Error; a pull right after a push may get 404 on another node',
    mend:
      'The storage is shared, but a node sees what another wrote only later: a mount that caches. Keep stickTable on ' +
      'for this backend; or mount without caching of attributes and entries, above all of what was missing (MooseFS: ' +
      'mfsattrcacheto=0,mfsentrycacheto=0,mfsdirentrycacheto=0,mfsnegentrycacheto=0; NFS: actimeo=0,' +
      'lookupcache=none).',
  },
  LOCATION_HOST: {
    level: 'FAIL',
    users: 'a push goes on at another address than it began: it fails, or goes past the balancer',
    mend:
      'Remove http.host from the configuration of this node, or set it to https://NAME; http.relativeurls: true also ' +
      'does.',
  },
  BLOB_NOT_SHARED: {
    level: 'FAIL',
    users: "pulls work on some nodes and fail with 'blob unknown to registry' on others",
    mend: 'Give every node the same storage (rootdirectory, bucket, mount).',
  },
  CACHE_LIES: {
    level: 'FAIL',
    users:
      'a push reports success with its layers scattered over the nodes; a pull ends in the middle, or with a digest ' +
      'that does not match',
    mend:
      'The nodes share a Redis and not their storage. Share the storage; then push again what was pushed ' +
      'meanwhile.',
  },
  CACHE_NOT_SHARED: {
    level: 'FAIL',
    users: "after a delete a later push skips layers that are gone, and its pulls fail with 'blob unknown'",
    mend: `Each node remembers blobs on its own (cache inmemory, or a Redis of its own). ${SAME_REDIS}`,
  },
  DEBUG_HEALTH: {
    level: 'FAIL',
    users: 'the node answers 503 to everything, or is about to',
    mend:
      'See to what the page names; where it does not answer: http.debug.addr of that node, and whether this machine ' +
      'may reach it.',
  },
  REDIS_DIFFERS: {
    level: 'FAIL',
    users: 'after a delete a later push skips layers that are gone',
    mend: SAME_REDIS,
  },
} as const satisfies Record<string, Advice>;
