/** Whatever OpenSSL or Node call a fault, an operator reads a sentence. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import {
  certificateFault,
  handshakeFault,
  httpFault,
  inWords,
  tlsFault,
  type Fault,
} from '../../../src/pool/probe/faults.ts';

const failure = (code: string, more: object = {}): Error & { code: string } =>
  Object.assign(new Error(code), { code, ...more });
/** A code for programs, in whatever part of the text. */
const CODE = /[A-Z]{2,}_[A-Z]|EPROTO|:error:/;

function assertSentence(fault: Fault | undefined): void {
  assert.ok(fault);
  assert.match(inWords(fault), /^\S.+; \S.+$/);
  assert.doesNotMatch(inWords(fault), CODE);
}

test('every code of OpenSSL, known or not, is a sentence with a remedy', () => {
  const name = fc.stringMatching(/^[A-Z][A-Z0-9]{1,8}(_[A-Z0-9]{1,8}){0,4}$/);
  fc.assert(
    fc.property(name, fc.boolean(), (code, shown) => {
      assertSentence(certificateFault(code));
      for (const prefix of ['', 'SSLV3_ALERT_', 'TLSV1_ALERT_', 'TLSV13_ALERT_', 'SSL/TLS_ALERT_'])
        assertSentence(tlsFault(failure(`ERR_SSL_${prefix}${code}`), shown));
      assertSentence(handshakeFault(failure(code), shown));
    }),
  );
});

test('an alert has one sentence, however a version of OpenSSL spells it, and wherever Node keeps the words', () => {
  const inWrite = (reason: string): Error =>
    failure('EPROTO', {
      message: `write EPROTO 80AB12:error:0A00010B:SSL routines:ssl3_get_record:${reason}:../deps/openssl/record.c:355:\n`,
    });
  for (const [reason, what] of [
    ['sslv3 alert bad certificate', /asks clients for a certificate/],
    ['ssl/tls alert bad certificate', /asks clients for a certificate/],
    ['tlsv13 alert certificate required', /asks clients for a certificate/],
    ['tlsv1 alert protocol version', /no common version of TLS/],
    ['tlsv1 unrecognized name', /knows no such server name/],
    ['ssl/tls alert handshake failure', /refuses the handshake/],
    ['wrong version number', /does not speak TLS/],
    ['packet length too long', /does not speak TLS/],
    ['something new', /the handshake failed \(something new\)/],
  ] as const) {
    const code = `ERR_SSL_${reason.toUpperCase().replaceAll(' ', '_')}`;
    for (const error of [failure(code), failure(code, { reason }), inWrite(reason)]) {
      assert.match(tlsFault(error, false)?.what ?? '', what, reason);
      assertSentence(tlsFault(error, false));
    }
  }
  assertSentence(tlsFault(failure('EPROTO'), false));
});

test('every fault of the HTTP parser is a sentence, and a fault of something else is none', () => {
  for (const code of ['HPE_INVALID_CONSTANT', 'HPE_HEADER_OVERFLOW', 'HPE_NEW', 'ECONNRESET', 'EPIPE'])
    assertSentence(httpFault(failure(code)));
  assert.equal(httpFault(failure('ENOENT')), undefined);
  assert.equal(tlsFault(failure('ENOENT'), false), undefined);
});
