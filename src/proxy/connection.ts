import type { Socket } from 'node:net';
import type { Backend } from '../pool/backend.ts';
import type { Server } from '../pool/server.ts';
import type { Stay } from '../pool/stay.ts';
import type { Access } from './admission/access.ts';
import * as preface from './admission/preface.ts';
import { Client, type Undecided } from './client.ts';
import { Meter } from './meter.ts';
import { isRefusal, PREFACE_ENDS, type Account, type NoBackend, type ProxyObserver, type Refusal } from './observer.ts';
import { endOf, formatAddress, round, type Address, type End, type Phase, type Standing } from './record.ts';
import type { RelayBuffers } from './relay/buffers.ts';
import { Relay } from './relay/relay.ts';
import type { Sockets, Wire } from './relay/sockets.ts';
import { Search } from './search.ts';
import { mustAdvertise, routeFor, type Terms } from './terms.ts';
import { headerFor, type Who } from './who.ts';

/** What a connection needs of its frontend beside its terms. */
export type Surroundings = {
  readonly frontend: string;
  readonly access: Access;
  readonly sockets: Sockets;
  readonly buffers: RelayBuffers;
  readonly observer: ProxyObserver;
};

/** One client's connection, from the accept to its record. */
export class Connection {
  /** No other connection of this process has, or had, the same. */
  readonly id: number;
  readonly #peer: Address | undefined;
  readonly #terms: Terms;
  readonly #around: Surroundings;
  readonly #client: Client;
  readonly #startedMs = performance.now();
  #who: Who;
  /** The client has said nothing yet, and is waited for; `timeouts.idle` bounds that. */
  #isSilent = false;
  #serverName: string | undefined;
  #backend: Backend | undefined;
  #stay: Stay | undefined;
  /** The search for a server; undefined before the first bytes have led to a backend. */
  #search: Search | undefined;
  #relay: Relay | undefined;
  #meter: Meter | undefined;
  /** This machine's address towards the server. */
  #from: string | undefined;
  /** The end, if Berth itself ends the connection: for the operator, for its server, or by a rule. */
  #cut: End | undefined;
  #endedMs: number | undefined;

  /** `peer` is undefined on a unix socket. */
  constructor(id: number, accepted: Socket, peer: Address | undefined, terms: Terms, around: Surroundings) {
    this.id = id;
    this.#peer = peer;
    this.#who = { client: peer, destination: undefined, proxied: false };
    this.#terms = terms;
    this.#around = around;
    this.#client = new Client(accepted, around.sockets, around.buffers);
  }

  /** The server that the connection is joined to; undefined while a server is only dialled. */
  get server(): Server | undefined {
    return this.#relay && this.#search?.server;
  }

  /** The connection's whole life; resolves when it is over and recorded. */
  async run(): Promise<void> {
    const { access } = this.#around;
    // Most connections need not wait before their server is dialled, and a promise costs a new connection CPU.
    const deadlineMs = this.#startedMs + this.#terms.config.prefaceTimeout;
    const unclear = mustAdvertise(this.#terms, this.#peer?.address) ? await this.#readWho(deadlineMs) : undefined;
    if (unclear) return this.#turnAway(unclear);
    const { client } = this.#who;
    const refusal = client && access.admit(this.#terms.access, client.address);
    if (refusal) return this.#turnAway(refusal);
    let end: End | NoBackend;
    try {
      end = await this.#serve(deadlineMs);
    } finally {
      if (client) access.leave(this.#terms.access, client.address);
    }
    if (isRefusal(end)) this.#turnAway(end);
    else this.#record(end);
  }

  /** Ends the connection on behalf of the operator (`K`), or because its server was marked down (`D`). */
  kill(who: 'K' | 'D'): void {
    if (this.#relay?.end === undefined) this.#cut ??= `${who}${this.#phase}`;
    if (this.#relay) this.#relay.close();
    else this.#client.close();
  }

  /** To be called about once a second: ends the connection if it is idle, and adds to the server's counters. */
  sweep(nowMs: number): void {
    if (this.#isSilent && nowMs - this.#startedMs >= this.#terms.timeouts.idle) this.#client.close();
    this.#relay?.sweep(nowMs, this.#terms.timeouts);
    this.#meter?.sweep(nowMs);
  }

  /** How the connection stands now. */
  get standing(): Standing {
    const phase = this.#phase;
    const search = this.#search;
    return {
      id: this.id,
      frontend: this.#around.frontend,
      backend: this.#backend?.name,
      server: phase === 'R' || phase === 'Q' ? undefined : search?.server?.name,
      client: formatAddress(this.#who.client),
      key: this.#stay?.client,
      from: this.#from,
      sni: this.#serverName,
      phase,
      startedMs: this.#startedMs,
      movedMs: this.#relay?.movedMs ?? this.#startedMs,
      ...this.#bytes,
      perSecond: this.#meter?.perSecond ?? { in: 0, out: 0 },
    };
  }

  get #phase(): Phase {
    if (!this.#relay) return this.#search?.stage ?? 'R';
    return this.#relay.lastBytes ? 'L' : 'D';
  }

  /** Reads who the client is from the PROXY header of a proxy in front. */
  async #readWho(deadlineMs: number): Promise<Refusal | undefined> {
    const header = await preface.readProxyHeader(this.#client, deadlineMs);
    if (typeof header === 'string') return header;
    // UNKNOWN and LOCAL are the proxy's own connections, such as its health checks.
    this.#who = { client: header.source ?? this.#peer, destination: header.destination, proxied: true };
    return undefined;
  }

  /** An admitted connection, to its end; or why there is no backend for it. */
  async #serve(deadlineMs: number): Promise<End | NoBackend> {
    if (this.#terms.config.waitForClient && this.#client.first.length === 0) {
      this.#isSilent = true;
      if (!(await preface.hasSpoken(this.#client))) return 'client_silent';
      this.#isSilent = false;
      deadlineMs = performance.now() + this.#terms.config.prefaceTimeout;
    }
    if (this.#terms.sni.size > 0) this.#serverName = await preface.readServerName(this.#client, deadlineMs);
    if (this.#client.isGone) return 'client_left';
    const backend = routeFor(this.#terms, this.#serverName);
    if (!backend) return 'server_name_unknown';
    this.#backend = backend;
    const stay = backend.open(this.#who.client?.address);
    this.#stay = stay;
    const account = this.#around.observer.arrived(backend, stay.client ?? 'unix', this.#startedMs);
    try {
      const search = new Search(this.#client, backend, stay, this.#terms, this.#around);
      this.#search = search;
      const reached = await search.run();
      if (reached.kind === 'server') return await this.#join(reached.server, reached.wire, account);
      this.#client.refuse();
      return this.#cut ?? reached.end;
    } finally {
      stay.close();
      this.#endedMs = performance.now();
      if (this.#meter) this.#meter.close(this.#endedMs);
      else account.left(0, 0, this.#endedMs);
    }
  }

  /** Joins the client to its server, in the tick in which that has connected. */
  async #join(server: Server, wire: Wire, account: Account): Promise<End> {
    const { sockets, buffers } = this.#around;
    // Ended between the connect and here: no relay would hear of it.
    if (this.#client.isGone) {
      wire.socket.destroy();
      server.releaseSlot();
      return this.#cut ?? 'CC';
    }
    // One system call, and only now: a socket that is closed does not know it any more.
    const { localAddress: address, localPort: port } = wire.socket;
    if (address !== undefined && port !== undefined) this.#from = formatAddress({ address, port });
    const relay = new Relay(this.#client.wire, wire, sockets, buffers);
    this.#relay = relay;
    account.joined(server);
    this.#meter = new Meter(relay, server, account);
    this.#begin(relay, wire, headerFor(server, this.#who, this.#client));
    const end = await relay.ended;
    server.releaseSlot();
    return end.kind === 'closed' ? (this.#cut ?? '--') : endOf(end);
  }

  /** A PROXY header of a client that may not send any must not reach a server, which could believe it. */
  #begin(relay: Relay, wire: Wire, header: Buffer | undefined): void {
    const client = this.#client;
    // Where the client has said nothing yet the header goes alone: a server that speaks first may wait for it.
    const alone = header !== undefined && client.first.length === 0;
    if (alone) wire.socket.write(header);
    const rest = alone ? undefined : header;
    const verdict = this.#who.proxied ? preface.HARMLESS : preface.judge(client.first);
    if (verdict) this.#forward(relay, verdict, rest);
    else void client.peek(preface.judge, Infinity).then((seen) => this.#forward(relay, seen, rest));
  }

  #forward(relay: Relay, verdict: preface.Verdict | Undecided, header: Buffer | undefined): void {
    if (relay.end !== undefined) return;
    if (typeof verdict === 'object' && verdict.isHeader) {
      this.#refused('proxy_header_forbidden');
      this.#cut ??= 'PR';
      relay.reject();
    } else relay.forward({ header, first: this.#client.take(), finished: this.#client.hasFinished });
  }

  /** What has come and was never forwarded counts too. */
  get #bytes(): { readonly in: number; readonly out: number } {
    return { in: Math.max(this.#relay?.bytesIn ?? 0, this.#client.first.length), out: this.#relay?.bytesOut ?? 0 };
  }

  #turnAway(reason: Refusal): void {
    const end = this.#cut ?? PREFACE_ENDS[reason];
    this.#client.refuse();
    this.#refused(reason);
    if (end) this.#record(end);
  }

  #refused(reason: Refusal): void {
    this.#around.observer.refused(this.#around.frontend, reason, formatAddress(this.#who.client));
  }

  #record(end: End): void {
    const { server, via, retries = 0, connectMs, queueMs = 0, sharedMs = 0 } = this.#search ?? {};
    const { in: bytesIn, out: bytesOut } = this.#bytes;
    this.#around.observer.ended(
      {
        frontend: this.#around.frontend,
        backend: this.#backend?.name,
        server: server?.name,
        client: formatAddress(this.#who.client),
        sni: this.#serverName,
        from: this.#from,
        via,
        retries,
        in: bytesIn,
        out: bytesOut,
        connectMs: connectMs === undefined ? undefined : round(connectMs),
        queueMs: round(queueMs),
        sharedMs: sharedMs === 0 ? undefined : round(sharedMs),
        durationMs: round((this.#endedMs ?? performance.now()) - this.#startedMs),
        end,
      },
      this.#backend,
    );
  }
}
