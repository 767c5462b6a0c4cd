import type { Backend } from './pool/backend.ts';
import { Rate } from './pool/rate.ts';
import type { Frontend } from './proxy/frontend.ts';

type Counted = object;

/**
 * How fast the counts of frontends and servers grow. The sweep, which there is anyway, looks at them once a second; so
 * they cost no timer, and a few multiplications for each server.
 */
export class Rates {
  readonly #rates = new WeakMap<Counted, Map<string, Rate>>();

  /** To be called about once a second. */
  look(frontends: readonly Frontend[], backends: readonly Backend[], nowMs: number): void {
    for (const frontend of frontends) this.#look(frontend, 'connections', frontend.accepted, nowMs);
    for (const { servers } of backends) {
      for (const server of servers) {
        const { connections, in: bytesIn, out } = server.traffic;
        this.#look(server, 'connections', connections, nowMs);
        this.#look(server, 'in', bytesIn, nowMs);
        this.#look(server, 'out', out, nowMs);
      }
    }
  }

  /** An average of about the last ten seconds, rounded to what a reader can use. */
  of(counted: Counted, what: 'connections' | 'in' | 'out'): number {
    const perSecond = this.#rates.get(counted)?.get(what)?.perSecond ?? 0;
    return what === 'connections' ? Math.round(perSecond * 100) / 100 : Math.round(perSecond);
  }

  #look(counted: Counted, what: string, total: number, nowMs: number): void {
    let rates = this.#rates.get(counted);
    if (!rates) this.#rates.set(counted, (rates = new Map()));
    const rate = rates.get(what);
    if (rate) rate.look(total, nowMs);
    else rates.set(what, new Rate(total, nowMs));
  }
}
