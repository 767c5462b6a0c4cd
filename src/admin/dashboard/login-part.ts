import { byId, setHidden, setText } from './dom.ts';

/** Asks for a token. The form has no address to send it to and its field no name, so that it gets into no URL. */
export function loginPart(given: (token: string) => void): { show(fault: string): void; hide(): void } {
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
      setHidden(login, false);
      setText(byId('login-fault'), fault);
      field.focus();
    },
    hide: () => setHidden(login, true),
  };
}
