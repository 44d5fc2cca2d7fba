/**
 * Our words of ss, nstat and ping against the real tools, in a network namespace that this test
 * makes (unshare --net) and that is gone with its processes: real output is read field by field,
 * worded again by us, and must come out the same. Needs iproute2 and iputils-ping, and the right
 * to make a namespace.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { before, describe, test } from 'node:test';
import { Congestion, State, TcpInfo, Timer } from '../../assembly/abi.js';
import { formatNstat } from '../../host/node/format/nstat.js';
import { PingFormatter } from '../../host/node/format/ping.js';
import {
  tcpInfoFromWords, type SocketRecord, type TcpInfoRecord,
} from '../../host/node/format/socket-record.js';
import { formatSs } from '../../host/node/format/ss.js';

/** Sockets in several states and families, then each tool's output, split at a marker. */
const SCRIPT = `
const net = require('node:net');
const { execFileSync } = require('node:child_process');
const run = (...words) => {
  process.stdout.write('\\n=== ' + words.join(' ') + '\\n');
  process.stdout.write(execFileSync(words[0], words.slice(1), { encoding: 'utf8' }));
};
execFileSync('ip', ['link', 'set', 'lo', 'up']);
const server = net.createServer((peer) => {
  peer.on('error', () => {});
  peer.on('data', () => peer.write(Buffer.alloc(200000)));
});
server.listen(8080, '::', () => {
  const idle = net.connect(8080, '127.0.0.1');
  const busy = net.connect(8080, '::1', () => busy.write('x'));
  const closed = net.connect(8080, '127.0.0.1', () => closed.destroy());
  setTimeout(() => {
    busy.pause();
    run('ss', '-tanH');
    run('ss', '-tan');
    run('ss', '-tinmoaH');
    run('nstat', '-azs');
    run('nstat', '-azsj');
    run('nstat', '-azsjp', 'tcpin*');
    run('ping', '-c', '3', '-i', '0.05', '127.0.0.1');
    process.exit(0);
  }, 300);
});
`;

const outputs = new Map<string, string>();
before(() => {
  const flags = process.getuid?.() === 0 ? ['--net'] : ['--user', '--map-root-user', '--net'];
  const text = execFileSync('unshare', [...flags, process.execPath, '-e', SCRIPT], {
    encoding: 'utf8', timeout: 30_000, env: { ...process.env, LC_ALL: 'C' },
  });
  for (const part of text.split('\n=== ').slice(1)) {
    const end = part.indexOf('\n');
    outputs.set(part.slice(0, end), part.slice(end + 1));
  }
});

function output(name: string): string {
  const text = outputs.get(name);
  assert.ok(text !== undefined && text !== '', `no output of ${name}`);
  return text;
}

const STATES = new Map<string, State>([['ESTAB', State.ESTABLISHED], ['LISTEN', State.LISTEN],
  ['TIME-WAIT', State.TIME_WAIT], ['FIN-WAIT-1', State.FIN_WAIT1],
  ['FIN-WAIT-2', State.FIN_WAIT2], ['CLOSE-WAIT', State.CLOSE_WAIT],
  ['LAST-ACK', State.LAST_ACK], ['SYN-SENT', State.SYN_SENT]]);

/** A row of ss as a record. */
function recordOf(line: string): SocketRecord {
  const [state = '', recvQ, sendQ, local = '', remote = ''] = line.split(/\s+/);
  const end = (text: string) => {
    const colon = text.lastIndexOf(':');
    const address = text.slice(0, colon).replace(/[[\]]/g, '').replace('*', '::');
    const port = text.slice(colon + 1);
    return { address, port: port === '*' ? 0 : Number(port) };
  };
  const [own, peer] = [end(local), end(remote)];
  return {
    handle: undefined, state: STATES.get(state) ?? State.CLOSE,
    family: own.address.includes(':') ? 6 : 4, localAddress: own.address, localPort: own.port,
    remoteAddress: peer.address, remotePort: peer.port, recvQ: Number(recvQ),
    sendQ: Number(sendQ), timer: Timer.off, timerMs: 0, retransmits: 0, memoryBytes: 0,
  };
}

const trimmed = (text: string) => text.split('\n').map((line) => line.trimEnd()).join('\n');

describe('ss', () => {
  test('-tan and -tanH · the same columns, byte for byte but for blanks at line ends', () => {
    const rows = output('ss -tanH').trimEnd().split('\n').map(recordOf);
    assert.ok(rows.length >= 5, `${rows.length} sockets`);
    assert.equal(formatSs(rows, { all: true, noHeader: true }), trimmed(output('ss -tanH')));
    assert.equal(formatSs(rows, { all: true }), trimmed(output('ss -tan')));
  });

  /** Fields of ss by their words; what abi.ts has no word for is left out of the comparison. */
  const MILLIS = new Map<string, keyof TcpInfoRecord>([['rto', 'rto'], ['ato', 'ato'],
    ['rcv_rtt', 'rcv_rtt'], ['minrtt', 'min_rtt']]);
  const NAMES = new Map<string, keyof TcpInfoRecord>([['mss', 'snd_mss'], ['rcvmss', 'rcv_mss'],
    ['cwnd', 'snd_cwnd'], ['ssthresh', 'snd_ssthresh'], ['lastsnd', 'last_data_sent'],
    ['lastrcv', 'last_data_recv'], ['lastack', 'last_ack_recv'], ['notsent', 'notsent_bytes']]);

  function setField(info: TcpInfoRecord, name: string, value: string): boolean {
    const ms = MILLIS.get(name);
    const plain = NAMES.get(name) ?? (name in info ? name as keyof TcpInfoRecord : undefined);
    if (ms !== undefined) info[ms] = Math.round(Number(value) * 1000);
    else if (name === 'rtt') {
      const [rtt, rttvar] = value.split('/').map((part) => Math.round(Number(part) * 1000));
      [info.rtt, info.rttvar] = [rtt ?? 0, rttvar ?? 0];
    } else if (name === 'wscale') {
      [info.snd_wscale, info.rcv_wscale] = value.split(',').map(Number) as [number, number];
      info.options |= 4;
    } else if (name === 'retrans') {
      [info.retrans, info.total_retrans] = value.split('/').map(Number) as [number, number];
    } else if (name === 'busy') info.busy_time_ms = Number.parseInt(value, 10);
    else if (/^(rwnd|sndbuf)_limited$/.test(name)) {
      info[name === 'rwnd_limited' ? 'rwnd_limited_ms' : 'sndbuf_limited_ms'] =
        Number.parseInt(value, 10);
    } else if (plain !== undefined) info[plain] = Number(value);
    else return false;
    return true;
  }

  const UNITS = new Map([['', 1], ['k', 1e3], ['M', 1e6], ['G', 1e9], ['T', 1e12]]);

  /** The second line of ss as a record, and the line without what the record cannot hold. */
  function infoOf(line: string): { info: TcpInfoRecord; kept: string[] } {
    const info = tcpInfoFromWords(new Uint32Array(TcpInfo.WORDS));
    info.reordering = 3;
    const kept: string[] = [];
    const words = line.trim().split(' ').filter((word) => !word.startsWith('skmem:'));
    for (let i = 0; i < words.length; i++) {
      const word = words[i] ?? '';
      const flag = ['ts', 'sack', '', 'ecn', 'ecnseen', 'fastopen'].indexOf(word);
      const rate = /^([\d.]+)([kMGT]?)bps$/.exec(words[i + 1] ?? '');
      const [name = '', value] = word.split(':');
      if (flag >= 0) info.options |= 1 << flag;
      else if (word in Congestion) info.congestion = Congestion[word as keyof typeof Congestion];
      else if (rate !== null) {
        const bits = Number(rate[1]) * (UNITS.get(rate[2] ?? '') ?? 1);
        if (word !== 'send') info[word as 'pacing_rate' | 'delivery_rate'] = bits / 8;
        kept.push(word);
        i++;
        kept.push(words[i] ?? '');
        continue;
      } else if (value === undefined || !setField(info, name, value)) continue;
      kept.push(word);
    }
    return { info, kept };
  }

  test('-tinmo · the second line comes out the same, word by word', () => {
    const lines = output('ss -tinmoaH').split('\n').filter((line) => line.startsWith('\t'));
    const known = lines.filter((line) => /\b(cubic|reno|bbr)\b/.test(line));
    assert.ok(known.length >= 4, `${known.length} sockets with tcp_info`);
    let words = 0;
    for (const line of known) {
      const { info, kept } = infoOf(line);
      const record = { ...recordOf('ESTAB 0 0 1.1.1.1:1 2.2.2.2:2'), info };
      if (/^\t skmem/.test(line) && / cubic (?!wscale)/.test(line)) info.state = State.LISTEN;
      const mine = formatSs([record], {
        all: true, noHeader: true, info: true, timers: true, numeric: true,
      });
      assert.equal(mine.split('\n')[1], `\t ${kept.join(' ')}`, line);
      words += kept.length;
    }
    assert.ok(words > 20 * 3, `${words} words compared`);
  });

  test('-m · skmem has the same letters in the same order', () => {
    const real = /skmem:\([^)]*\)/.exec(output('ss -tinmoaH'))?.[0] ?? '';
    const row = recordOf('ESTAB 0 0 1.1.1.1:1 2.2.2.2:2');
    const mine = formatSs([row], { all: true, noHeader: true, memory: true });
    const letters = (text: string) => text.replace(/\d+/g, '0');
    assert.equal(letters(/skmem:\([^)]*\)/.exec(mine)?.[0] ?? ''), letters(real));
  });

  test('-o · timers as the real one words them', () => {
    const first = output('ss -tinmoaH').split('\n').filter((line) => line.includes('timer:('));
    const shape = /timer:\((on|keepalive|timewait|persist),\S+,\d+\)/;
    for (const line of first) assert.match(line, shape);
    assert.ok(first.some((line) => line.startsWith('TIME-WAIT')));
  });
});

describe('nstat', () => {
  test('-az, -azj, -azjp PATTERN · the same text from the same values', () => {
    const parse = (json: string) => Object.entries(
      (JSON.parse(json) as { kernel: Record<string, number> }).kernel,
    ).map(([name, value]) => ({ name, value }));
    const rows = output('nstat -azs').split('\n').slice(1, -1).map((line) => {
      const [name = '', value = '0', rate] = line.split(/\s+/);
      return { name, value: BigInt(value), rate: Number(rate) };
    });
    assert.ok(rows.length > 100);
    assert.equal(formatNstat(rows, { zeros: true }), output('nstat -azs'));
    const json = output('nstat -azsj');
    assert.equal(formatNstat(parse(json), { zeros: true, json: true }), json);
    const pretty = output('nstat -azsjp tcpin*');
    const options = { zeros: true, json: true, pretty: true, patterns: ['tcpin*'] };
    const found = new Map(parse(pretty).map((row) => [row.name, row.value]));
    const all = parse(json).map((row) => ({ ...row, value: found.get(row.name) ?? row.value }));
    assert.equal(formatNstat(all, options), pretty);
  });
});

test('ping · the same lines and summary from the same times', () => {
  const real = output('ping -c 3 -i 0.05 127.0.0.1');
  const ping = new PingFormatter('127.0.0.1', '127.0.0.1');
  const replies = [...real.matchAll(/icmp_seq=(\d+) ttl=(\d+) time=([\d.]+) ms/g)];
  assert.equal(replies.length, 3);
  const lines = replies.map(([, sequence, ttl, time]) => {
    ping.sent();
    return ping.reply({
      from: '127.0.0.1', bytes: 64, sequence: Number(sequence), ttl: Number(ttl),
      rttUs: Number(time) * 1000,
    });
  });
  const elapsed = Number(/time (\d+)ms/.exec(real)?.[1]);
  const mine = `${[ping.header(), ...lines].join('\n')}\n${ping.summary(elapsed * 1000)}`;
  assert.equal(mine, real);
});
