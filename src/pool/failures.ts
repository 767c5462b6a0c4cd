/** The values of the label `reason` of berth_server_connect_errors_total. */
export const CONNECT_FAILURES = [
  'refused',
  'unreachable',
  'timeout',
  'reset',
  'no_port',
  'resources',
  'other',
] as const;
/** Why a connection to a server did not come about; `text` is in words for an operator. */
export type ConnectFailure = {
  readonly reason: (typeof CONNECT_FAILURES)[number];
  readonly text: string;
};

const KNOWN: Record<string, ConnectFailure> = {
  ECONNREFUSED: { reason: 'refused', text: 'connection refused' },
  EHOSTUNREACH: { reason: 'unreachable', text: 'host unreachable' },
  EHOSTDOWN: { reason: 'unreachable', text: 'host is down' },
  ENETUNREACH: { reason: 'unreachable', text: 'network unreachable' },
  ENETDOWN: { reason: 'unreachable', text: 'network is down' },
  // This machine's rules for this address: another server may be allowed.
  EPERM: { reason: 'other', text: 'a firewall of this machine forbids the connect (EPERM)' },
  EACCES: { reason: 'other', text: 'SELinux, or a route of this machine, forbids the connect (EACCES)' },
  EAFNOSUPPORT: { reason: 'other', text: 'this machine has no IPv6 (EAFNOSUPPORT)' },
  EINVAL: {
    reason: 'other',
    text: 'no way to the address (EINVAL): a blackhole route, or a link-local address without its %interface',
  },
  ETIMEDOUT: { reason: 'timeout', text: 'connect timed out' },
  ECONNRESET: { reason: 'reset', text: 'connection reset' },
  // This machine lacks what the following need, and the server is not to blame: they must never count against a server.
  EMFILE: { reason: 'resources', text: 'out of file descriptors' },
  ENFILE: { reason: 'resources', text: 'the system is out of file descriptors' },
  ENOBUFS: { reason: 'resources', text: 'out of socket buffers' },
  ENOMEM: { reason: 'resources', text: 'out of memory' },
};

/** A matter of one server, or of one source address: another server or source may have ports left. */
const NO_PORT = ['EADDRNOTAVAIL', 'EADDRINUSE'];

/** By the `code` of the error that a socket gave while it was connecting; an unknown code is 'other'. */
export function connectFailure(error: NodeJS.ErrnoException): ConnectFailure {
  if (NO_PORT.includes(error.code ?? '')) return { reason: 'no_port', text: noPort(error) };
  return KNOWN[error.code ?? ''] ?? { reason: 'other', text: error.code ?? error.message };
}

/** After a bind, which names the address: this machine does not have it. */
function noPort({ code, syscall, address }: NodeJS.ErrnoException & { address?: string }): string {
  if (syscall === 'bind' && code === 'EADDRNOTAVAIL') return `${address} is no address of this machine`;
  return 'out of local ports towards this server';
}
