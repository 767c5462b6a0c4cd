import type { AdminState, BackendStatus, Change, Changed, ServerStatus } from './answers.ts';
import { ApiError, pathOf, type Api } from './api.ts';
import { conditionOf, takesClients } from './condition.ts';
import { byId, setText } from './dom.ts';
import { plural } from './format.ts';

/** A word typed in one go is asked about once. */
const TYPING_MS = 150;

/** The server that the dialog is about, and the weight that is wanted of it now. */
type Subject = { readonly backend: BackendStatus; readonly server: ServerStatus; readonly weight: number };

export type Dialog = { open(backend: BackendStatus, server: ServerStatus): void; close(): void };

/**
 * Asks for another state or weight of a server, says how many clients would lose it, and changes it when that is
 * confirmed. `done` is told what was done, in words.
 */
export function changeDialog(api: Api, done: (text: string) => void): Dialog {
  const dialog = byId('change') as HTMLDialogElement;
  const form = byId('change-form') as HTMLFormElement;
  const weight = byId('weight') as HTMLInputElement;
  const confirm = byId('change-do') as HTMLButtonElement;
  const [effect, fault] = [byId('change-effect'), byId('change-fault')];
  let about: Subject | undefined;
  let typing: number | undefined;
  /** Counts questions, so that only the answer to the last one is shown. */
  let asked = 0;

  function wanted({ server, weight: own }: Subject): Change {
    const state = new FormData(form).get('state') as AdminState | null;
    const changed = weight.value !== '' && weight.valueAsNumber !== own;
    return {
      ...(state === null || state === server.state ? {} : { state }),
      ...(changed ? { weight: weight.valueAsNumber } : {}),
    };
  }

  const put = ({ backend, server }: Subject, change: Change, dryRun: boolean): Promise<Changed> =>
    api.put(pathOf(['servers', backend.name, server.name], { dryRun: dryRun ? 'true' : undefined }), change);

  /** Asks for the weight that is wanted now: that in force may be less. */
  async function begin(subject: Subject): Promise<void> {
    const turn = ++asked;
    try {
      const { before } = await put(subject, { state: subject.server.state }, true);
      if (turn !== asked) return;
      about = { ...subject, weight: before.weight };
      weight.value = String(before.weight);
      weight.disabled = false;
      await preview();
    } catch (error) {
      if (turn === asked) fail(error);
    }
  }

  /** Says what the change that is chosen would do. */
  async function preview(): Promise<void> {
    clearTimeout(typing);
    const [turn, subject] = [++asked, about];
    confirm.disabled = true;
    setText(fault, '');
    if (!subject) return;
    if (weight.disabled) return begin(subject);
    const change = wanted(subject);
    setText(confirm, nameOf(change));
    if (!weight.validity.valid) return setText(effect, 'A weight is a whole number from 0 to 256.');
    if (Object.keys(change).length === 0) return setText(effect, 'This is how it is now: nothing would change.');
    try {
      const { moves, server } = await put(subject, change, true);
      if (turn !== asked) return;
      setText(effect, effectOf({ ...subject, server }, change, moves));
      confirm.disabled = false;
    } catch (error) {
      if (turn === asked) fail(error);
    }
  }

  async function carryOut(): Promise<void> {
    const [turn, subject] = [++asked, about];
    if (!subject) return;
    confirm.disabled = true;
    const change = wanted(subject);
    try {
      const { server, moves } = await put(subject, change, false);
      if (turn !== asked) return;
      dialog.close();
      const moving = moves === 0 && !server.up ? server.clients : moves;
      const lost =
        moving === 0
          ? 'no client has to move'
          : `${plural(moving, 'client')} ${moving === 1 ? 'moves' : 'move'} with the next connection`;
      done(`${server.name} is ${server.state}, weight ${weight.value}; ${lost}`);
    } catch (error) {
      if (turn === asked) fail(error);
    }
  }

  function fail(error: unknown): void {
    setText(effect, '');
    setText(fault, error instanceof ApiError ? `Not changed: ${error.message}` : String(error));
  }

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (!confirm.disabled) void carryOut();
  });
  // The weight tells of each input. Its `change` would come with the press that takes the focus to the button, and
  // disable the button before it is released.
  form.addEventListener('change', ({ target }) => {
    if (target !== weight) void preview();
  });
  weight.addEventListener('input', () => {
    clearTimeout(typing);
    confirm.disabled = true;
    typing = window.setTimeout(() => void preview(), TYPING_MS);
  });
  byId('change-cancel').addEventListener('click', () => dialog.close());
  dialog.addEventListener('close', () => {
    asked++;
    about = undefined;
  });
  return {
    open(backend, server) {
      about = { backend, server, weight: server.weight };
      setText(byId('change-title'), `Change ${server.name} of ${backend.name}`);
      setText(byId('change-now'), nowText(server));
      setText(byId('weight-note'), `${server.configuredWeight} in the file; 0 takes no new client`);
      weight.value = '';
      weight.disabled = true;
      for (const said of [effect, fault]) setText(said, '');
      for (const choice of form.querySelectorAll<HTMLInputElement>('input[name=state]'))
        choice.checked = choice.value === server.state;
      dialog.showModal();
      form.querySelector<HTMLInputElement>('input[name=state]:checked')?.focus();
      void preview();
    },
    close: () => dialog.close(),
  };
}

function nowText(server: ServerStatus): string {
  const { address, state, connections, clients } = server;
  const how = conditionOf(server);
  const also = how === state || (how === 'up' && state === 'ready') ? '' : `, ${state}`;
  return `${address}: ${how}${also}, ${plural(connections, 'connection')}, ${plural(clients, 'client')} bound`;
}

/** What the button does, by its name. */
function nameOf({ state, weight }: Change): string {
  const words = [state === undefined ? '' : `set ${state}`, weight === undefined ? '' : `set weight ${weight}`];
  const text = words.filter(Boolean).join(' and ');
  return text === '' ? 'Change' : text[0]?.toUpperCase() + text.slice(1);
}

function effectOf({ backend, server, weight }: Subject, change: Change, moves: number): string {
  const { connections } = server;
  const state = change.state ?? server.state;
  const takes = state === 'ready' && (change.weight ?? weight) > 0 && server.up;
  const alone = !takes && !takesClients(backend, server.name);
  const goOn = state !== 'ready' && connections > 0 ? `${plural(connections, 'open connection')} would go on.` : '';
  return [movesText(server, moves), goOn, alone ? `Then no server of ${backend.name} takes new clients!` : '']
    .filter(Boolean)
    .join(' ');
}

/** Who is bound to a server that is down moves by that, whatever is changed here. */
function movesText({ up, clients }: ServerStatus, moves: number): string {
  if (moves > 0) return `${plural(moves, 'client')} would move, each with its next connection.`;
  if (up || clients === 0) return 'No client would move.';
  const [who, move] = [plural(clients, 'client'), clients === 1 ? 'moves' : 'move'];
  return `It is down: ${who} ${move} with the next connection in any case.`;
}
