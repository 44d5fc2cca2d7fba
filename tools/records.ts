/**
 * The byte tables of docs/decisions/0001-records.md. Each stands behind a marker,
 * `<!-- record NAME FILE -->`, `<!-- layout NAME -->`, `<!-- quote FILE "WORDS" -->` or
 * `<!-- costs -->`, and is made from the sources: `node build/js/tools/records.js --write` renews
 * them all, without it says whether one is old; `--costs` prints what each kind of record costs.
 * Called by tests/records.test.ts.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import * as abi from '../assembly/abi.js';
import { resolveConfig, type EngineConfig } from '../host/core/config.js';
import { quotedComment, type RecordClass, recordClasses } from './record-layout.js';
import { at } from './repository.js';
import type { TextFile } from './tidy/source.js';

/** Where the tables are. */
export const DOCUMENT = 'docs/decisions/0001-records.md';

function source(path: string): TextFile {
  return { path, text: readFileSync(at(path), 'utf8') };
}

/** The class `name` of a source file. */
export function recordClass(name: string, path: string): RecordClass {
  const found = recordClasses(source(path)).find((each) => each.name === name);
  if (found === undefined) throw new Error(`${path} has no record ${name}`);
  return found;
}

type Cell = string | number;

function table(head: readonly string[], rows: readonly (readonly Cell[])[]): string[] {
  const line = (cells: readonly Cell[]) => `| ${cells.join(' | ')} |`;
  const rule = head.map((name) => (/^(offset|bytes)$/.test(name) ? '--:' : '---')).join('|');
  return [line(head), `|${rule}|`, ...rows.map(line)];
}

const escaped = (text: string): string => text.replaceAll('|', '\\|');

/** Does a class begin as Endpoint does, field by field? */
function beginsAsEndpoint(record: RecordClass): boolean {
  const { fields } = recordClass('Endpoint', 'assembly/tcp/records.ts');
  return record.name !== 'Endpoint' && fields.every(({ name, offset }, index) =>
    record.fields[index]?.name === name && record.fields[index]?.offset === offset);
}

function recordTable(name: string, path: string): string[] {
  const record = recordClass(name, path);
  const rows: Cell[][] = [];
  let fields = record.fields;
  let end = 0;
  if (beginsAsEndpoint(record)) {
    rows.push([0, 40, '*Endpoint*', 'as above']);
    fields = fields.filter(({ offset }) => offset >= 40);
    end = 40;
  }
  for (const { name: field, offset, bytes, comment, group } of fields) {
    if (offset > end) rows.push([end, offset - end, '*unused*', '']);
    if (group !== '') rows.push(['', '', `**${escaped(group)}**`, '']);
    rows.push([offset, bytes, `\`${field}\``, escaped(comment)]);
    end = offset + bytes;
  }
  return [...table(['offset', 'bytes', 'field', 'what'], rows), '', `${record.bytes} bytes.`];
}

/** Layouts that are constants of abi.ts and no class: hosts fill or read them word by word. */
const LAYOUTS: Readonly<Record<string, { bytes: number; rows: readonly (readonly Cell[])[] }>> = {
  RxDescriptor: {
    bytes: abi.RX_DESCRIPTOR_BYTES,
    rows: [
      [abi.RX_ADDRESS, 4, '`RX_ADDRESS`', 'of the frame; the virtio_net_hdr stands before it'],
      [abi.RX_CAPACITY, 4, '`RX_CAPACITY`', 'bytes that may stand there'],
      [abi.RX_LENGTH, 4, '`RX_LENGTH`', 'bytes of the frame, set by the host'],
      [abi.RX_FLAGS, 4, '`RX_FLAGS`', '`RX_TRUNCATED`'],
    ],
  },
  TxSlot: {
    bytes: abi.TX_SLOT_BYTES,
    rows: [
      [abi.TX_PIECE_COUNT, 4, '`TX_PIECE_COUNT`', 'pieces, the header counted'],
      [abi.TX_TOTAL, 4, '`TX_TOTAL`', 'bytes in all, without virtio_net_hdr'],
      [abi.TX_FLAGS, 4, '`TX_FLAGS`', 'none yet'],
      [abi.TX_FLAGS + 4, 4, '*reserved*', ''],
      [abi.TX_PIECES, 8 * abi.TX_PIECES_MAX, '`TX_PIECES`',
        `${abi.TX_PIECES_MAX} pairs of u32 address, u32 length`],
      [abi.TX_PIECES + 8 * abi.TX_PIECES_MAX,
        abi.TX_L3_HEADER - abi.TX_PIECES - 8 * abi.TX_PIECES_MAX, '*headroom*',
        'virtio_net_hdr and link header, right before the IP header'],
      [abi.TX_L3_HEADER, abi.TX_SLOT_BYTES - abi.TX_L3_HEADER, '`TX_L3_HEADER`',
        'IP header, TCP header, options'],
    ],
  },
  VirtioNetHdr: {
    bytes: abi.VNET_HDR_BYTES,
    rows: [
      [abi.VNET_FLAGS, 1, '`VNET_FLAGS`', '`NEEDS_CSUM`, `DATA_VALID`'],
      [abi.VNET_GSO_TYPE, 1, '`VNET_GSO_TYPE`', 'none, TCPv4, TCPv6; `ECN`'],
      [abi.VNET_HDR_LEN, 2, '`VNET_HDR_LEN`', 'of all headers'],
      [abi.VNET_GSO_SIZE, 2, '`VNET_GSO_SIZE`', 'payload of each packet but the last'],
      [abi.VNET_CSUM_START, 2, '`VNET_CSUM_START`', 'where the sum begins'],
      [abi.VNET_CSUM_OFFSET, 2, '`VNET_CSUM_OFFSET`', 'from there to where it goes'],
    ],
  },
  Event: {
    bytes: abi.EVENT_BYTES,
    rows: [
      [0, 4, 'kind', '`HandleKind`'],
      [4, 4, 'index', 'of the handle'],
      [8, 4, 'generation', 'of the handle'],
      [12, 4, 'mask', '`EVENT_*`, each at most once until drained'],
    ],
  },
};

function layoutTable(name: string): string[] {
  const layout = LAYOUTS[name];
  if (layout === undefined) throw new Error(`no layout ${name}`);
  let end = 0;
  for (const [offset, bytes] of layout.rows) {
    if (offset !== end) throw new Error(`${name}: a row at ${offset} follows byte ${end}`);
    end = Number(offset) + Number(bytes);
  }
  if (end !== layout.bytes) throw new Error(`${name}: rows end at ${end}, not ${layout.bytes}`);
  const rows = table(['offset', 'bytes', 'name', 'what'], layout.rows);
  return [...rows, '', `${layout.bytes} bytes.`];
}

/** Records in the hash table when every pool is full, and what its buckets then cost each. */
function hashShare(config: EngineConfig): number {
  const { hashBuckets, connectionsMax, synRequestsMax, timeWaitMax, listenersMax } =
    resolveConfig(config);
  return (hashBuckets * 4) / (connectionsMax + synRequestsMax + timeWaitMax + listenersMax);
}

function costTable(): string[] {
  const size = (name: string) => recordClass(name, 'assembly/tcp/records.ts').bytes;
  const kinds: readonly (readonly [string, number])[] = [
    ['connection, fresh (Tcb)', size('Tcb')],
    ['connection, carried data, quiet (Tcb + Extra)', size('Tcb') + size('Extra')],
    ['half-open (SynRequest)', size('SynRequest')],
    ['TIME-WAIT', size('TimeWait')],
    ['listener', size('Listener')],
  ];
  const shares = [
    hashShare({}), hashShare({ profile: 'mcu' }),
    hashShare({ connectionsMax: 1_000_000, extrasMax: 1_000_000 }),
  ];
  const rows = kinds.map(([name, bytes]) =>
    [name, bytes, ...shares.map((share) => (bytes + share).toFixed(1))]);
  const head = ['what', 'bytes', 'with hash, `default`', '`mcu`', 'a million connections'];
  return table(head, rows);
}

function content(kind: string, rest: string): string[] {
  const [name = '', path = ''] = rest.split(' ');
  switch (kind) {
    case 'record': return recordTable(name, path);
    case 'layout': return layoutTable(name);
    case 'costs': return costTable();
    case 'quote': {
      const words = /"(.+)"/.exec(rest)?.[1] ?? '';
      return ['```text', ...quotedComment(source(name), words), '```'];
    }
    default: throw new Error(`unknown marker: ${kind}`);
  }
}

/** The document with every table as the sources have it. */
export function renewed(text: string): string {
  const marked = /<!-- (record|layout|quote|costs)(?: (.+?))? -->\n[^]*?<!-- end -->/g;
  return text.replaceAll(marked, (_, kind: string, rest = '') => {
    const marker = `<!-- ${kind}${rest === '' ? '' : ` ${rest}`} -->`;
    return [marker, '', ...content(kind, rest), '', '<!-- end -->'].join('\n');
  });
}

function main(args: readonly string[]): void {
  if (args.includes('--costs')) {
    process.stdout.write(`${costTable().join('\n')}\n`);
    return;
  }
  const text = readFileSync(at(DOCUMENT), 'utf8');
  const fresh = renewed(text);
  if (args.includes('--write')) {
    writeFileSync(at(DOCUMENT), fresh);
  } else if (fresh !== text) {
    process.stderr.write(`${DOCUMENT} is old: node build/js/tools/records.js --write\n`);
    process.exitCode = 1;
  }
}

if (process.argv[1] === at('build', 'js', 'tools', 'records.js')) main(process.argv.slice(2));
