import { useEffect, useRef } from 'preact/hooks';
import { C, E, S, edgeKey, type Frames } from './frames';
import type { RunView } from './api';
import { LineChart, type Line, type Points } from './chart';
import * as s from './state';
import { clock, percent, rate, seconds } from './text';

interface Curve extends Line { of: (f: Frames, i: number) => number }
interface Chart { id: string; title: string; lines: Curve[]; value: (v: number) => string }

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
function drawAlerts(c: LineChart, list: Firing[]): void {
  c.ink.fillStyle = c.colour('--c-purple');
  for (const a of list) {
    const from = Math.max(c.x(a.from), c.left), to = Math.min(c.x(a.to), c.left + c.width);
    if (a.row < 6 && to >= from) c.ink.fillRect(from, c.top + a.row * 6, Math.max(to - from, 2), 4);
  }
}

/** Moments at which something was changed by hand, and at which replicas were ended: a system changes its figures there without a fault that lasts. */
function momentsOf(r: RunView | null): { at: number; what: string }[] {
  return [...(r?.changes ?? []).filter(c => !c.error).map(c => ({ at: c.done ?? c.asked, what: c.what.join('; ') })),
    ...(r?.faults ?? []).filter(f => f.from !== null && !f.error && ['kill', 'restart'].includes(f.type)).map(f => ({ at: f.asked ?? f.from!, what: f.label }))];
}
/** A moment is a line with a flag at its foot. */
function drawMoments(c: LineChart, list: { at: number }[]): void {
  const { ink, top, height } = c;
  ink.fillStyle = c.colour('--ink');
  for (const m of list) {
    const x = c.x(m.at);
    ink.fillRect(x - 0.5, top, 1, height);
    ink.beginPath(); ink.moveTo(x - 4, top + height); ink.lineTo(x + 4, top + height); ink.lineTo(x, top + height - 6); ink.fill();
  }
}
/** The faults that acted, with where their windows begin and end. */
const windowsOf = (c: LineChart): { label: string; type: string; a: number; b: number }[] => (s.run.value?.faults ?? [])
  .flatMap(f => f.from === null || f.error ? [] : [{ label: f.label, type: f.type, a: c.x(f.from), b: f.to === null ? c.left + c.width : c.x(f.to) }]);
function inField(c: LineChart, draw: () => void): void {
  c.ink.save();
  c.ink.beginPath(); c.ink.rect(c.left, c.top, c.width, c.height); c.ink.clip();
  draw();
  c.ink.restore();
}
function drawWindows(c: LineChart): void {
  inField(c, () => {
    c.ink.fillStyle = c.colour('--shade');
    for (const { a, b } of windowsOf(c)) c.ink.fillRect(a, c.top, Math.max(b - a, 2), c.height);
  });
}
/** The name of each fault in its window, or its type, if there is room: those that begin together lie below each other, and over the lines. */
function drawNames(c: LineChart): void {
  const { ink, left, top, width } = c, size = 11 * c.scale, named = new Map<number, number>();
  inField(c, () => {
    ink.font = `600 ${size}px system-ui, sans-serif`; ink.textBaseline = 'top'; ink.textAlign = 'left';
    ink.fillStyle = c.colour('--warn'); ink.strokeStyle = c.colour('--sheet'); ink.lineWidth = 3; ink.lineJoin = 'round';
    for (const { label, type, a, b } of windowsOf(c)) {
      const row = named.get(Math.round(a)) ?? 0, room = Math.min(b, left + width) - a - 8;
      named.set(Math.round(a), row + 1);
      const text = [label, type].find(t => ink.measureText(t).width <= room);
      if (row > 1 || !text) continue;
      for (const way of ['strokeText', 'fillText'] as const) ink[way](text, a + 4, top + 3 + row * size * 1.25);
    }
  });
}
/** The moment that is looked at. */
function drawLooked(c: LineChart): void {
  if (s.looking.value === null || Number.isNaN(s.now.value)) return;
  const { ink, top, height } = c, x = c.x(s.now.value);
  ink.strokeStyle = c.colour('--ink'); ink.lineWidth = 1.5; ink.setLineDash([4, 3]);
  ink.beginPath(); ink.moveTo(x, top); ink.lineTo(x, top + height); ink.stroke();
  ink.setLineDash([]);
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
  return <div class="charts">{chartsOf(chosen).map(c => <Plot key={c.id + key + s.run.value?.id} chart={c} />)}</div>;
}

/** Figures of a chart in its range: of a long one, so many that a screen can show. */
function pointsOf(f: Frames, chart: Chart): Points[] {
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
  return values.map(v => ({ times, values: v }));
}

/** The share of a chart above its lines that the names of faults need, of which two at most lie below each other. */
function roomOf(r: RunView | null): number {
  const begins = (r?.faults ?? []).flatMap(f => f.from === null ? [] : [Math.round(f.from)]);
  return !begins.length ? 0.08 : new Set(begins).size < begins.length ? 0.5 : 0.3;
}

function Plot({ chart }: { chart: Chart }) {
  const host = useRef<HTMLDivElement>(null), plot = useRef<LineChart>(undefined);
  useEffect(() => {
    const c = plot.current = new LineChart(host.current!, chart.lines, chart.value, {
      below: drawWindows,
      above: c => { drawAlerts(c, alertsOf(s.selected.value)); drawMoments(c, momentsOf(s.run.value)); drawLooked(c); drawNames(c); },
      choose: t => s.lookAt(t - 0.5),
    });
    return () => c.remove();
  }, []);
  const f = s.frames.value, i = s.current.value, r = s.run.value, fired = alertsOf(s.selected.value), moments = momentsOf(r);
  useEffect(() => { if (f && plot.current) plot.current.show(pointsOf(f, chart), roomOf(r)); }, [s.arrived.value, r?.faults]);
  useEffect(() => { plot.current?.draw(); }, [s.looking.value, r?.changes, s.detail.value?.result?.alerts, s.theme.value, s.presenting.value]);
  return <figure class="chart" data-chart={chart.id}>
    <figcaption>{chart.title}<span class="legend">{chart.lines.map(l => <span key={l.label}><i style={{ borderTop: `3px ${l.dash ? 'dashed' : 'solid'} var(${l.colour})` }} />{l.label} <b>{f && i >= 0 ? chart.value(l.of(f, i)).replace('NaN', '–') : '–'}</b></span>)}</span></figcaption>
    <div class="plot" ref={host} role="img" aria-label={chart.title + ': ' + chart.lines.map(l => `${l.label} ${f && i >= 0 ? chart.value(l.of(f, i)) : 'unknown'}`).join(', ') + fired.slice(0, 6).map(a => `; alert ${a.alert} fired from ${clock(a.from)} to ${clock(a.to)}`).join('') + moments.slice(-6).map(m => `; at ${clock(m.at)}: ${m.what}`).join('')} />
  </figure>;
}
