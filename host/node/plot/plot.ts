/**
 * Draws the time series of a run as SVG: congestion window, slow-start threshold and bytes in
 * flight; RTT; goodput; queue; drops; panel under panel with one time axis. ECharts renders it
 * without a DOM. Loaded only when a plot is wanted. Called by `ackorn sim --plot` and the gallery.
 */
import { BarChart, LineChart } from 'echarts/charts';
import { GridComponent, LegendComponent, TitleComponent } from 'echarts/components';
import { init, use, type EChartsCoreOption } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import type { Run, Series } from '../../sim/scenario/index.js';

use([BarChart, LineChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer]);

const WIDTH = 900;
const PANEL = 120;
const GAP = 46;
const TOP = 50;
/** Points of a line: more than pixels are none. */
const POINTS = 450;

interface Panel {
  title: string;
  /** Names of columns, without the flow. */
  columns: readonly string[];
  /** What a unit of the axis is worth in the column's. */
  scale: number;
  kind: 'line' | 'bar';
}

const PANELS: readonly Panel[] = [
  {
    title: 'window, KB', columns: ['cwndBytes', 'ssthreshBytes', 'inFlightBytes'], scale: 1e3,
    kind: 'line',
  },
  { title: 'RTT, ms', columns: ['rttMs'], scale: 1, kind: 'line' },
  { title: 'goodput, Mbit/s', columns: ['goodputBps'], scale: 1e6, kind: 'line' },
  { title: 'queue, KB', columns: ['queueBytes'], scale: 1e3, kind: 'line' },
  { title: 'drops, packets', columns: ['drops'], scale: 1, kind: 'bar' },
];

const LABELS: Readonly<Record<string, string>> = {
  cwndBytes: 'cwnd', ssthreshBytes: 'ssthresh', inFlightBytes: 'in flight', rttMs: 'RTT',
  goodputBps: 'goodput', queueBytes: 'queue', drops: 'drops',
};

/** Shared by all series of a flow, so that it is found again in each panel. */
const COLOURS = [
  '#1f77b4', '#d62728', '#2ca02c', '#9467bd', '#ff7f0e', '#17becf', '#8c564b', '#e377c2',
  '#7f7f7f', '#bcbd22',
];

type Point = [seconds: number, value: number | undefined];

/** Means of equal parts, for drops sums: a curve of at most POINTS points. */
function points(series: Series, values: Float64Array, panel: Panel): Point[] {
  const count = Math.min(POINTS, values.length);
  return Array.from({ length: count }, (_, at): Point => {
    const from = Math.floor((at * values.length) / count);
    const until = Math.floor(((at + 1) * values.length) / count);
    const part = values.subarray(from, until).filter((value) => !Number.isNaN(value));
    const seconds = series.seconds[until - 1] as number;
    if (part.length === 0) return [seconds, undefined];
    const total = part.reduce((left, right) => left + right, 0);
    const value = panel.kind === 'bar' ? total : total / part.length;
    return [Number(seconds.toPrecision(6)), Number((value / panel.scale).toPrecision(4))];
  });
}

/** With many flows the panel of windows has the congestion windows only. */
const MANY = 3;

function columnsOf(run: Run, panel: Panel): { name: string; flow: string; kind: string }[] {
  const many = run.flows.length >= MANY;
  return [...run.series.columns.keys()].flatMap((name) => {
    const dot = name.indexOf('.');
    const kind = dot < 0 ? name : name.slice(0, dot);
    if (!panel.columns.includes(kind) || (many && kind !== panel.columns[0])) return [];
    return [{ name, kind, flow: dot < 0 ? '' : name.slice(dot + 1) }];
  });
}

function seriesOf(run: Run, panel: Panel, at: number): object[] {
  const style = (kind: string): string =>
    (kind === 'ssthreshBytes' ? 'dashed' : kind === 'inFlightBytes' ? 'dotted' : 'solid');
  return columnsOf(run, panel).map(({ name, kind, flow }, place) => {
    const values = run.series.columns.get(name) as Float64Array;
    const index = flow === '' ? place : run.flows.findIndex((each) => each.name === flow);
    const colour = COLOURS[index % COLOURS.length] as string;
    const label = LABELS[kind] ?? kind;
    return {
      type: panel.kind,
      name: flow === '' ? label : `${label} ${flow}`,
      xAxisIndex: at,
      yAxisIndex: at,
      data: points(run.series, values, panel),
      showSymbol: false,
      silent: true,
      lineStyle: { width: 1.2, type: style(kind), color: colour },
      itemStyle: { color: colour },
      ...(panel.kind === 'bar' ? { barMinWidth: 1, barMaxWidth: 3 } : {}),
    };
  });
}

function optionOf(run: Run, title: string, panels: readonly Panel[]): EChartsCoreOption {
  const top = (at: number): number => TOP + at * (PANEL + GAP);
  const last = run.series.seconds.at(-1) ?? 1;
  return {
    animation: false,
    backgroundColor: '#ffffff',
    textStyle: { fontFamily: 'sans-serif' },
    title: [
      { text: title, left: 10, top: 4, textStyle: { fontSize: 14 } },
      ...panels.map((panel, at) => ({
        text: panel.title, left: 10, top: top(at) - 28,
        textStyle: { fontSize: 11, fontWeight: 'normal' },
      })),
    ],
    legend: panels.map((panel, at) => ({
      top: top(at) - 24, right: 10, itemHeight: 3, itemWidth: 16, itemGap: 14, icon: 'rect',
      textStyle: { fontSize: 10 },
      data: seriesOf(run, panel, at).map((each) => (each as { name: string }).name),
    })),
    grid: panels.map((_, at) => ({ left: 70, right: 20, top: top(at), height: PANEL })),
    xAxis: panels.map((_, at) => ({
      type: 'value', gridIndex: at, min: 0, max: last,
      axisLabel: { formatter: '{value} s', fontSize: 10, showMaxLabel: false },
      splitLine: { show: false },
    })),
    yAxis: panels.map((_, at) => ({
      type: 'value', gridIndex: at, min: 0, splitNumber: 3, axisLabel: { fontSize: 10 },
    })),
    series: panels.flatMap((panel, at) => seriesOf(run, panel, at)),
  };
}

/** SVG text of one run. Panels without anything in them are left out. */
export function plotRun(run: Run, title: string): string {
  const panels = PANELS.filter((panel) => columnsOf(run, panel).some(({ name }) =>
    run.series.columns.get(name)?.some((value) => value > 0)));
  const height = TOP + Math.max(1, panels.length) * (PANEL + GAP);
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height });
  chart.setOption(optionOf(run, title, panels));
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
}
