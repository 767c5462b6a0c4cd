import type { Reader } from './draft.ts';
import { carried, lost, standard } from './outcome.ts';
import { parseWhole } from './scalars.ts';

const REQUEST_TARGET = /^\/[\x21-\x7e]*$/;

/** `option httpchk [METHOD] URI [VERSION]`, where the version may carry headers after `\r\n`. */
export const readHttpCheck: Reader = ({ check }, args, { number }) => {
  const [first, second, ...version] = args;
  const path = second ?? first ?? '/';
  if (!REQUEST_TARGET.test(path)) return lost('the check asks for a path');
  check.set('type', 'http', number);
  check.set('path', path, number);
  const headers = version.join(' ').split('\r\n').slice(1);
  if (headers.some((header) => !/^host:/i.test(header))) return lost('the check sends no headers but Host');
  const method = second === undefined ? 'OPTIONS' : (first ?? '');
  const [host = ''] = headers.map((header) => header.slice('host:'.length).trim());
  if (host !== '') check.set('host', host, number);
  return method === 'GET' ? undefined : carried(`\`healthCheck\` of type \`http\`, which asks with GET, not ${method}`);
};

/** `http-check send meth GET uri /PATH hdr Host NAME` */
export const readHttpSend: Reader = ({ check }, args, { number }) => {
  let says;
  for (let i = 0; i < args.length; i += 2) {
    const [word = '', value = ''] = args.slice(i, i + 2);
    if (word === 'uri' && REQUEST_TARGET.test(value)) check.set('path', value, number);
    else if (word === 'meth') says = value === 'GET' ? says : `the check asks with GET, not ${value}`;
    else if (word === 'hdr') {
      if (!/^host$/i.test(value)) return lost('the check sends no headers but Host');
      check.set('host', args[++i + 1] ?? '', number);
    } else if (word !== 'ver') return lost(`the check has no \`${word}\``);
  }
  return says === undefined ? undefined : carried(`\`healthCheck.path\`; ${says}`);
};

/** `http-check expect status 200,401` or `rstatus REGEX` */
export const readExpect: Reader = ({ check }, args, { number }) => {
  const words = args.filter((word, i) => !(['min-recv'].includes(word) || args[i - 1] === 'min-recv'));
  const [how = '', value = ''] = words;
  const statuses = how === 'status' ? value.split(',') : how === 'rstatus' ? ofExpression(value) : undefined;
  if (!statuses?.every((status) => /^[1-5]\d\d(-[1-5]\d\d)?$/.test(status))) {
    return lost('`healthCheck.expect` is a list of statuses');
  }
  check.list(
    'expect',
    statuses.map((status) => ({ value: /^\d+$/.test(status) ? Number(status) : status, line: number })),
  );
  return undefined;
};

const FIRST_DIGIT = /^\^?(?:([1-5])|\[([1-5]+|[1-5]-[1-5])\]|\(([1-5](?:\|[1-5])*)\))/;
const FURTHER_DIGITS = /(?:(?:\[0-9\]|\\d|\.){2}|(?:\[0-9\]|\\d)\{2\}|(?:\.\*)?)\$?$/;
const STATUSES = new RegExp(FIRST_DIGIT.source + FURTHER_DIGITS.source);

/** The statuses of `^2`, `^[23]`, `(2|3)[0-9][0-9]` and the like. */
function ofExpression(expression: string): string[] | undefined {
  const [, one, set, choice] = STATUSES.exec(expression) ?? [];
  const [from, to] = (set ?? '').split('-').map(Number);
  if (from !== undefined && to !== undefined) return from <= to ? [`${from}00-${to}99`] : undefined;
  const firsts = one ?? set ?? choice?.replaceAll('|', '');
  return firsts === undefined ? undefined : firsts.split('').map((digit) => `${digit}00-${digit}99`);
}

/** `http-check connect`, `tcp-check connect`: `port N`, `ssl`, `sni NAME` */
export const readConnect: Reader = ({ check }, args, { number }) => {
  let told = false;
  for (let i = 0; i < args.length; i++) {
    const word = args[i];
    if (word === 'ssl') check.set('tls', true, number);
    else if (word === 'port') {
      const port = parseWhole(args[++i], 1, 65_535);
      if (port === undefined) return lost('no port');
      check.set('port', port, number);
    } else if (word === 'sni') check.set('serverName', args[++i] ?? '', number);
    else if (word === 'comment' || word === 'alpn') i++;
    else if (word !== 'default' && word !== 'linger') return lost(`a check has no \`${word}\``);
    told ||= word === 'ssl' || word === 'port' || word === 'sni';
  }
  return told ? undefined : standard('a check connects');
};

export const readHelloCheck: Reader = ({ check }, _, { number }) => {
  check.set('tls', true, number);
  return undefined;
};
