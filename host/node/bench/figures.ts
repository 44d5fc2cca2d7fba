/**
 * Medians, ranges and ratios of alternating runs, and the table that `ackorn bench tun` prints. A
 * ratio is the median of the runs' own ratios: both measurements of a run followed each other.
 * Called by tun.ts. Measures nothing.
 */

/** One quantity in every run, ours beside the kernel's. */
export interface Pairs {
  ackorn: number[];
  kernel: number[];
}

export interface Summary {
  median: number;
  min: number;
  max: number;
}

export interface Comparison {
  ackorn: Summary;
  kernel: Summary;
  /** Ours by the kernel's, run by run. */
  ratio: Summary;
}

export function summary(values: readonly number[]): Summary {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const high = sorted[middle] ?? 0;
  const low = sorted.length % 2 === 0 ? sorted[middle - 1] ?? 0 : high;
  return { median: (low + high) / 2, min: sorted[0] ?? 0, max: sorted.at(-1) ?? 0 };
}

export function compare({ ackorn, kernel }: Pairs): Comparison {
  return {
    ackorn: summary(ackorn), kernel: summary(kernel),
    ratio: summary(ackorn.map((value, run) => value / (kernel[run] ?? Number.NaN))),
  };
}

/** Three digits are what such figures are good for. */
function short(value: number): string {
  if (!Number.isFinite(value)) return '-'; // nothing by nothing
  if (value >= 100) return String(Math.round(value));
  return value.toFixed(value >= 10 ? 1 : 2);
}

function spread({ median, min, max }: Summary): string {
  return min === max ? short(median) : `${short(median)} (${short(min)}-${short(max)})`;
}

/** One line of the table. */
export interface Row {
  name: string;
  unit: string;
  figures: Comparison;
}

const WIDTHS = [38, 9, 22, 22] as const;

function line(cells: readonly string[]): string {
  return cells.map((cell, at) => cell.padEnd(WIDTHS[at] ?? 0)).join(' ').trimEnd();
}

export function table(rows: readonly Row[]): string[] {
  return [
    line(['', '', 'ackorn', 'kernel', 'ackorn : kernel']),
    ...rows.map(({ name, unit, figures: { ackorn, kernel, ratio } }) => {
      return line([name, unit, spread(ackorn), spread(kernel), spread(ratio)]);
    }),
  ];
}
