/**
 * Sockets as `ss -tinlm` of iproute2 prints them: the same columns, names, order and units.
 * Called by `ackorn ss` and tests; a test compares the output with the real ss. Input are the
 * records of socket-record.ts. Ports and addresses are always numbers, whether -n or not.
 */
import { BbrPhase, Congestion, State, Timer } from '../../../assembly/abi.js';
import { formatG, formatRate } from './c-number.js';
import {
  congestionName, type SocketMemory, type SocketRecord, type TcpInfoRecord,
} from './socket-record.js';
import {
  parseFilter, STATES_ALL, STATES_DEFAULT, STATES_LISTENING, type SocketTest, statesOf,
} from './ss-filter.js';

export interface SsOptions {
  /** -l, -a: which states when `states` is not given. */
  listening?: boolean;
  all?: boolean;
  /** -i, -m, -o, -O, -H. */
  info?: boolean;
  memory?: boolean;
  timers?: boolean;
  oneline?: boolean;
  noHeader?: boolean;
  /** -n: rates as whole numbers of bits. */
  numeric?: boolean;
  /** -4, -6. */
  family?: 4 | 6;
  /** Names for `state NAME`; several add up. */
  states?: string[];
  /** Words of the filter expression: `sport = :80`. */
  filter?: string[];
}

const STATE_NAMES = new Map<State, string>([
  [State.ESTABLISHED, 'ESTAB'], [State.SYN_SENT, 'SYN-SENT'], [State.SYN_RECV, 'SYN-RECV'],
  [State.FIN_WAIT1, 'FIN-WAIT-1'], [State.FIN_WAIT2, 'FIN-WAIT-2'],
  [State.TIME_WAIT, 'TIME-WAIT'], [State.CLOSE, 'UNCONN'], [State.CLOSE_WAIT, 'CLOSE-WAIT'],
  [State.LAST_ACK, 'LAST-ACK'], [State.LISTEN, 'LISTEN'], [State.CLOSING, 'CLOSING'],
]);
/** Timers that ss has a name for; SYN-ACK retransmission is "on" there too. */
const TIMER_NAMES = new Map<Timer, string>([[Timer.on, 'on'], [Timer.keepalive, 'keepalive'],
  [Timer.timewait, 'timewait'], [Timer.persist, 'persist'], [Timer.synack, 'on']]);

/** TCPI_OPT bits of linux/tcp.h. */
const OPT_TIMESTAMPS = 1;
const OPT_SACK = 2;
const OPT_WSCALE = 4;
const OPT_ECN = 8;
const OPT_ECN_SEEN = 16;
const OPT_SYN_DATA = 32;
/** An RTO that ss leaves out: the one before any sample on old kernels. */
const RTO_UNSET_US = 3_000_000;
const REORDERING_DEFAULT = 3;
/** A rate of all ones, in what a double keeps of it: none. */
const RATE_UNLIMITED = 2 ** 64 - 2048;

/** Milliseconds as ss shows a timer: 12sec, 1.280ms, 340ms, 2min3sec. */
export function timerText(ms: number): string {
  const minutes = Math.floor(ms / 60000);
  const seconds = Math.floor(ms / 1000) % 60;
  let millis = ms % 1000;
  let text = '';
  if (minutes > 0) {
    text = `${minutes}min`;
    millis = 0;
  }
  if (seconds > 0 && minutes <= 9) {
    if (seconds > 9) millis = 0;
    text += `${seconds}${millis > 0 ? '.' : 'sec'}`;
  }
  return millis > 0 ? `${text}${String(millis).padStart(3, '0')}ms` : text;
}

/** " name:value", or nothing for zero. */
function field(name: string, value: number): string {
  return value > 0 ? ` ${name}:${value}` : '';
}

function millis(name: string, us: number): string {
  return us > 0 ? ` ${name}:${formatG(us / 1000)}` : '';
}

/** ss's bbr:(…): what the controller believes, and how far from it it sends. */
function bbrText(info: TcpInfoRecord, numeric: boolean): string {
  if (info.congestion !== Congestion.bbr || info.bbr_phase === BbrPhase.none) return '';
  const gain = (name: string, times256: number) =>
    (times256 > 0 ? `,${name}:${formatG(times256 / 256)}` : '');
  return ` bbr:(bw:${formatRate(info.bbr_bw * 8, numeric)}bps`
    + `,mrtt:${formatG(info.bbr_min_rtt / 1000)}`
    + `${gain('pacing_gain', info.bbr_pacing_gain)}${gain('cwnd_gain', info.bbr_cwnd_gain)})`;
}

function optionsText(info: TcpInfoRecord, withOptions: boolean): string {
  const has = (bits: number) => (info.options & bits) !== 0;
  let text = '';
  if (withOptions) {
    if (has(OPT_TIMESTAMPS)) text += ' ts';
    if (has(OPT_SACK)) text += ' sack';
    if (has(OPT_ECN)) text += ' ecn';
    if (has(OPT_ECN_SEEN)) text += ' ecnseen';
    if (has(OPT_SYN_DATA)) text += ' fastopen';
  }
  const congestion = congestionName(info.congestion);
  if (congestion !== '') text += ` ${congestion}`;
  if (has(OPT_WSCALE)) text += ` wscale:${info.snd_wscale},${info.rcv_wscale}`;
  return text;
}

function windowText(info: TcpInfoRecord): string {
  let text = info.rto === RTO_UNSET_US ? '' : millis('rto', info.rto);
  text += field('backoff', info.backoff);
  if (info.rtt > 0) text += ` rtt:${formatG(info.rtt / 1000)}/${formatG(info.rttvar / 1000)}`;
  text += millis('ato', info.ato) + field('mss', info.snd_mss) + field('pmtu', info.pmtu);
  text += field('rcvmss', info.rcv_mss) + field('advmss', info.advmss);
  text += field('cwnd', info.snd_cwnd);
  return text + (info.snd_ssthresh < 0xffff ? field('ssthresh', info.snd_ssthresh) : '');
}

function countersText(info: TcpInfoRecord): string {
  return field('bytes_sent', info.bytes_sent) + field('bytes_retrans', info.bytes_retrans)
    + field('bytes_acked', info.bytes_acked) + field('bytes_received', info.bytes_received)
    + field('segs_out', info.segs_out) + field('segs_in', info.segs_in)
    + field('data_segs_out', info.data_segs_out) + field('data_segs_in', info.data_segs_in);
}

function ratesText(info: TcpInfoRecord, numeric: boolean): string {
  let text = '';
  if (info.rtt > 0 && info.snd_mss > 0 && info.snd_cwnd > 0) {
    const bits = (info.snd_cwnd * info.snd_mss * 8_000_000) / info.rtt;
    text += ` send ${formatRate(bits, numeric)}bps`;
  }
  text += field('lastsnd', info.last_data_sent) + field('lastrcv', info.last_data_recv);
  text += field('lastack', info.last_ack_recv);
  if (info.pacing_rate > 0 && info.pacing_rate < RATE_UNLIMITED) {
    text += ` pacing_rate ${formatRate(info.pacing_rate * 8, numeric)}bps`;
    if (info.max_pacing_rate > 0 && info.max_pacing_rate < RATE_UNLIMITED) {
      text += `/${formatRate(info.max_pacing_rate * 8, numeric)}bps`;
    }
  }
  if (info.delivery_rate > 0) {
    text += ` delivery_rate ${formatRate(info.delivery_rate * 8, numeric)}bps`;
  }
  return text + field('delivered', info.delivered) + field('delivered_ce', info.delivered_ce);
}

function busyText(info: TcpInfoRecord): string {
  if (info.busy_time_ms === 0) return '';
  const part = (name: string, ms: number) => {
    const percent = ((100 * ms) / info.busy_time_ms).toFixed(1);
    return ms > 0 ? ` ${name}:${ms}ms(${percent}%)` : '';
  };
  return ` busy:${info.busy_time_ms}ms${part('rwnd_limited', info.rwnd_limited_ms)}`
    + part('sndbuf_limited', info.sndbuf_limited_ms);
}

function lossText(info: TcpInfoRecord): string {
  let text = field('unacked', info.unacked);
  if (info.retrans > 0 || info.total_retrans > 0) {
    text += ` retrans:${info.retrans}/${info.total_retrans}`;
  }
  text += field('lost', info.lost);
  if (info.state !== State.LISTEN) text += field('sacked', info.sacked);
  text += field('dsack_dups', info.dsack_dups);
  if (info.reordering !== REORDERING_DEFAULT) text += ` reordering:${info.reordering}`;
  text += field('reord_seen', info.reord_seen) + millis('rcv_rtt', info.rcv_rtt);
  text += field('rcv_space', info.rcv_space) + field('rcv_ssthresh', info.rcv_ssthresh);
  text += field('notsent', info.notsent_bytes);
  if (info.min_rtt !== 0xffffffff) text += millis('minrtt', info.min_rtt);
  return text + field('rcv_ooopack', info.rcv_ooopack) + field('snd_wnd', info.snd_wnd);
}

/** The second line of `ss -i` without its tab; `withOptions` as with -o, `numeric` as with -n. */
export function tcpInfoText(
  info: TcpInfoRecord, withOptions: boolean, numeric = false,
): string {
  return optionsText(info, withOptions) + windowText(info) + countersText(info)
    + bbrText(info, numeric) + ratesText(info, numeric) + busyText(info) + lossText(info);
}

/** What stands for skmem when only the total is known: unread, unacknowledged, and the rest. */
function memoryOf(socket: SocketRecord): SocketMemory {
  if (socket.memory !== undefined) return socket.memory;
  const listening = socket.state === State.LISTEN;
  const [r, w] = listening ? [0, 0] : [socket.recvQ, socket.sendQ];
  const f = Math.max(0, socket.memoryBytes - r - w);
  return { r, rb: 0, t: 0, tb: 0, f, w, o: 0, bl: 0, d: 0 };
}

function memoryText(memory: SocketMemory): string {
  const { r, rb, t, tb, f, w, o, bl, d } = memory;
  return ` skmem:(r${r},rb${rb},t${t},tb${tb},f${f},w${w},o${o},bl${bl},d${d})`;
}

function addressText(address: string, v6only: boolean): string {
  if (!address.includes(':')) return address;
  return address === '::' && !v6only ? '*' : `[${address}]`;
}

/** What follows the addresses: the timer, and on the next line memory and tcp_info. */
function extraText(socket: SocketRecord, options: SsOptions): string {
  let text = '';
  const timer = TIMER_NAMES.get(socket.timer);
  if (options.timers === true && timer !== undefined) {
    text += ` timer:(${timer},${timerText(socket.timerMs)},${socket.retransmits})`;
  }
  if (options.memory !== true && options.info !== true) return text;
  text += options.oneline === true ? '' : '\n\t';
  if (options.memory === true) text += memoryText(memoryOf(socket));
  if (options.info === true && socket.info !== undefined) {
    text += tcpInfoText(socket.info, options.timers === true, options.numeric === true);
  }
  return text;
}

interface Column {
  header: string;
  /** What separates it from the column before. */
  gap: string;
  right?: boolean;
}

const COLUMNS: Column[] = [
  { header: 'State', gap: ' ' }, { header: 'Recv-Q', gap: ' ' }, { header: 'Send-Q', gap: ' ' },
  { header: 'Local Address:', gap: ' ', right: true }, { header: 'Port', gap: '' },
  { header: 'Peer Address:', gap: ' ', right: true }, { header: 'Port', gap: '' },
  { header: 'Process', gap: '' },
];

function cells(socket: SocketRecord, options: SsOptions): string[] {
  const v6only = socket.v6only === true;
  const port = (value: number) => (value === 0 ? '*' : String(value));
  return [
    STATE_NAMES.get(socket.state) ?? 'UNKNOWN',
    String(socket.recvQ).padEnd(6), String(socket.sendQ).padEnd(6),
    `${addressText(socket.localAddress, v6only)}:`, port(socket.localPort),
    `${addressText(socket.remoteAddress, v6only)}:`, port(socket.remotePort),
    extraText(socket, options),
  ];
}

function wantedStates(options: SsOptions): number {
  const { states } = options;
  if (states !== undefined && states.length > 0) {
    return states.reduce((set, name) => set | statesOf(name), 0);
  }
  if (options.all === true) return STATES_ALL;
  return options.listening === true ? STATES_LISTENING : STATES_DEFAULT;
}

/**
 * The sockets that the options let pass, in their order.
 * Throws SsFilterError if a state or the filter expression is not understood.
 */
export function selectSockets(
  sockets: Iterable<SocketRecord>, options: SsOptions = {},
): SocketRecord[] {
  const states = wantedStates(options);
  const test: SocketTest = parseFilter(options.filter ?? []);
  const { family } = options;
  return [...sockets].filter((socket) => ((1 << socket.state) & states) !== 0
    && (family === undefined || socket.family === family) && test(socket));
}

/**
 * The whole output, header included, a line break at the end of each line. Columns are as wide as
 * their widest cell, as ss lays them out on a pipe; blanks at the ends of lines are left out.
 * Throws as selectSockets does.
 */
export function formatSs(sockets: Iterable<SocketRecord>, options: SsOptions = {}): string {
  const rows = selectSockets(sockets, options).map((socket) => cells(socket, options));
  if (options.noHeader !== true) rows.unshift(COLUMNS.map((column) => column.header));
  const states = wantedStates(options);
  const first = (states & (states - 1)) === 0 ? 1 : 0; // one state only: ss has no column for it
  const width = (index: number) => rows.reduce(
    (most, row) => Math.max(most, (row[index] ?? '').length), 0,
  );
  const widths = COLUMNS.map((_, index) => width(index));
  const lines = rows.map((row) => COLUMNS.map((column, index) => {
    if (index < first) return '';
    const cell = row[index] ?? '';
    const gap = index === first ? '' : column.gap;
    if (index === COLUMNS.length - 1) return cell;
    const size = widths[index] ?? 0;
    return gap + (column.right === true ? cell.padStart(size) : cell.padEnd(size));
  }).join('').replace(/ +$/, ''));
  return lines.map((line) => `${line}\n`).join('');
}
