import { AdminServer } from './admin/admin-server.ts';
import { end, type HttpAddress, type OpenedHttp } from './admin/http-address.ts';
import { metricsServer, type MetricsParts } from './admin/metrics-server.ts';
import { STANDARD_ADMIN, type Config } from './config/schema.ts';
import type { Control } from './control.ts';
import { StartError } from './errors.ts';
import type { Listeners } from './listen.ts';
import type { Log } from './log.ts';

/** What is opened for a configuration that is not in force yet. `admin` is 'none' where nothing may be opened. */
export type OpenedAddresses = {
  readonly metrics: OpenedHttp | undefined;
  readonly admin: OpenedHttp | undefined | 'none';
};

/** The metrics and admin addresses. */
export class Addresses {
  readonly #metrics: HttpAddress;
  readonly #admin: AdminServer;
  readonly #log: Log;

  constructor(parts: MetricsParts, control: Control, log: Log, listeners: Listeners) {
    this.#metrics = metricsServer(parts, listeners);
    this.#admin = new AdminServer(control, listeners);
    this.#log = log;
  }

  /**
   * Opens what the configuration adds, beside what is there, for `use` or `discard`; of the admin address only one that it
   * names. Rejects with a StartError.
   */
  async open(config: Config): Promise<OpenedAddresses> {
    const metrics = await this.#metrics.open(config.metrics.bind);
    try {
      return { metrics, admin: config.admin ? await this.#admin.open(config.admin) : 'none' };
    } catch (error) {
      if (metrics) end(metrics.server);
      throw error;
    }
  }

  /**
   * The admin address that nobody asked for, when all is open that somebody did ask for: neither that nor a second balancer
   * on one machine must fail for it.
   */
  async openStandard({ metrics, admin }: OpenedAddresses, config: Config): Promise<OpenedAddresses> {
    if (config.admin) return { metrics, admin };
    try {
      return { metrics, admin: await this.#admin.open(STANDARD_ADMIN) };
    } catch (error) {
      if (!(error instanceof StartError)) throw error;
      const why = error.code === 'EADDRINUSE' ? `${STANDARD_ADMIN.bind.text} is taken` : error.message;
      this.#log.warn(`no admin address: ${why}. Set admin.bind to have one`);
      return { metrics, admin: 'none' };
    }
  }

  use({ metrics, admin }: OpenedAddresses, config: Config): void {
    if (metrics) {
      this.#metrics.use(metrics);
      this.#log.info({ address: this.#metrics.address }, 'metrics listening');
    }
    if (admin === 'none') return this.#admin.close();
    this.#admin.use(admin, config.admin ?? STANDARD_ADMIN);
    if (admin) this.#log.info({ address: this.#admin.address }, 'admin listening');
  }

  discard({ metrics, admin }: OpenedAddresses): void {
    for (const opened of [metrics, admin]) if (typeof opened === 'object') end(opened.server);
  }

  close(): void {
    this.#metrics.close();
    this.#admin.close();
  }
}
