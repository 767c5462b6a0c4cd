import { didYouMean } from '../config/suggest.ts';
import type { Backend } from '../pool/backend.ts';
import type { Server } from '../pool/server.ts';
import type { View } from '../view.ts';
import { Refusal } from './route.ts';

/** The backend of this name, or a 404 that says which there are. */
export function findBackend({ backends }: View, name: string): Backend | Refusal {
  const found = backends.find((backend) => backend.name === name);
  return found ?? new Refusal(404, `there is no backend ${shortened(name)}${insteadOf(name, backends)}`);
}

/** The server in force of this name, or a 404 that says which there are. */
export function findServer({ servers, name: backend }: Backend, name: string): Server | Refusal {
  const found = servers.find((server) => server.name === name);
  if (found) return found;
  return new Refusal(404, `there is no server ${shortened(name)} in ${backend}${insteadOf(name, servers)}`);
}

/** A stranger may have written it. */
export function shortened(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}

/** What there is, and what was probably meant. */
function insteadOf(name: string, all: readonly { readonly name: string }[]): string {
  const names = all.map((one) => one.name);
  const hint = didYouMean(name, names);
  return `${hint === '' ? '; there are' : `.${hint} There are`} ${names.join(', ')}`;
}
