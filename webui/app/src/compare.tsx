import { signal } from '@preact/signals';
import { useEffect, useState } from 'preact/hooks';
import * as api from './api';
import { LineChart } from './chart';
import * as s from './state';
import { count, percent, rate, seconds } from './text';

/** Whether two runs are shown beside each other. */
export const comparing = signal(false);

const label = (r: api.PastRun): string => `${r.id}: ${r.variant || r.name} on ${r.on}, seed ${r.seed}${r.cut ? ', cut short' : r.checks ? (r.passed ? ', passed' : ', failed') : ''}`;
const or = (v: number | null | undefined): number => v ?? NaN;

/** Two runs that have ended, side by side. */
export function Compare() {
  const [runs, setRuns] = useState<api.PastRun[]>([]), [a, setA] = useState(0), [b, setB] = useState(0), [both, setBoth] = useState<api.Comparison | null>(null);
  useEffect(() => {
    if (comparing.value) void s.attempt(async () => {
      const list = await api.get<api.PastRun[]>('/api/runs');
      setRuns(list); setA(list.at(-2)?.id ?? 0); setB(list.at(-1)?.id ?? 0);
    });
  }, [comparing.value]);
  useEffect(() => { if (comparing.value && a && b) void s.attempt(async () => setBoth(await api.get<api.Comparison>(`/api/compare?a=${a}&b=${b}`))); }, [a, b, comparing.value]);
  useEffect(() => {
    const key = (e: KeyboardEvent): void => { if (e.key === 'Escape') comparing.value = false; };
    addEventListener('keydown', key);
    return () => removeEventListener('keydown', key);
  }, []);
  if (!comparing.value) return null;
  const pick = (name: string, v: number, set: (v: number) => void) => <label>{name} <select value={String(v)} onChange={e => set(Number(e.currentTarget.value))}>{runs.map(r => <option key={r.id} value={String(r.id)}>{label(r)}</option>)}</select></label>;
  return <section class="stale compare" role="dialog" aria-label="Two runs side by side" data-part="compare">
    <div class="heading"><h2>Two runs side by side</h2><button type="button" onClick={() => { comparing.value = false; }}>Close</button></div>
    {runs.length < 2 ? <p>Play twice first: the last 8 runs are kept as long as this program runs.</p> : <p class="row">{pick('A', a, setA)}{pick('B', b, setB)}</p>}
    {both ? <div class="spans" tabIndex={0} role="region" aria-label="Figures of both runs"><Clients c={both} /><div class="charts">{(['rate', 'errors', 'p99'] as const).map(k => <Curves key={k + both.runs[0].id + '-' + both.runs[1].id + s.theme.value} c={both} what={k} />)}</div><Services c={both} /></div> : null}
  </section>;
}

function Row({ name, a, b, show }: { name: string; a: number; b: number; show: (v: number) => string }) {
  const factor = b / a, change = a === b ? 'same' : Number.isFinite(factor) && factor > 0 ? `× ${factor.toFixed(factor < 10 ? 2 : 0)}` : '–';
  return <tr><th scope="row">{name}</th><td>{show(a)}</td><td>{show(b)}</td><td>{change}</td></tr>;
}

function Clients({ c }: { c: api.Comparison }) {
  const [a, b] = c.summaries, of = (f: (v: api.VariantSummary) => { mean: number } | undefined): [number, number] => [or(f(a)?.mean), or(f(b)?.mean)];
  const row = (name: string, [x, y]: [number, number], show: (v: number) => string) => <Row name={name} a={x} b={y} show={show} />;
  return <table><thead><tr><th scope="col">clients</th><th scope="col">A</th><th scope="col">B</th><th scope="col">B to A</th></tr></thead><tbody>
    {row('requests', of(v => v.requests), count)}{row('rate', of(v => v.rate), rate)}{row('goodput', of(v => v.goodput), rate)}{row('errors', [or(c.errors[0]), or(c.errors[1])], percent)}
    {row('p50', of(v => v.p50), seconds)}{row('p99', of(v => v.p99), seconds)}
    {a.checks.map((k, i) => <tr key={i}><th scope="row"><code>{k.check}</code> <small>{[k.from ? `${k.from} → ${k.service}` : k.service, k.phase].filter(x => x).join(', ')}</small></th>{[k, b.checks.find(x => x.check === k.check && x.service === k.service && x.from === k.from && x.phase === k.phase)].map((x, j) => <td key={j} class={!x ? '' : x.held ? 'good' : 'bad'}>{!x ? '–' : x.held ? '✓ held' : '✗ did not hold'}</td>)}<td /></tr>)}
  </tbody></table>;
}

function Services({ c }: { c: api.Comparison }) {
  if (!c.services.length) return null;
  const two = (p: [number | null, number | null], show: (v: number) => string) => <>{<td>{show(or(p[0]))}</td>}<td>{show(or(p[1]))}</td></>;
  return <><h3>Services, the most different first</h3><table><thead><tr><th scope="col">service</th><th scope="col">rate A</th><th scope="col">B</th><th scope="col">errors A</th><th scope="col">B</th><th scope="col">p99 A</th><th scope="col">B</th></tr></thead>
    <tbody>{c.services.map(v => <tr key={v.service}><th scope="row">{v.service}</th>{two(v.rate, rate)}{two(v.errors, percent)}{two(v.p99, seconds)}</tr>)}</tbody></table>
    {c.others ? <p class="soft">… and {c.others} that differ less.</p> : null}</>;
}

const titles = { rate: 'Clients: requests per second', errors: 'Clients: share of errors', p99: 'Clients: p99' };
const shows = { rate, errors: percent, p99: seconds };

function Curves({ c, what }: { c: api.Comparison; what: 'rate' | 'errors' | 'p99' }) {
  const [host, setHost] = useState<HTMLElement | null>(null);
  useEffect(() => {
    if (!host) return;
    // Both on one axis of time, which begins with their loads.
    const chart = new LineChart(host, [{ label: 'A', colour: '--c-blue' }, { label: 'B', colour: '--c-orange', dash: [6, 3] }], shows[what]);
    chart.show(c.curves.map(k => ({ times: k.at ?? [], values: k[what] ?? [] })), 0.08);
    return () => chart.remove();
  }, [host]);
  return <figure class="chart"><figcaption>{titles[what]}<span class="legend"><span><i style={{ borderTop: '3px solid var(--c-blue)' }} />A</span><span><i style={{ borderTop: '3px dashed var(--c-orange)' }} />B</span></span></figcaption><div class="plot" ref={setHost} role="img" aria-label={titles[what] + ' of both runs; the table has their figures'} /></figure>;
}
