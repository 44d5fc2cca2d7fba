/**
 * Judges the outcome of a run against what its scenario expects. Called by tests, the gallery and
 * the command line.
 */
import type { Expectation, Outcome, Report } from './types.js';

export interface Verdict {
  /** `utilization ≥ 0.95: 0.987` */
  text: string;
  holds: boolean;
}

type Row = Expectation['row'];

function matches(outcome: Outcome, row: Row): boolean {
  return Object.entries(row ?? {}).every(([name, value]) => outcome.columns[name] === value);
}

/** The mean of a figure in a row. @throws RangeError when there is no such row or figure */
function meanOf(report: Report, figure: string, row: Row): number {
  const outcome = report.outcomes.find((each) => matches(each, row));
  const summary = outcome?.summary[figure];
  if (summary === undefined) {
    throw new RangeError(`${report.scenario.name}: no ${figure} in ${JSON.stringify(row ?? {})}`);
  }
  return summary.mean;
}

/** Five digits are more than any of these figures means. */
export function shortNumber(value: number): string {
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(5)));
}

function nameOf(row: Row): string {
  return Object.entries(row ?? {}).map(([name, value]) => `[${name} ${value}]`).join('');
}

function verdicts(report: Report, expected: Expectation): Verdict[] {
  const { figure, row, atLeast, atMost, than } = expected;
  const value = meanOf(report, figure, row);
  const unit = than === undefined ? 1
    : meanOf(report, than.figure ?? figure, than.row ?? row) * than.times;
  const said = (sign: string, limit: number): string =>
    `${figure}${nameOf(row)} ${sign} ${shortNumber(limit)}: ${shortNumber(value)}`;
  const all: Verdict[] = [];
  if (atLeast !== undefined) {
    const limit = atLeast * unit;
    all.push({ text: said('≥', limit), holds: value >= limit });
  }
  if (atMost !== undefined) {
    const limit = atMost * unit;
    all.push({ text: said('≤', limit), holds: value <= limit });
  }
  return all;
}

/** What the scenario expects of this controller, each with whether it holds. */
export function judge(report: Report): Verdict[] {
  return (report.scenario.expect ?? [])
    .filter(({ cc }) => cc === undefined || cc.includes(report.cc))
    .flatMap((expected) => verdicts(report, expected));
}
