/** ClientHellos for tests: made field by field, cut into records, and caught from real clients. */
import { createServer, type AddressInfo } from 'node:net';

const uint = (value: number, width: number): Buffer => {
  const bytes = Buffer.alloc(width);
  if (width > 0) bytes.writeUIntBE(value, 0, width);
  return bytes;
};
export const vector = (width: number, ...parts: readonly Uint8Array[]): Buffer => {
  const bytes = Buffer.concat(parts);
  return Buffer.concat([uint(bytes.length, width), bytes]);
};
export const extension = (type: number, data: Uint8Array): Buffer => Buffer.concat([uint(type, 2), vector(2, data)]);

/** The server_name extension; each name is a host_name unless it says another type. */
export function serverName(...names: readonly (string | readonly [type: number, name: string])[]): Buffer {
  const entries = names.map((entry) => {
    const [type, name] = typeof entry === 'string' ? ([0, entry] as const) : entry;
    return Buffer.concat([uint(type, 1), vector(2, Buffer.from(name, 'latin1'))]);
  });
  return extension(0, vector(2, ...entries));
}

export type HelloFields = {
  readonly sessionId?: Buffer;
  readonly cipherSuites?: Buffer;
  readonly compressionMethods?: Buffer;
  /** `undefined` is a hello that ends before them. */
  readonly extensions?: readonly Buffer[] | undefined;
};

/** The handshake message, without a record around it. */
export function helloMessage(fields: HelloFields = {}): Buffer {
  const { sessionId = Buffer.alloc(32, 7), cipherSuites = Buffer.from('130113021303c02f', 'hex') } = fields;
  const { compressionMethods = Buffer.from([0]) } = fields;
  const extensions = 'extensions' in fields ? fields.extensions : [];
  const body = [uint(0x0303, 2), Buffer.alloc(32, 0xaa), vector(1, sessionId), vector(2, cipherSuites)];
  body.push(vector(1, compressionMethods), ...(extensions ? [vector(2, ...extensions)] : []));
  return Buffer.concat([uint(1, 1), vector(3, ...body)]);
}

/** A message as records of handshake type, the last of which takes what is left over. */
export function records(message: Buffer, ...sizes: readonly number[]): Buffer {
  const pieces: Buffer[] = [];
  let rest = message;
  for (const size of [...sizes, message.length]) {
    if (rest.length > 0) pieces.push(rest.subarray(0, size));
    rest = rest.subarray(size);
  }
  return Buffer.concat(pieces.map((piece) => Buffer.concat([uint(0x160301, 3), vector(2, piece)])));
}

/** What the records carry. */
export function messageOf(wire: Buffer): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; at < wire.length;) {
    const size = wire.readUInt16BE(at + 3);
    pieces.push(wire.subarray(at + 5, at + 5 + size));
    at += 5 + size;
  }
  return Buffer.concat(pieces);
}

/**
 * The bytes that reach a plain listener, until `isEnough` or the peer ends; then it hangs up. `connect` makes somebody
 * connect.
 */
export async function firstBytes(
  connect: (port: number) => void,
  isEnough: (bytes: Buffer) => boolean,
  listen: { readonly host: string } = { host: '127.0.0.1' },
): Promise<Buffer> {
  let settle!: { resolve: (bytes: Buffer) => void; reject: (error: Error) => void };
  const caught = new Promise<Buffer>((resolve, reject) => (settle = { resolve, reject }));
  const server = createServer((socket) => {
    let bytes = Buffer.alloc(0);
    socket.on('error', () => {});
    socket.on('data', (data) => {
      bytes = Buffer.concat([bytes, data]);
      if (isEnough(bytes)) socket.destroy();
    });
    socket.on('close', () => settle.resolve(bytes));
  });
  server.listen(0, listen.host, () => connect((server.address() as AddressInfo).port));
  const timer = setTimeout(() => settle.reject(new Error('nobody connected')), 20_000);
  try {
    return await caught;
  } finally {
    clearTimeout(timer);
    server.close();
  }
}
