import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { C, E, S, edgeKey, type Frames } from './frames';
import type { RunView } from './api';
import { shortened } from './graph';
import * as s from './state';
import { clock, percent, rate, seconds } from './text';

interface Line { label: string; colour: string; of: (f: Frames, i: number) => number; dash?: number[] }
interface Chart { id: string; title: string; lines: Line[]; value: (v: number) => string }

/** What is charted: the clients, a service or an edge. */
function chartsOf(chosen: s.Selected): Chart[] {
  const blue = '--c-blue', orange = '--c-orange', red = '--bad', green = '--c-green', purple = '--c-purple';
  if (chosen?.kind === 'edge' && chosen.from !== '') {
    const key = edgeKey(chosen.from, chosen.to), at = (field: number) => (f: Frames, i: number) => f.edge(i, key, field);
    return [
      { id: 'rate', title: 'Calls per second', value: rate, lines: [{ label: 'calls', colour: blue, of: at(E.rate) }, { label: 'sent, with retries', colour: purple, of: at(E.sent), dash: [5, 4] }] },
      { id: 'errors', title: 'Share of errors', value: percent, lines: [{ label: 'errors', colour: red, of: at(E.errors) }] },
      { id: 'latency', title: 'Latency', value: seconds, lines: [{ label: 'p50', colour: green, of: at(E.p50), dash: [7, 4] }, { label: 'p99', colour: orange, of: at(E.p99) }] },
    ];
  }
  if (chosen?.kind === 'service' && chosen.name !== '') {
    const at = (field: number) => (f: Frames, i: number) => f.service(i, chosen.name, field);
    return [
      { id: 'rate', title: 'Requests per second', value: rate, lines: [{ label: 'requests', colour: blue, of: at(S.rate) }] },
      { id: 'errors', title: 'Share of errors', value: percent, lines: [{ label: 'errors', colour: red, of: at(S.errors) }] },
      { id: 'latency', title: 'Latency', value: seconds, lines: [{ label: 'p50', colour: green, of: at(S.p50), dash: [7, 4] }, { label: 'p99', colour: orange, of: at(S.p99) }] },
      { id: 'queue', title: 'Requests inside', value: v => v.toFixed(0), lines: [{ label: 'in flight', colour: blue, of: at(S.inflight) }, { label: 'waiting', colour: red, of: at(S.queue), dash: [3, 3] }] },
    ];
  }
  const at = (field: number) => (f: Frames, i: number) => f.client(i, field);
  return [
    { id: 'rate', title: 'Clients: requests per second', value: rate, lines: [{ label: 'ended', colour: blue, of: at(C.rate) }, { label: 'ended well', colour: green, of: at(C.goodput), dash: [7, 4] }] },
    { id: 'errors', title: 'Clients: share of errors', value: percent, lines: [{ label: 'errors', colour: red, of: at(C.errors) }] },
    { id: 'latency', title: 'Clients: latency', value: seconds, lines: [{ label: 'p50', colour: green, of: at(C.p50), dash: [7, 4] }, { label: 'p99', colour: orange, of: at(C.p99) }] },
  ];
}

const tenMinutes = 600;

interface Firing { alert: string; from: number; to: number; row: number }
/** The alerts that are marked in the charts of what is selected: those of its services, and those of no service. */
function alertsOf(chosen: s.Selected): Firing[] {
  const about = chosen?.kind === 'service' && chosen.name ? [chosen.name] : chosen?.kind === 'edge' ? [chosen.from, chosen.to] : null, ends: number[] = [];
  return (s.detail.value?.result?.alerts?.fired ?? []).filter(a => !about || !a.labels?.['service'] || about.includes(a.labels['service'])).sort((a, b) => a.from - b.from).map(a => {
    // Those that fire at the same time lie below each other.
    const free = ends.findIndex(end => end < a.from), row = free < 0 ? ends.length : free;
    ends[row] = a.last;
    return { alert: a.alert + (a.labels?.['service'] ? ' of ' + a.labels['service'] : ''), from: a.from, to: a.last, row };
  });
}
/** Alerts are bars at the top of a chart, as long as they were seen to fire; of many at a time, six have room. */
function drawAlerts(u: uPlot, list: Firing[], colour: string): void {
  const c = u.ctx, ratio = devicePixelRatio || 1, { left, top, width } = u.bbox;
  c.fillStyle = colour;
  for (const a of list) {
    const from = Math.max(u.valToPos(a.from, 'x', true), left), to = Math.min(u.valToPos(a.to, 'x', true), left + width);
    if (a.row < 6 && to >= from) c.fillRect(from, top + a.row * 6 * ratio, Math.max(to - from, 2 * ratio), 4 * ratio);
  }
}

/** Moments at which something was changed by hand, and at which replicas were ended: a system changes its figures there without a fault that lasts. */
function momentsOf(r: RunView | null): { at: number; what: string }[] {
  return [...(r?.changes ?? []).filter(c => !c.error).map(c => ({ at: c.done ?? c.asked, what: c.what.join('; ') })),
    ...(r?.faults ?? []).filter(f => f.from !== null && !f.error && ['kill', 'restart'].includes(f.type)).map(f => ({ at: f.asked ?? f.from!, what: f.label }))];
}
/** A moment is a line with a flag at its foot. */
function drawMoments(u: uPlot, list: { at: number }[], colour: string): void {
  const c = u.ctx, ratio = devicePixelRatio || 1, { left, top, width, height } = u.bbox;
  c.fillStyle = colour;
  for (const m of list) {
    const x = u.valToPos(m.at, 'x', true);
    if (x < left || x > left + width) continue;
    c.fillRect(x - ratio / 2, top, ratio, height);
    c.beginPath(); c.moveTo(x - 4 * ratio, top + height); c.lineTo(x + 4 * ratio, top + height); c.lineTo(x, top + height - 6 * ratio); c.fill();
  }
}

export function Charts() {
  const f = s.frames.value;
  let chosen = s.selected.value;
  if (chosen?.kind === 'group') chosen = null;
  if (!f) return <p class="empty">Play, and the charts of what is selected appear here.</p>;
  if (s.run.value?.kind === 'followed' && !chosen) {
    return <p class="empty">A system that runs by itself does not tell what its clients see: select a service or a call.</p>;
  }
  const key = JSON.stringify(chosen);
  return <div class="charts">{chartsOf(chosen).map(c => <Plot key={c.id + key + s.run.value?.id + s.theme.value + s.presenting.value} chart={c} />)}</div>;
}

/** Figures of a chart in its range: of a long one, so many that a screen can show. */
function dataOf(f: Frames, chart: Chart): uPlot.AlignedData {
  const last = f.time(f.count - 1), from = s.run.value?.ended ? 0 : Math.max(0, f.before(last - tenMinutes)), most = 1200;
  const step = Math.max(1, Math.ceil((f.count - from) / most));
  const times: number[] = [], values: (number | null)[][] = chart.lines.map(() => []);
  for (let i = from; i < f.count; i += step) {
    times.push(f.time(i));
    chart.lines.forEach((line, n) => {
      // Of several seconds the worst is shown, so that none is hidden.
      let v = NaN;
      for (let j = i; j < Math.min(i + step, f.count); j++) { const w = line.of(f, j); if (Number.isNaN(v) || w > v) v = w; }
      values[n]!.push(Number.isNaN(v) ? null : v);
    });
  }
  return [times, ...values] as uPlot.AlignedData;
}

/** A colour of the style sheet, as a canvas takes it. */
function colourOf(host: HTMLElement, name: string): string {
  const probe = document.createElement('i');
  probe.style.color = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  host.append(probe);
  const c = getComputedStyle(probe).color;
  probe.remove();
  return c;
}

/** A mark of an axis; one that would be rounded to another figure has none. */
const tick = (value: (v: number) => string, x: number): string => /^\d+$/.test(value(x)) && !Number.isInteger(x) ? '' : value(x).replace(/\.0(?=\D)/, '');

/** How charts look, with lines in colours of the style sheet. */
function looksOf(host: HTMLElement, lines: { label: string; colour: string; dash?: number[] }[], value: (v: number) => string, hooks: uPlot.Hooks.Arrays): uPlot.Options {
  const colour = (name: string): string => colourOf(host, name);
  const font = s.presenting.value ? '15px system-ui, sans-serif' : '11px system-ui, sans-serif';
  const axis = { stroke: colour('--soft'), grid: { stroke: colour('--grid'), width: 1 }, ticks: { show: false }, font };
  return {
    width: host.clientWidth, height: host.clientHeight, pxAlign: 0, legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { size: 6 } },
    scales: { x: { time: false }, y: { range: (_u, _min, max) => [0, (max > 0 ? max : 1) * (hooks.drawClear && s.run.value?.faults.some(f => f.from !== null) ? 1.3 : 1.08)] } },
    axes: [{ ...axis, size: s.presenting.value ? 30 : 22, values: (_u, v) => v.map(t => t + ' s') }, { ...axis, size: s.presenting.value ? 72 : 54, values: (_u, v) => v.map(x => tick(value, x)), space: 26 }],
    series: [{}, ...lines.map(l => ({ label: l.label, stroke: colour(l.colour), width: 1.75, ...(l.dash ? { dash: l.dash } : {}), points: { show: (u: uPlot) => u.data[0].length < 3, size: 4 }, spanGaps: false }))],
    hooks,
  };
}

/** Draws curves that do not change any more, and returns how to remove them. */
export function plotted(host: HTMLElement, data: uPlot.AlignedData, lines: { label: string; colour: string; dash?: number[] }[], value: (v: number) => string): () => void {
  const u = new uPlot(looksOf(host, lines, value, {}), data, host);
  const watch = new ResizeObserver(() => u.setSize({ width: host.clientWidth, height: host.clientHeight }));
  watch.observe(host);
  return () => { watch.disconnect(); u.destroy(); };
}

function Plot({ chart }: { chart: Chart }) {
  const host = useRef<HTMLDivElement>(null), plot = useRef<uPlot>(undefined), latest = useRef(chart);
  latest.current = chart;
  useEffect(() => {
    const shade = colourOf(host.current!, '--shade'), line = colourOf(host.current!, '--ink'), name = colourOf(host.current!, '--warn'), mark = colourOf(host.current!, '--c-purple');
    const options = looksOf(host.current!, chart.lines, v => latest.current.value(v), {
      drawClear: [u => {
        // The windows of the faults lie below the curves.
        const c = u.ctx, { left, top, width, height } = u.bbox;
        c.save();
        c.beginPath(); c.rect(left, top, width, height); c.clip();
        const ratio = devicePixelRatio || 1, size = (s.presenting.value ? 14 : 11) * ratio, named = new Map<number, number>();
        c.font = `600 ${size}px system-ui, sans-serif`; c.textBaseline = 'top'; c.textAlign = 'left';
        for (const fault of s.run.value?.faults ?? []) {
          if (fault.from === null || fault.error) continue;
          const a = u.valToPos(fault.from, 'x', true), b = fault.to === null ? left + width : u.valToPos(fault.to, 'x', true);
          c.fillStyle = shade;
          c.fillRect(a, top, Math.max(b - a, 2), height);
          // Its name, as far as there is room: those that begin together lie below each other.
          const row = named.get(Math.round(a)) ?? 0, room = Math.min(b, left + width) - a - 8 * ratio;
          named.set(Math.round(a), row + 1);
          if (row > 1 || room < 5 * size) continue;
          c.fillStyle = name;
          c.fillText(shortened(c, fault.label, room), a + 4 * ratio, top + 3 * ratio + row * size * 1.25);
        }
        c.restore();
      }],
      draw: [u => {
        drawAlerts(u, alertsOf(s.selected.value), mark);
        drawMoments(u, momentsOf(s.run.value), line);
        if (s.looking.value === null || Number.isNaN(s.now.value)) return;
        const x = u.valToPos(s.now.value, 'x', true), c = u.ctx;
        c.save(); c.strokeStyle = line; c.lineWidth = 1.5; c.setLineDash([4, 3]);
        c.beginPath(); c.moveTo(x, u.bbox.top); c.lineTo(x, u.bbox.top + u.bbox.height); c.stroke(); c.restore();
      }],
    });
    const f = s.frames.value;
    const u = plot.current = new uPlot(options, f ? dataOf(f, chart) : [[]], host.current!);
    u.over.addEventListener('click', () => {
      if (u.cursor.left !== undefined && u.cursor.left >= 0) s.lookAt(u.posToVal(u.cursor.left, 'x') - 0.5);
    });
    const box = host.current!, watch = new ResizeObserver(() => u.setSize({ width: box.clientWidth, height: box.clientHeight }));
    watch.observe(box);
    return () => { watch.disconnect(); u.destroy(); };
  }, []);
  const version = s.arrived.value, at = s.looking.value, faults = s.run.value?.faults, changes = s.run.value?.changes, alerts = s.detail.value?.result?.alerts;
  useEffect(() => { const f = s.frames.value; if (f && plot.current) plot.current.setData(dataOf(f, chart)); }, [version]);
  useEffect(() => { plot.current?.redraw(false); }, [at, faults, changes, alerts]);
  const f = s.frames.value, i = s.current.value, fired = alertsOf(s.selected.value), moments = momentsOf(s.run.value);
  return <figure class="chart" data-chart={chart.id}>
    <figcaption>{chart.title}<span class="legend">{chart.lines.map(l => <span key={l.label}><i style={{ borderTop: `3px ${l.dash ? 'dashed' : 'solid'} var(${l.colour})` }} />{l.label} <b>{f && i >= 0 ? chart.value(l.of(f, i)).replace('NaN', '–') : '–'}</b></span>)}</span></figcaption>
    <div class="plot" ref={host} role="img" aria-label={chart.title + ': ' + chart.lines.map(l => `${l.label} ${f && i >= 0 ? chart.value(l.of(f, i)) : 'unknown'}`).join(', ') + fired.slice(0, 6).map(a => `; alert ${a.alert} fired from ${clock(a.from)} to ${clock(a.to)}`).join('') + moments.slice(-6).map(m => `; at ${clock(m.at)}: ${m.what}`).join('')} />
  </figure>;
}
