import type { BackendStatus, EventLine, ServerStatus, Sessions, Status } from './answers.ts';
import { Announcer } from './announcer.ts';
import { Api, ApiError } from './api.ts';
import { backendPart, type Look } from './backend-part.ts';
import { changeDialog } from './change-dialog.ts';
import { titleOf } from './condition.ts';
import { byId, list, setAttribute, setHidden, setText } from './dom.ts';
import { eventsPart } from './events-part.ts';
import { findPart } from './find-part.ts';
import { clock } from './format.ts';
import { Live } from './live.ts';
import { loginPart } from './login-part.ts';
import { overview } from './overview.ts';
import { Poll } from './poll.ts';
import { sessionsPart } from './sessions-part.ts';

const POLL_MS = 2_000;
/** While the balancer says nothing. */
const KNOCK_MS = 1_000;
const MOST_SESSIONS = 20;
const ASLEEP = 'asleep · Berth';

/** Joins what the balancer says to the parts that show it. */
export class Page {
  readonly #api = new Api();
  readonly #announcer = new Announcer(byId('announcer'));
  readonly #events = eventsPart();
  readonly #poll = new Poll(
    () => this.#ask(),
    () => (this.#silentSince ? KNOCK_MS : POLL_MS),
  );
  readonly #live = new Live(this.#api, {
    event: (line) => this.#hear(line),
    opened: () => this.#showLink(),
    broke: (error) => this.#lose(error),
  });
  readonly #login = loginPart((token) => {
    this.#api.remember(token);
    this.#poll.start();
  });
  readonly #find = findPart(this.#api, () => this.#askForToken());
  readonly #dialog = changeDialog(this.#api, (done) => {
    this.#announcer.say(done);
    this.#poll.soon();
  });
  readonly #overview = overview();
  readonly #sessions = sessionsPart((client) => this.#find.ask(client));
  readonly #backends = list<Look>(
    byId('backends'),
    ({ backend }) => backend.name,
    () => backendPart((backend, server) => this.#open(backend, server)),
  );
  /** Other tabs of this browser with this page. */
  readonly #tabs = new BroadcastChannel('berth-dashboard');
  readonly #filter = byId('filter') as HTMLInputElement;
  readonly #onlyTrouble = byId('only-trouble') as HTMLInputElement;
  /** What the balancer said last. */
  #status: Status | undefined;
  #silentSince: Date | undefined;
  /** Nobody sees this tab, and somebody another. */
  #isAsleep = false;

  start(): void {
    this.#filter.addEventListener('input', () => this.#showBackends());
    this.#onlyTrouble.addEventListener('change', () => this.#showBackends());
    byId('log-out').addEventListener('click', () => {
      this.#api.forget();
      // Nothing that was shown stays anywhere.
      location.reload();
    });
    document.addEventListener('visibilitychange', () => this.#look());
    this.#tabs.addEventListener('message', () => this.#yield());
    this.#look();
  }

  /** A page that nobody sees asks only when an event calls for it, so that its title stays true. */
  #look(): void {
    if (document.visibilityState !== 'visible') return this.#poll.pause();
    this.#isAsleep = false;
    this.#poll.start();
    // A BroadcastChannel takes no target origin: it reaches pages of its own origin alone. The rule means windows.
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- this is no window, see above
    this.#tabs.postMessage('seen');
  }

  /**
   * Another tab is looked at. A browser has six connections to an address for all its tabs: streams of tabs that nobody
   * sees would in the end leave none for questions.
   */
  #yield(): void {
    if (document.visibilityState === 'visible') return;
    this.#isAsleep = true;
    this.#live.close();
    document.title = ASLEEP;
  }

  async #ask(): Promise<void> {
    try {
      const [status, sessions] = await Promise.all([
        this.#api.get<Status>('status'),
        this.#api.get<Sessions>(`sessions?perPage=${MOST_SESSIONS}`),
      ]);
      this.#show(status, sessions);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.failure === 'token') this.#askForToken();
      else this.#fallSilent(error);
    }
  }

  #show(status: Status, sessions: Sessions): void {
    const before = this.#status;
    this.#status = status;
    this.#login.hide();
    for (const id of ['content', 'nav']) setHidden(byId(id), false);
    setHidden(byId('log-out'), !this.#api.hasToken);
    this.#showBackends();
    this.#overview.update(status);
    this.#sessions.update({ sessions, nowMs: Date.parse(status.now) });
    document.title = this.#isAsleep ? ASLEEP : titleOf(status);
    this.#announcer.compare(before, status);
    this.#comeBack(before, status);
    if (!this.#isAsleep) this.#live.open();
    this.#showLink();
  }

  #showBackends(): void {
    if (!this.#status) return;
    const look = {
      nowMs: Date.parse(this.#status.now),
      filter: this.#filter.value,
      onlyTrouble: this.#onlyTrouble.checked,
    };
    this.#backends(this.#status.backends.map((backend) => ({ backend, ...look })));
  }

  #hear(line: EventLine): void {
    this.#events.add(line);
    // A session ends, a client is refused: the next look is soon enough.
    if (line.event !== 'session' && line.event !== 'connection_refused') this.#poll.soon();
  }

  #lose(error: ApiError): void {
    this.#events.say(error.failure === 'refused' ? `not live: ${error.message}` : '');
    if (error.failure === 'token') this.#askForToken();
    else this.#poll.soon();
    this.#showLink();
  }

  /** The balancer does not answer, or not as it should: what is shown is old from now on. */
  #fallSilent(error: ApiError): void {
    const isNew = this.#silentSince === undefined;
    this.#silentSince ??= new Date();
    this.#live.close();
    this.#dialog.close();
    const since = `since ${clock(this.#silentSince.toISOString())}`;
    const what = error.failure === 'silent' ? 'Berth does not answer' : `Berth answers: ${error.message}`;
    const old = this.#status
      ? ' What stands below is from before. This page goes on by itself when Berth is back.'
      : '';
    this.#notice(`${what}, ${since}.${old}`, 'bad');
    document.title = 'no answer · Berth';
    setHidden(byId('content'), false);
    this.#showLink();
    if (isNew) this.#announcer.say(what);
  }

  #comeBack(before: Status | undefined, status: Status): void {
    const was = this.#silentSince;
    const isNew = before !== undefined && before.startedAt !== status.startedAt;
    if (!was && !isNew) return;
    this.#silentSince = undefined;
    if (isNew) this.#live.startOver();
    const other = before && before.version !== status.version ? ` as version ${status.version}: reload this page` : '';
    const text = isNew ? `Berth was started anew at ${clock(status.startedAt)}${other}.` : 'Berth answers again.';
    this.#notice(text, 'good');
    this.#announcer.say(text);
  }

  #notice(text: string, tone: 'good' | 'bad'): void {
    const notice = byId('notice');
    setText(notice, text);
    setAttribute(notice, 'data-tone', tone);
    setHidden(notice, false);
  }

  #showLink(): void {
    const link = this.#silentSince ? 'lost' : this.#live.isOpen ? 'live' : 'polled';
    const words = { lost: 'no answer', live: 'live', polled: `every ${POLL_MS / 1000} s` };
    setAttribute(byId('link'), 'data-link', link);
    setAttribute(byId('content'), 'data-link', link);
    setText(byId('link-word'), words[link]);
    if (link === 'live') this.#events.say('');
  }

  /** Nothing is shown any more, and nothing asked, until there is another token. */
  #askForToken(): void {
    const isWrong = this.#api.hasToken;
    this.#api.forget();
    this.#poll.stop();
    this.#live.close();
    this.#dialog.close();
    this.#events.clear();
    this.#find.clear();
    this.#status = undefined;
    this.#backends([]);
    this.#sessions.update({ sessions: { items: [], total: 0 }, nowMs: 0 });
    for (const id of ['content', 'nav', 'log-out']) setHidden(byId(id), true);
    document.title = 'log in · Berth';
    setAttribute(byId('link'), 'data-link', 'wait');
    setText(byId('link-word'), 'token needed');
    this.#login.show(isWrong ? 'This token is wrong.' : undefined);
  }

  #open(backendName: string, server: ServerStatus): void {
    const backend: BackendStatus | undefined = this.#status?.backends.find(({ name }) => name === backendName);
    if (backend) this.#dialog.open(backend, server);
  }
}
