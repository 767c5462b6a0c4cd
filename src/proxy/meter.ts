import { Rate } from '../pool/rate.ts';
import type { Server } from '../pool/server.ts';
import type { Account } from './observer.ts';
import type { Relay } from './relay/relay.ts';

/** A connection that moves fewer bytes a second has no rate, and no memory for one. */
const SLOWEST = 1;

type Rates = { readonly in: Rate; readonly out: Rate };

/** Looks now and then at what a relay has moved, and tells those who count: the server, and the client's account. */
export class Meter {
  readonly #relay: Relay;
  readonly #server: Server;
  readonly #account: Account;
  /** What was told so far. */
  #in = 0;
  #out = 0;
  #lookedMs: number;
  /** A connection that ends before the first sweep needs none. */
  #rates: Rates | undefined;

  constructor(relay: Relay, server: Server, account: Account) {
    this.#relay = relay;
    this.#server = server;
    this.#account = account;
    this.#lookedMs = relay.movedMs;
  }

  /** Bytes a second, of about the last ten seconds. */
  get perSecond(): { readonly in: number; readonly out: number } {
    return { in: this.#rates?.in.perSecond ?? 0, out: this.#rates?.out.perSecond ?? 0 };
  }

  /** To be called about once a second. */
  sweep(nowMs: number): void {
    const isQuiet = this.#relay.bytesIn === this.#in && this.#relay.bytesOut === this.#out;
    if (!isQuiet) {
      const [bytesIn, bytesOut] = this.#take();
      this.#account.moved(bytesIn, bytesOut, nowMs);
      this.#rates ??= {
        in: new Rate(this.#in - bytesIn, this.#lookedMs),
        out: new Rate(this.#out - bytesOut, this.#lookedMs),
      };
    }
    this.#lookedMs = nowMs;
    if (!this.#rates) return;
    this.#rates.in.look(this.#in, nowMs);
    this.#rates.out.look(this.#out, nowMs);
    if (this.#rates.in.perSecond + this.#rates.out.perSecond < SLOWEST) this.#rates = undefined;
  }

  /** The connection has ended. */
  close(nowMs: number): void {
    const [bytesIn, bytesOut] = this.#take();
    this.#account.left(bytesIn, bytesOut, nowMs);
  }

  /** What has moved since the last time. */
  #take(): [bytesIn: number, bytesOut: number] {
    const { bytesIn, bytesOut } = this.#relay;
    const fresh: [number, number] = [bytesIn - this.#in, bytesOut - this.#out];
    this.#in = bytesIn;
    this.#out = bytesOut;
    this.#server.traffic.in += fresh[0];
    this.#server.traffic.out += fresh[1];
    return fresh;
  }
}
