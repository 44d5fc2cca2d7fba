/**
 * Golden figures: what a scenario's slice gave when it was last looked at, and whether it has
 * become worse since. Kept in tests/gallery/golden.json, renewed by tools/golden.ts,
 * compared by tests.
 */
import { DEFAULT_CC } from './run.js';
import type { CcName, GoldenFigure, Outcome, Report, Scenario } from './types.js';

/** Figures by name; those of rows have the row before them, `sack=on finishMs`. */
export type Kept = Record<string, number>;
/** By `scenario/controller`. */
export type GoldenFile = Record<string, Kept>;

/** The controllers that a scenario is judged with. */
export function controllersOf(scenario: Scenario): readonly CcName[] {
  return scenario.controllers ?? [scenario.cc ?? DEFAULT_CC];
}

function nameOf(outcome: Outcome, figure: string): string {
  const row = Object.entries(outcome.columns).map((pair) => pair.join('='));
  return [...row, figure].join(' ');
}

/** Each kept figure of a report with how it is judged. */
function* figuresOf(report: Report): Generator<[name: string, value: number, how: GoldenFigure]> {
  for (const outcome of report.outcomes) {
    for (const how of report.scenario.golden ?? []) {
      const summary = outcome.summary[how.figure];
      if (summary === undefined) throw new RangeError(`${report.scenario.name}: no ${how.figure}`);
      yield [nameOf(outcome, how.figure), summary.mean, how];
    }
  }
}

/** What the golden file is to keep of a report. */
export function keep(report: Report): Kept {
  return Object.fromEntries([...figuresOf(report)].map(([name, value]) =>
    [name, Number(value.toPrecision(6))]));
}

function worse(before: number, now: number, how: GoldenFigure): boolean {
  const allowed = Math.max(Math.abs(before) * how.tolerance, how.slack ?? 0);
  if (how.better === 'more') return now < before - allowed;
  if (how.better === 'less') return now > before + allowed;
  return Math.abs(now - before) > allowed;
}

/** One line for each figure that has become worse, is new, or is gone. */
export function compare(report: Report, kept: Kept | undefined): string[] {
  if (kept === undefined) return ['nothing is kept of it'];
  const findings: string[] = [];
  const names = new Set(Object.keys(kept));
  for (const [name, value, how] of figuresOf(report)) {
    const before = kept[name];
    names.delete(name);
    if (before === undefined) findings.push(`${name}: not kept`);
    else if (worse(before, value, how)) {
      const more = `better: ${how.better}, tolerance ${how.tolerance}`;
      findings.push(`${name}: ${before} has become ${Number(value.toPrecision(6))} (${more})`);
    }
  }
  return [...findings, ...[...names].map((name) => `${name}: kept, but not in the report`)];
}
