import { signal } from '@preact/signals';
import { useEffect, useState } from 'preact/hooks';
import * as api from './api';
import * as s from './state';
import { clock, percent, seconds } from './text';

/** The request whose waterfall is shown. */
export const shown = signal<{ request: api.RequestView; spans: api.RequestSpan[] } | null>(null);

const show = (request: api.RequestView): Promise<boolean> => s.attempt(async () => {
  shown.value = { request, spans: await api.get<api.RequestSpan[]>(`/api/run/requests/${request.id}?run=${s.run.value!.id}`) };
});

/** The slowest requests of a run, and those that failed: through a service, if one is named. */
export function Requests({ service = '' }: { service?: string }) {
  const run = s.run.value, [list, set] = useState<api.RequestList | null>(null), [near, setNear] = useState(false), [open, setOpen] = useState(false);
  const at = near && !Number.isNaN(s.now.value) ? Math.round(s.now.value) : null;
  // While a run goes on, its requests are asked for every few seconds.
  const round = run?.ended ? -1 : Math.floor(s.arrived.value / 3);
  useEffect(() => {
    if (!run?.traced || !open) return;
    let mine = true;
    void api.get<api.RequestList>(`/api/run/requests?run=${run.id}${service ? '&service=' + encodeURIComponent(service) : ''}${at === null ? '' : `&from=${at - 1}&to=${at}`}`)
      .then(l => { if (mine) set(l); }, () => { if (mine) set(null); });
    return () => { mine = false; };
  }, [run?.id, run?.traced, service, at, round, open]);
  if (!run?.traced) return null;
  const line = (r: api.RequestView) => <li key={r.id}><button type="button" class="plain" data-request={r.id} onClick={() => void show(r)}>{seconds(r.duration)} · {r.what}</button><span class={r.failed ? 'bad' : ''}>{r.failed ? '✗ ' : ''}{r.end} · at {clock(r.start)}</span></li>;
  return <details class="mirror" data-part="requests" onToggle={e => setOpen(e.currentTarget.open)}>
    <summary>Single requests{service ? ' through it' : ''}</summary>
    <label class="row"><input type="checkbox" checked={near} onChange={e => setNear(e.currentTarget.checked)} />only those of the second that is shown</label>
    {list === null ? <p class="soft">None yet.</p> : <>
      {list.failed.length ? <><h3>Failed, at any hop</h3><ul class="links">{list.failed.map(line)}</ul></> : null}
      {list.slowest.length ? <><h3>Slowest that ended well</h3><ul class="links">{list.slowest.map(line)}</ul></> : null}
      <p class="soft">{list.count ? `Of ${list.count} that are kept` : 'No request is kept of it'}: {list.share >= 1 ? 'all requests' : `${percent(list.share)} of all, and those that failed`}{list.lost ? `; ${list.lost} spans are missing` : ''}{run.on === 'kind' || run.on === 'cluster' ? '; times are those of the clocks of the pods' : ''}.</p></>}
  </details>;
}

/** What became of one request, over all services: time goes to the right. */
export function Waterfall() {
  const now = shown.value;
  useEffect(() => {
    if (!now) return;
    const key = (e: KeyboardEvent): void => { if (e.key === 'Escape') shown.value = null; };
    addEventListener('keydown', key);
    document.querySelector<HTMLElement>('.waterfall button')?.focus();
    return () => removeEventListener('keydown', key);
  }, [now]);
  if (!now) return null;
  return <section class="stale waterfall" role="dialog" aria-label="One request" data-part="waterfall">
    <div class="heading"><h2>{now.request.what}: {now.request.end} after {seconds(now.request.duration)}</h2><button type="button" onClick={() => { shown.value = null; }}>Close</button></div>
    <p class="soft">It was to start {clock(now.request.start)} after the load began. Each line is what a service did for it, or, with an arrow, how its caller saw that.</p>
    <div class="spans" tabIndex={0} role="region" aria-label="Spans"><Spans list={now.spans} leave={() => { shown.value = null; }} /></div>
  </section>;
}

/** A line for each span. Whoever follows one to its service leaves what shows it. */
export function Spans({ list, leave }: { list: api.RequestSpan[]; leave: () => void }) {
  const who = (x: api.RequestSpan): string => x.who.replace(/^-> /, '→ ');
  const end = Math.max(1e-9, ...list.map(x => x.start + x.duration)), at = (v: number): string => (100 * v / end).toFixed(2) + '%';
  return <table><thead><tr><th scope="col">who</th><th scope="col"><span class="axis"><span>0</span><span>{seconds(end / 2)}</span><span>{seconds(end)}</span></span></th><th scope="col">took</th><th scope="col">ended</th></tr></thead>
      <tbody>{list.map((x, i) => <tr key={i} class={(x.failed ? 'failed ' : '') + (x.call ? 'call' : '')}>
        <th scope="row" style={{ '--depth': x.depth }}>{x.service ? <button type="button" class="plain" onClick={() => { leave(); s.selected.value = { kind: 'service', name: x.service! }; }}>{who(x)}</button> : who(x)} <small>{x.what}</small>{x.events?.map(e => <p key={e}>{e}</p>)}</th>
        <td class="track"><i style={{ left: at(x.start), width: at(x.duration) }} /></td><td>{seconds(x.duration)}</td><td>{x.failed ? '✗ ' : ''}{x.end}</td></tr>)}</tbody></table>;
}

/** The last lines that a service has logged. */
export function Log({ service }: { service: string }) {
  const run = s.run.value, [lines, set] = useState<string[]>([]), [wrong, setWrong] = useState(''), [open, setOpen] = useState(false);
  const round = run?.ended ? -1 : Math.floor(s.arrived.value / 3);
  useEffect(() => {
    if (!run?.logged || !open) return;
    let mine = true;
    api.get<string[]>(`/api/run/log?run=${run.id}&service=${encodeURIComponent(service)}`).then(l => { if (mine) { set(l); setWrong(''); } }, (e: Error) => { if (mine) setWrong(e.message); });
    return () => { mine = false; };
  }, [run?.id, run?.logged, service, round, open]);
  if (!run?.logged) return null;
  return <details class="mirror" data-part="log" onToggle={e => setOpen(e.currentTarget.open)}><summary>Its log</summary>
    {wrong ? <p class="note bad">{wrong}</p> : lines.length ? <pre class="log" tabIndex={0}>{lines.join('\n')}</pre> : <p class="soft">It has logged nothing: services log what happens to them, not each request.</p>}</details>;
}
