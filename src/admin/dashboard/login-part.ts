import { byId, setHidden, setText } from './dom.ts';

/** A fault stays said until another token is given. */
export type Login = { show(fault?: string): void; hide(): void };

/** Asks for a token. The form has no address to send it to and its field no name, so that it gets into no URL. */
export function loginPart(given: (token: string) => void): Login {
  const login = byId('login');
  const field = byId('token') as HTMLInputElement;
  byId('login-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const token = field.value.trim();
    field.value = '';
    setText(byId('login-fault'), '');
    if (token !== '') given(token);
  });
  return {
    show(fault) {
      if (fault !== undefined) setText(byId('login-fault'), fault);
      if (!login.hidden && fault === undefined) return;
      setHidden(login, false);
      field.focus();
    },
    hide: () => setHidden(login, true),
  };
}
