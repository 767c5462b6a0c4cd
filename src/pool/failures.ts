/** Why a connection to a server did not come about: the label of a metric, and words for an operator. */
export const CONNECT_FAILURES = ['refused', 'unreachable', 'timeout', 'reset', 'resources', 'other'] as const;
export type ConnectFailure = {
  readonly reason: (typeof CONNECT_FAILURES)[number];
  readonly text: string;
};

const KNOWN: Record<string, ConnectFailure> = {
  ECONNREFUSED: { reason: 'refused', text: 'connection refused' },
  EHOSTUNREACH: { reason: 'unreachable', text: 'host unreachable' },
  EHOSTDOWN: { reason: 'unreachable', text: 'host is down' },
  ENETUNREACH: { reason: 'unreachable', text: 'network unreachable' },
  ETIMEDOUT: { reason: 'timeout', text: 'connect timed out' },
  ECONNRESET: { reason: 'reset', text: 'connection reset' },
  // These are this machine's want, not the server's fault: they must never count against a server.
  EMFILE: { reason: 'resources', text: 'out of file descriptors' },
  ENFILE: { reason: 'resources', text: 'the system is out of file descriptors' },
  ENOBUFS: { reason: 'resources', text: 'out of socket buffers' },
  ENOMEM: { reason: 'resources', text: 'out of memory' },
  EADDRNOTAVAIL: { reason: 'resources', text: 'out of local ports' },
};

export function connectFailure(error: NodeJS.ErrnoException): ConnectFailure {
  return KNOWN[error.code ?? ''] ?? { reason: 'other', text: error.code ?? error.message };
}
