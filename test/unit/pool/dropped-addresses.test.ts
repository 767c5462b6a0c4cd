/** When an address that DNS does not name any more is dropped. */
import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import * as fc from 'fast-check';
import { Discovery, type DnsAnswer, type Found } from '../../../src/pool/discovery.ts';
import { settled } from '../../support/pool.ts';

const at = (host: string, name = 'r.test'): Found => ({ host, port: 5000, name });
const NAMES = { a: at('10.0.0.1'), b: at('10.0.0.2'), c: at('10.0.0.3'), v: at('2001:db8::1'), w: at('2001:db8::2') };
type Name = keyof typeof NAMES;

/**
 * One answer: the letters of the addresses in it; `!` is a failure, an empty text an answer without addresses, `6?`
 * says that IPv6 was not answered for.
 */
function answer(text: string): DnsAnswer {
  if (text === '!') throw new Error('SERVFAIL');
  const letters = text.replace('6?', '').split('') as Name[];
  const unanswered = text.includes('6?') ? [{ name: 'r.test', port: 5000, family: 6 as const }] : [];
  return { endpoints: letters.map((letter) => NAMES[letter]), ttlSeconds: 3600, unanswered };
}

/** What is there after each of `answers`. */
async function heard(answers: readonly string[]): Promise<string[]> {
  mock.timers.enable({ apis: ['setTimeout'] });
  let next = 0;
  const ask = async (): Promise<DnsAnswer> => answer(answers[next++] ?? '!');
  const discovery = new Discovery({ discover: 'dns', name: 'r.test', port: 5000 }, 1_000, () => {}, { ask });
  const told: string[] = [];
  await discovery.start();
  for (const _ of answers) {
    const there = new Set(discovery.found.map(({ host }) => host));
    const letters = Object.entries(NAMES).flatMap(([letter, { host }]) => (there.has(host) ? letter : []));
    told.push(letters.join(''));
    mock.timers.tick(1_000);
    await settled();
  }
  discovery.close();
  mock.timers.reset();
  return told;
}

for (const [what, answers, wanted] of [
  ['one answer without it drops no address', ['ab', 'a', 'ab'], ['ab', 'ab', 'ab']],
  ['two in a row drop it', ['ab', 'a', 'a'], ['ab', 'ab', 'a']],
  ['two that are not in a row do not', ['ab', 'a', 'ab', 'a'], ['ab', 'ab', 'ab', 'ab']],
  ['each address is counted by itself', ['abc', 'ab', 'a', 'a'], ['abc', 'abc', 'ab', 'a']],
  ['all may be exchanged', ['ab', 'c', 'c'], ['ab', 'abc', 'c']],
  ['one that comes back is new', ['ab', 'a', 'a', 'ab', 'a', 'a'], ['ab', 'ab', 'a', 'ab', 'ab', 'a']],
  ['a failure counts for nothing', ['ab', '!', '!', 'a', '!', 'a'], ['ab', 'ab', 'ab', 'ab', 'ab', 'a']],
  ['so does an empty answer', ['ab', '', '', 'a', '', 'a'], ['ab', 'ab', 'ab', 'ab', 'ab', 'a']],
  [
    'so does the family that was not answered for',
    ['av', 'a6?', 'a6?', 'a', 'a6?', 'a'],
    ['av', 'av', 'av', 'av', 'av', 'a'],
  ],
  ['the other family is counted meanwhile', ['abv', 'a6?', 'a6?'], ['abv', 'abv', 'av']],
  ['a resolver that hands out two at a time in turn costs none', ['ab', 'ca', 'bc', 'ab'], ['ab', 'abc', 'abc', 'abc']],
] as const) {
  test(`${what}: ${answers.join(', ')}`, async () => {
    assert.deepEqual(await heard(answers), wanted);
  });
}

test('whatever DNS says, what is there is what the last two good answers named, and what could not be asked for', async () => {
  const one = fc.oneof(
    fc.constantFrom('!', ''),
    fc.subarray(['a', 'b', 'c', 'v', 'w'], { minLength: 1 }).map((letters) => letters.join('')),
    fc.subarray(['a', 'b', 'c'], { minLength: 1 }).map((letters) => `${letters.join('')}6?`),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(one, { maxLength: 20, size: 'max' }), async (answers) => {
      /** For each address that is there: how many good answers in a row have lacked it. */
      const model = new Map<string, number>();
      const wanted = answers.map((text) => {
        if (text !== '!' && text !== '') {
          for (const [letter, lacked] of model) {
            if (text.includes('6?') && 'vw'.includes(letter)) continue;
            if (lacked === 1) model.delete(letter);
            else model.set(letter, 1);
          }
          for (const letter of text.replace('6?', '')) model.set(letter, 0);
        }
        return [...model.keys()].toSorted().join('');
      });
      assert.deepEqual(await heard(answers), wanted);
    }),
    { numRuns: 300 },
  );
});

test('a target of a service that gives its address to another name keeps it, under that name', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  let name = 'one.test';
  const ask = async (): Promise<DnsAnswer> => ({
    endpoints: [at('10.0.0.1', name)],
    ttlSeconds: 3600,
    unanswered: [],
  });
  const discovery = new Discovery({ discover: 'srv', name: '_r._tcp.test' }, 1_000, () => {}, { ask });
  await discovery.start();
  name = 'two.test';
  mock.timers.tick(1_000);
  await settled();
  assert.deepEqual(discovery.found, [at('10.0.0.1', 'two.test')]);
  discovery.close();
  mock.timers.reset();
});

test('a shorter interval brings the next question forward; a longer one counts from the next question on', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.after(() => mock.timers.reset());
  let asked = 0;
  const ask = async (): Promise<DnsAnswer> => {
    asked++;
    return { endpoints: [NAMES.a], ttlSeconds: 3600, unanswered: [] };
  };
  const discovery = new Discovery({ discover: 'dns', name: 'r.test', port: 5000 }, 60_000, () => {}, { ask });
  t.after(() => discovery.close());
  await discovery.start();
  const passes = async (ms: number): Promise<number> => {
    mock.timers.tick(ms);
    await settled();
    return asked;
  };
  discovery.retime(10_000);
  assert.deepEqual([await passes(9_999), await passes(1)], [1, 2]);
  discovery.retime(60_000);
  assert.deepEqual([await passes(10_000), await passes(59_999), await passes(1)], [3, 3, 4]);
});

test('a name that was not answered for keeps its own addresses, at its own port, and no others', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.after(() => mock.timers.reset());
  const [own, otherName, otherPort] = [at('10.0.0.1'), at('10.0.0.2', 's.test'), { ...at('10.0.0.3'), port: 5001 }];
  const rest = at('2001:db8::1');
  const unanswered = [{ name: 'r.test', port: 5000, family: 4 as const }];
  let found: DnsAnswer = { endpoints: [own, otherName, otherPort, rest], ttlSeconds: 3600, unanswered: [] };
  const ask = async (): Promise<DnsAnswer> => found;
  const discovery = new Discovery({ discover: 'srv', name: '_r._tcp.test' }, 1_000, () => {}, { ask });
  await discovery.start();
  found = { endpoints: [rest], ttlSeconds: 3600, unanswered };
  for (const kept of [4, 2]) {
    mock.timers.tick(1_000);
    await settled();
    assert.equal(discovery.found.length, kept);
  }
  assert.deepEqual([...discovery.found], [rest, own]);
  discovery.close();
});

test('an answer that comes after the close is not told, and nothing is asked any more', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.after(() => mock.timers.reset());
  let give: (answer: DnsAnswer) => void = () => {};
  let [asked, told] = [0, 0];
  const ask = (): Promise<DnsAnswer> => {
    asked++;
    return new Promise((resolve) => (give = resolve));
  };
  const discovery = new Discovery({ discover: 'dns', name: 'r.test', port: 5000 }, 1_000, () => void told++, { ask });
  const started = discovery.start();
  discovery.close();
  give({ endpoints: [at('10.0.0.1')], ttlSeconds: 1, unanswered: [] });
  await started;
  mock.timers.tick(10_000);
  await settled();
  assert.deepEqual([asked, told, discovery.found], [1, 0, []]);
});
