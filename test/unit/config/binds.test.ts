import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { Binds } from '../../../src/config/binds.ts';
import { bindsCollide, parseBind } from '../../../src/config/values.ts';

test('the bind that is looked up is the first that collides', () => {
  const host = fc.constantFrom('*', '0.0.0.0', '[::]', '10.0.0.1', '10.0.0.2', '[::1]', 'localhost');
  const tcp = fc.tuple(host, fc.nat(3)).map(([name, port]) => `${name}:${port}`);
  const text = fc.oneof(tcp, fc.constantFrom('unix:/a', 'unix:/b'));
  fc.assert(
    fc.property(fc.array(text, { maxLength: 12 }), text, (texts, one) => {
      const bind = parseBind(one);
      const all = texts.flatMap((each) => parseBind(each) ?? []);
      assert.ok(bind);
      const binds = new Binds<number>();
      for (const [i, each] of all.entries()) binds.add(each, i);
      const first = all.findIndex((each) => bindsCollide(each, bind));
      assert.equal(binds.colliding(bind), first < 0 ? undefined : first);
    }),
  );
});
