import type { EventLine } from './answers.ts';
import { ApiError, type Api } from './api.ts';
import { EventText } from './event-text.ts';

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 10_000;
/** The balancer sends a comment every 15 s: a stream that is silent for longer is dead. */
const SILENCE_MS = 40_000;
const RECENT = 50;

export type Listener = {
  readonly event: (line: EventLine) => void;
  /** The stream has begun, or has ended for a reason. */
  readonly opened: () => void;
  readonly broke: (error: ApiError) => void;
};

/** The events of the balancer, as they happen. A stream that breaks is begun anew where the last one ended. */
export class Live {
  readonly #api: Api;
  readonly #listener: Listener;
  #text = new EventText();
  #stop: AbortController | undefined;
  #isOpen = false;
  #retryMs = FIRST_RETRY_MS;
  #retry: number | undefined;

  constructor(api: Api, listener: Listener) {
    this.#api = api;
    this.#listener = listener;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Begins a stream where there is none and none is to be tried later. */
  open(): void {
    if (this.#stop || this.#retry !== undefined) return;
    const stop = new AbortController();
    this.#stop = stop;
    void this.#read(stop).catch((error: unknown) => {
      if (this.#stop !== stop) return;
      this.#stop = undefined;
      this.#isOpen = false;
      this.#again();
      this.#listener.broke(
        error instanceof ApiError ? error : new ApiError('silent', 0, 'the events broke off', error),
      );
    });
  }

  close(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    const stop = this.#stop;
    this.#stop = undefined;
    this.#isOpen = false;
    stop?.abort();
  }

  #again(): void {
    this.#retry = window.setTimeout(
      () => {
        this.#retry = undefined;
        this.open();
      },
      this.#retryMs * (0.75 + Math.random() / 2),
    );
    this.#retryMs = Math.min(LONGEST_RETRY_MS, this.#retryMs * 2);
  }

  /** Of another process of the balancer, whose events begin anew. */
  startOver(): void {
    this.close();
    this.#text = new EventText();
  }

  async #read(stop: AbortController): Promise<never> {
    const { id } = this.#text;
    const headers: Record<string, string> = id === '' ? {} : { 'last-event-id': id };
    const response = await this.#api.stream(`events?recent=${id === '' ? RECENT : 0}`, headers, stop.signal);
    if (!response.body) throw new ApiError('silent', response.status, 'the events have no body');
    this.#retryMs = FIRST_RETRY_MS;
    this.#isOpen = true;
    this.#listener.opened();
    const text = new EventText();
    text.id = id;
    this.#text = text;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const silent = window.setTimeout(() => stop.abort(), SILENCE_MS);
      const { done, value } = await reader.read().finally(() => clearTimeout(silent));
      if (done) throw new ApiError('silent', 0, 'the events ended');
      for (const event of text.take(value)) this.#tell(event.data);
    }
  }

  #tell(data: string): void {
    let line: unknown;
    try {
      line = JSON.parse(data);
    } catch {
      return;
    }
    if (typeof line === 'object' && line !== null) this.#listener.event(line as EventLine);
  }
}
