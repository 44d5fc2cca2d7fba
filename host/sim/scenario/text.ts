/**
 * A report as people read it: figures with units, a table for rows, the story, a compact chart of
 * block characters; and as programs read it: one JSON object, CSV. Called by the command line and
 * the gallery; portable.
 */
import { judge, shortNumber } from './expect.js';
import type { Outcome, Report, Run, Scenario, Series } from './types.js';

const CHART_COLUMNS = 64;
const BLOCKS = '▁▂▃▄▅▆▇█';

/** Figures that every run has, in the order in which they are printed. */
const STANDARD = [
  'seconds', 'goodputBps', 'utilization', 'segments', 'retransmits', 'timeouts', 'drops',
  'rttMsP50', 'queueBytesP50', 'jain',
] as const;

const PREFIXES: readonly [number, string][] = [[1e9, 'G'], [1e6, 'M'], [1e3, 'k']];

/** A value with the unit that its name says. */
export function withUnit(name: string, value: number): string {
  const unit = /Bps/.test(name) ? 'bit/s' : /Bytes/.test(name) ? 'B' : '';
  if (unit === '') return shortNumber(value);
  const [scale, prefix] = PREFIXES.find(([least]) => Math.abs(value) >= least) ?? [1, ''];
  return `${shortNumber(value / scale)} ${prefix}${unit}`;
}

/** Mean of each of `columns` parts of a series, or its sum. */
export function condense(values: Float64Array, columns: number, sum: boolean): number[] {
  const width = Math.min(columns, values.length);
  return Array.from({ length: width }, (_, at) => {
    const from = Math.floor((at * values.length) / width);
    const until = Math.floor(((at + 1) * values.length) / width);
    const part = [...values.subarray(from, until)].filter((value) => !Number.isNaN(value));
    const total = part.reduce((left, right) => left + right, 0);
    return sum ? total : total / part.length; // NaN when nothing was sampled
  });
}

/** One line of blocks, from 0 to the largest value. */
function chartLine(name: string, values: Float64Array): string | undefined {
  const points = condense(values, CHART_COLUMNS, name === 'drops');
  const most = Math.max(...points.filter((value) => !Number.isNaN(value)), 0);
  if (most === 0) return undefined;
  const blocks = points.map((value) => {
    if (Number.isNaN(value) || value === 0) return ' ';
    return BLOCKS[Math.min(7, Math.floor((value / most) * 8))] ?? ' ';
  });
  return `${name.padEnd(22)} ${blocks.join('')}  ${withUnit(name, most)}`;
}

/** Flows beyond these are in --csv and --plot, not in the terminal. */
const CHART_FLOWS = 3;

export function chart(series: Series): string[] {
  const lines = [...series.columns].flatMap(([name, values]) => {
    const flow = Number(/\.flow(\d+)$/.exec(name)?.[1] ?? 0);
    const line = flow > CHART_FLOWS ? undefined : chartLine(name, values);
    return line === undefined ? [] : [line];
  });
  const first = shortNumber(series.seconds[0] ?? 0);
  const last = shortNumber(series.seconds.at(-1) ?? 0);
  if (lines.length === 0) return [];
  const axis = `${`${first} s`.padEnd(CHART_COLUMNS - last.length - 2)}${last} s`;
  return [...lines, `${'time'.padEnd(22)} ${axis}  (largest value)`];
}

function figureLines(outcome: Outcome): string[] {
  const { summary, runs } = outcome;
  const several = runs.length > 1;
  const standard: readonly string[] = STANDARD;
  const own = Object.keys(summary).filter((name) => !standard.includes(name));
  const names = [...STANDARD.filter((name) => runs[0]?.flows.length !== 0 || isBare(name)), ...own];
  return names.flatMap((name) => {
    const figure = summary[name];
    if (figure === undefined || (name === 'jain' && (runs[0]?.flows.length ?? 0) < 2)) return [];
    const spread = several && figure.most > figure.least
      ? `  (${withUnit(name, figure.least)} to ${withUnit(name, figure.most)}, ` +
        `deviation ${withUnit(name, figure.deviation)})`
      : '';
    return [`  ${name.padEnd(24)} ${withUnit(name, figure.mean)}${spread}`];
  });
}

/** Figures that mean something without bulk flows. */
function isBare(name: string): boolean {
  return ['seconds', 'segments', 'retransmits', 'timeouts', 'drops'].includes(name);
}

function tableLines(report: Report): string[] {
  const { outcomes, scenario } = report;
  const shown = scenario.shows ?? ['goodputBps', 'retransmits', 'timeouts'];
  const labels = Object.keys(outcomes[0]?.columns ?? {});
  const rows = outcomes.map(({ columns, summary }) => [
    ...labels.map((name) => String(columns[name])),
    ...shown.map((name) => {
      const figure = summary[name];
      if (figure === undefined) return '-';
      const spread = figure.deviation > 0 ? ` ±${withUnit(name, figure.deviation)}` : '';
      return `${withUnit(name, figure.mean)}${spread}`;
    }),
  ]);
  const all = [[...labels, ...shown], ...rows];
  const widths = [...labels, ...shown].map((_, at) =>
    Math.max(...all.map((cells) => (cells[at] as string).length)));
  return all.map((cells) =>
    `  ${cells.map((cell, at) => cell.padEnd(widths[at] as number)).join('  ')}`.trimEnd());
}

export function storyLines(run: Run | undefined): string[] {
  return (run?.story ?? []).map(({ seconds, text }) => `  ${seconds.toFixed(6)} s  ${text}`);
}

/** What a person reads in the terminal. */
export function describeReport(report: Report): string[] {
  const { scenario, cc, seeds, outcomes } = report;
  const [first, last] = [seeds[0], seeds.at(-1)];
  const which = seeds.length === 1 ? `seed ${first}` : `seeds ${first} to ${last}, mean`;
  const lines = [`${scenario.name}: ${scenario.title} (${cc}, ${which})`];
  const only = scenario.cases === undefined ? outcomes[0] : undefined;
  lines.push(...(only === undefined ? tableLines(report) : figureLines(only)));
  for (const outcome of outcomes) {
    const run = outcome.runs[0];
    if (run === undefined || run.story.length === 0) continue;
    const label = Object.entries(outcome.columns).map((pair) => pair.join(' ')).join(', ');
    lines.push('', only === undefined ? `what happened · ${label}` : 'what happened',
      ...storyLines(run));
  }
  const flows = only?.runs[0]?.flows ?? [];
  if (flows.length > 1) {
    lines.push('', ...flows.map(({ name, cc: own, goodputBps, retransmits }) =>
      `  ${name.padEnd(10)} ${own.padEnd(6)} ${withUnit('goodputBps', goodputBps)}, ` +
      `${retransmits} sent again`));
  }
  const series = only?.runs[0]?.series;
  if (series !== undefined && flows.length > 0) lines.push('', ...chart(series));
  const verdicts = judge(report);
  if (verdicts.length > 0) lines.push('');
  lines.push(...verdicts.map(({ text, holds }) =>
    `${holds ? 'as expected' : 'NOT so'}: ${text}`));
  return lines;
}

type JsonValue = string | number | boolean | JsonObject | JsonObject[];
interface JsonObject { [name: string]: JsonValue }

function means(outcome: Outcome): JsonObject {
  const entries = Object.entries(outcome.summary);
  const figures: JsonObject = Object.fromEntries(entries.map(([name, { mean }]) => [name, mean]));
  if (outcome.runs.length === 1) return figures;
  const spread: JsonObject = Object.fromEntries(entries.map(([name, { least, most, deviation }]) =>
    [name, { least, most, deviation }]));
  return { ...figures, spread };
}

/** What --json prints. */
export function jsonReport(report: Report): JsonObject {
  const { scenario, cc, seeds, outcomes } = report;
  const first = outcomes[0] as Outcome;
  const head: JsonObject = {
    scenario: scenario.name, cc, seed: seeds[0] as number, seeds: seeds.length,
    seconds: first.summary['seconds']?.mean ?? 0,
  };
  const expected = judge(report).map(({ text, holds }) => ({ text, holds }));
  if (scenario.cases !== undefined) {
    const rows = outcomes.map((outcome) => ({ ...outcome.columns, ...means(outcome) }));
    return { ...head, rows, expected };
  }
  const flows = (first.runs[0]?.flows ?? []).map((flow) => ({ ...flow }));
  return { ...head, ...means(first), flows, expected };
}

/** Time series: a header, then a line a sample. Nothing stands where nothing was sampled. */
export function csvLines(series: Series): string[] {
  const columns = [...series.columns];
  const header = ['seconds', ...columns.map(([name]) => name)].join(',');
  const lines = Array.from(series.seconds, (seconds, at) => [seconds, ...columns.map(
    ([, values]) => values[at] as number,
  )].map((value) => (Number.isNaN(value) ? '' : String(value))).join(','));
  return [header, ...lines];
}

/** One line for --list. */
export function listLine(scenario: Scenario): string {
  return `${scenario.name.padEnd(24)} ${scenario.title}`;
}
