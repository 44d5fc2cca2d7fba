/**
 * Figures over samples and over seeds: median, mean with its spread, Jain's index. Called by
 * sampler.ts, run.ts and whoever prints.
 */

export interface Summary {
  mean: number;
  least: number;
  most: number;
  /** Standard deviation of the single runs (n − 1); 0 for one run. */
  deviation: number;
}

/** @throws RangeError for no values: a mean of nothing is a mistake of the caller */
export function summarize(values: readonly number[]): Summary {
  if (values.length === 0) throw new RangeError('no values');
  const mean = values.reduce((left, right) => left + right, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const deviation = values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0;
  return { mean, least: Math.min(...values), most: Math.max(...values), deviation };
}

/** The value that half of them reach; NaNs are left out; 0 when none is left. */
export function median(values: Float64Array): number {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort();
  if (sorted.length === 0) return 0;
  const middle = sorted.length >> 1;
  const high = sorted[middle] as number;
  return sorted.length % 2 === 1 ? high : ((sorted[middle - 1] as number) + high) / 2;
}

/** Jain's index of fairness: (Σx)² / (n Σx²), from 1/n to 1; 1 when nothing was shared out. */
export function jain(shares: readonly number[]): number {
  const sum = shares.reduce((left, right) => left + right, 0);
  const squares = shares.reduce((total, share) => total + share ** 2, 0);
  return squares === 0 ? 1 : sum ** 2 / (shares.length * squares);
}
