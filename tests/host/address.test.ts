/**
 * Addresses as text and as words: what is read, what is refused, and RFC 5952's spelling. The
 * second opinions are Node's isIP and the serialiser of WHATWG URL.
 */
import assert from 'node:assert/strict';
import { isIPv4, isIPv6 } from 'node:net';
import { test } from 'node:test';
import {
  cidrContains,
  familyOf,
  formatAddress,
  formatCidr,
  parseAddress,
  parseCidr,
  requireAddress,
  requireCidr,
  type AddressWords,
} from '../../host/core/address.js';

test('IPv4 · dotted decimal is read strictly and written back', () => {
  assert.deepEqual(parseAddress('192.0.2.1'), [0, 0, 0xffff, 0xc0000201]);
  assert.equal(formatAddress([0, 0, 0xffff, 0xc0000201]), '192.0.2.1');
  assert.equal(formatAddress([0, 0, 0xffff, 0xc0000201], true), '::ffff:192.0.2.1');
  const wrong = ['', '1', '1.2.3', '1.2.3.4.5', '1.2.3.256', '01.2.3.4', '1.2.3.', ' 1.2.3.4'];
  for (const bad of wrong) {
    assert.equal(parseAddress(bad), undefined, bad);
    assert.equal(isIPv4(bad), false, `${bad}: Node agrees`);
  }
});

test('IPv6 · RFC 4291 forms are read', () => {
  assert.deepEqual(parseAddress('::'), [0, 0, 0, 0]);
  assert.deepEqual(parseAddress('::1'), [0, 0, 0, 1]);
  assert.deepEqual(parseAddress('2001:DB8::8:800:200C:417A'), [
    0x20010db8, 0, 0x00080800, 0x200c417a,
  ]);
  assert.deepEqual(parseAddress('::ffff:192.0.2.1'), [0, 0, 0xffff, 0xc0000201]);
  assert.deepEqual(parseAddress('64:ff9b::192.0.2.33'), [0x0064ff9b, 0, 0, 0xc0000221]);
});

test('IPv6 · what Node refuses is refused, what it takes is taken', () => {
  const texts = [
    ':', ':::', '1::2::3', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '12345::', 'g::', '::1.2.3',
    '1.2.3.4::', '::1.2.3.4:5', '1:2:3:4:5:6:7::', '::2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8',
    '1:2:3:4:5:6:1.2.3.4', '1:2:3:4:5:6:7:1.2.3.4', '::1:', ':1::', '1:2:3:4::5:6:7:8',
  ];
  for (const text of texts) {
    assert.equal(parseAddress(text) !== undefined, isIPv6(text), text);
  }
});

test('IPv6 · written as RFC 5952 wants', () => {
  const cases: [string, string][] = [
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'], // §4.2.3: the first of two equal runs
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'], // the longer run
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'], // §4.2.2: one group stays
    ['2001:DB8::AbCd', '2001:db8::abcd'], // §4.3: lower case
    ['0:0:0:0:0:0:0:0', '::'],
    ['1:0:0:0:0:0:0:0', '1::'],
    ['0001::0001', '1::1'], // §4.1: no leading zeros
  ];
  for (const [text, want] of cases) assert.equal(formatAddress(requireAddress(text)), want);
});

test('IPv6 · ten thousand random addresses survive and agree with WHATWG URL', () => {
  let state = 12345;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state;
  };
  for (let round = 0; round < 10_000; round++) {
    const group = (): number => (next() >>> 16) % 3 === 0 ? next() >>> 16 : 0;
    const word = (): number => ((group() << 16) | group()) >>> 0;
    const words: AddressWords = [word(), word(), word(), word()];
    const text = formatAddress(words);
    assert.deepEqual(parseAddress(text), words);
    if (familyOf(words) === 6) assert.equal(new URL(`http://[${text}]/`).hostname, `[${text}]`);
  }
});

test('CIDR · lengths are bounded by the family', () => {
  assert.deepEqual(requireCidr('10.0.0.2/24'), {
    words: [0, 0, 0xffff, 0x0a000002], family: 4, prefixLength: 24,
  });
  assert.equal(requireCidr('fd00::1/64').prefixLength, 64);
  assert.equal(requireCidr('10.0.0.2').prefixLength, 32);
  assert.equal(formatCidr(requireCidr('fd00:0::1/64')), 'fd00::1/64');
  for (const bad of ['10.0.0.2/33', 'fd00::1/129', '10.0.0.2/', '10.0.0.2/-1', '/24', '10/8']) {
    assert.equal(parseCidr(bad), undefined, bad);
  }
  assert.throws(() => requireCidr('10.0.0.300/24'), { code: 'ERR_INVALID_IP_ADDRESS' });
});

test('CIDR · an address is in its network and not in the neighbour', () => {
  const within = (cidr: string, address: string): boolean =>
    cidrContains(requireCidr(cidr), requireAddress(address));
  assert.equal(within('10.0.0.2/24', '10.0.0.255'), true);
  assert.equal(within('10.0.0.2/24', '10.0.1.0'), false);
  assert.equal(within('0.0.0.0/0', '203.0.113.9'), true);
  assert.equal(within('fd00::1/64', 'fd00::ffff:1'), true);
  assert.equal(within('fd00::1/63', 'fd00:0:0:1::1'), true);
  assert.equal(within('fd00::1/64', 'fd00:0:0:1::1'), false);
  assert.equal(within('::/0', '10.0.0.1'), false);
});
