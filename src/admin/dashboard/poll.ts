/** Looks again after an event, when whatever else happens at that moment has happened too. */
const SOON_MS = 60;

/** Asks again and again, one question at a time, for as long as somebody looks. */
export class Poll {
  readonly #ask: () => Promise<void>;
  readonly #everyMs: () => number;
  #timer: number | undefined;
  #isAsking = false;
  #isSoon = false;
  #isOn = false;

  /** `ask` must not reject. */
  constructor(ask: () => Promise<void>, everyMs: () => number) {
    this.#ask = ask;
    this.#everyMs = everyMs;
  }

  start(): void {
    this.#isOn = true;
    this.soon();
  }

  /** Asks no more by itself. */
  pause(): void {
    this.#isOn = false;
  }

  /** Asks no more, not even what was to be asked in a moment. */
  stop(): void {
    [this.#isOn, this.#isSoon] = [false, false];
    clearTimeout(this.#timer);
  }

  /** Asks in a moment, once, even where nobody looks. */
  soon(): void {
    if (this.#isAsking) this.#isSoon = true;
    else this.#after(SOON_MS);
  }

  #after(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => void this.#turn(), ms);
  }

  async #turn(): Promise<void> {
    this.#isAsking = true;
    this.#isSoon = false;
    await this.#ask();
    this.#isAsking = false;
    if (this.#isSoon) this.#after(SOON_MS);
    else if (this.#isOn) this.#after(this.#everyMs());
  }
}
