import { isIP } from 'node:net';

/**
 * The addresses that a hosts file (hosts(5)) has for `name`, which is in lower case and has no final dot; each address
 * once, in the order of the file.
 */
export function hostsAddresses(text: string, name: string): string[] {
  // Files that block advertisers have a hundred thousand lines, and most names are in no file: one look says so.
  if (!new RegExp(name.replaceAll('.', '\\.'), 'i').test(text)) return [];
  const found = text.split('\n').flatMap((line) => {
    const [address = '', ...names] = (line.split('#', 1)[0] ?? '').trim().split(/\s+/);
    const listed = names.some((one) => one.toLowerCase().replace(/\.$/, '') === name);
    return listed && isIP(address) !== 0 ? [address] : [];
  });
  return [...new Set(found)];
}
