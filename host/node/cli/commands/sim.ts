/**
 * `ackorn sim`: runs a scenario of the gallery, or one from a file, in virtual time, and prints
 * what happened: figures, story and charts in the terminal, --json, --csv, --plot.
 */
import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { GALLERY } from '../../../sim/gallery/index.js';
import {
  CC_NAMES, csvLines, describeReport, jsonReport, judge, listLine, runScenario,
  type CcName, type Outcome, type Report, type Scenario,
} from '../../../sim/scenario/index.js';
import { EngineError } from '../../../core/errors.js';
import { engineModule } from '../../engine.js';
import { CommandError, oneLine, UsageError } from '../errors.js';
import { isScenarioFile, loadScenario } from '../scenario-file.js';

interface Options {
  list?: boolean;
  cc?: string;
  seed?: string;
  seeds?: string;
  queue?: string;
  row?: string;
  json?: boolean;
  csv?: string;
  plot?: string;
  check?: boolean;
}

function whole(name: string, text: string | undefined, least: number, most: number) {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new UsageError(`--${name} ${text}: a whole number from ${least} to ${most} is wanted`);
}

function controller(text: string | undefined): CcName | undefined {
  if (text === undefined || CC_NAMES.includes(text)) return text as CcName | undefined;
  throw new UsageError(`--cc ${text}: unknown (known: ${CC_NAMES.join(', ')})`);
}

function queue(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^\d*\.?\d+$/.test(text) && value > 0 && value <= 1000) return value;
  throw new UsageError(`--queue ${text}: a number of BDPs above 0 is wanted, at most 1000`);
}

function find(name: string): Promise<Scenario> | Scenario {
  const known = GALLERY.find((scenario) => scenario.name === name);
  if (known !== undefined) return known;
  if (isScenarioFile(name)) return loadScenario(name);
  throw new UsageError(`unknown scenario: ${name} (ackorn sim --list shows them)`);
}

/** stderr of a terminal only; gone when the run is. */
function progress(): ((share: number) => void) | undefined {
  if (!process.stderr.isTTY) return undefined;
  let shown = -1;
  return (share) => {
    const percent = Math.floor(share * 100);
    if (percent === shown) return;
    shown = percent;
    process.stderr.write(percent >= 100 ? '\r    \r' : `\r${String(percent).padStart(3)}%`);
  };
}

function chosen(report: Report, text: string | undefined): Outcome {
  const row = whole('row', text ?? '1', 1, report.outcomes.length) as number;
  return report.outcomes[row - 1] as Outcome;
}

function save(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    throw new CommandError(oneLine(error));
  }
}

async function plot(path: string, report: Report, outcome: Outcome): Promise<void> {
  // Late: loading the library takes longer than most runs.
  const { plotRun } = await import('../../plot/plot.js');
  const label = Object.entries(outcome.columns).map((pair) => ` · ${pair.join(' ')}`).join('');
  const [run] = outcome.runs;
  if (run === undefined) return;
  save(path, plotRun(run, `${report.scenario.name}${label} · ${report.cc}, seed ${run.seed}`));
}

function print(text: string): Promise<void> {
  return new Promise((resolve) => process.stdout.write(`${text}\n`, () => resolve()));
}

async function run(scenario: Scenario, options: Options): Promise<Report> {
  const settings = {
    module: await engineModule(),
    cc: controller(options.cc),
    seed: whole('seed', options.seed, 0, 0xffffffff),
    seeds: whole('seeds', options.seeds, 1, 10_000),
    queueBdp: queue(options.queue),
    onProgress: progress(),
  };
  try {
    return runScenario(scenario, settings);
  } catch (error) {
    if (error instanceof EngineError || error instanceof RangeError) {
      throw new CommandError(`${scenario.name}: ${oneLine(error)}`);
    }
    throw error;
  }
}

async function action(name: string | undefined, options: Options): Promise<number> {
  if (options.list === true) {
    await print(options.json === true
      ? JSON.stringify(GALLERY.map(({ name: each, title }) => ({ name: each, title })))
      : GALLERY.map(listLine).join('\n'));
    return 0;
  }
  if (name === undefined) throw new UsageError('which scenario? (ackorn sim --list shows them)');
  if (options.json === true && options.csv === '-') {
    throw new UsageError('--json and --csv -: only one of them can have the standard output');
  }
  const report = await run(await find(name), options);
  const outcome = chosen(report, options.row);
  const [first] = outcome.runs;
  if (options.plot !== undefined) await plot(options.plot, report, outcome);
  const csv = first === undefined ? [] : csvLines(first.series);
  if (options.csv !== undefined && options.csv !== '-') save(options.csv, `${csv.join('\n')}\n`);
  if (options.csv === '-') await print(csv.join('\n'));
  else if (options.json === true) await print(JSON.stringify(jsonReport(report), undefined, 2));
  else await print(describeReport(report).join('\n'));
  if (options.check !== true) return 0;
  return judge(report).every(({ holds }) => holds) ? 0 : 1;
}

/** Adds the command. */
export function registerSim(
  program: Command, runAction: (action: () => Promise<number>) => void,
): void {
  program.command('sim [scenario]')
    .description('run a scenario in virtual time; a name from --list or a .json, .js or .ts file')
    .option('--list', 'the scenarios there are')
    .option('--cc <name>', `congestion control: ${CC_NAMES.join(', ')}`)
    .option('--seed <n>', 'first seed (1)')
    .option('--seeds <n>', 'so many runs; mean and spread')
    .option('--queue <x>', 'bottleneck queue in bandwidth-delay products')
    .option('--row <n>', 'which row of a table --csv and --plot show', '1')
    .option('--json', 'one object')
    .option('--csv <file>', 'time series of the first seed; - for the standard output')
    .option('--plot <file.svg>', 'cwnd, ssthresh, bytes in flight, RTT, goodput, queue, drops')
    .option('--check', 'exit code 1 when an expectation does not hold')
    .action((name: string | undefined, options: Options) => runAction(() => action(name, options)));
}
