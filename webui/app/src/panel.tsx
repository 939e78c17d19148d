import { useEffect, useRef, useState } from 'preact/hooks';
import type { CheckResult, CheckText, FaultView, PlannedFault, Result, System } from './api';
import { Doc } from './doc';
import { C, E, S, edgeKey } from './frames';
import { AddService, EditCall, EditService } from './change';
import { EditChecks, EditExperiment, PlannedFaults } from './experiment';
import { textOf } from './fields';
import { Log, Requests } from './requests';
import * as s from './state';
import { SendOne } from './tree';
import { clock, count, percent, rate, seconds } from './text';

/** The panel of what is selected, or of the whole experiment. */
export function Details() {
  const chosen = s.selected.value, place = useRef<HTMLSpanElement>(null);
  useEffect(() => { place.current?.parentElement?.scrollTo(0, 0); }, [JSON.stringify(chosen)]);
  return <><span ref={place} />{panelOf(chosen)}</>;
}
function panelOf(chosen: s.Selected) {
  if (chosen?.kind === 'service' && chosen.name !== '') return <Service name={chosen.name} />;
  if (chosen?.kind === 'edge' && chosen.from !== '') return <Call from={chosen.from} to={chosen.to} />;
  if (chosen?.kind === 'group') return <Group id={chosen.id} />;
  return <Overview />;
}

function Figures({ list }: { list: [string, string][] }) {
  return <dl class="figures">{list.map(([k, v]) => <div key={k}><dt>{k}</dt><dd>{v}</dd></div>)}</dl>;
}

function Overview() {
  const e = s.sound.value?.experiment, f = s.frames.value, i = s.current.value, system = s.sound.value?.system ?? s.detail.value?.system;
  return <>
    <h2>{e?.title ?? e?.name ?? system?.name ?? s.source.value?.name}</h2>
    {s.sound.value?.unplayable ? <p class="note">{s.sound.value.unplayable}</p> : null}
    {f && s.run.value?.kind !== 'followed' ? <><h3>Clients</h3><Figures list={[['rate', rate(f.client(i, C.rate))], ['good', rate(f.client(i, C.goodput))], ['errors', percent(f.client(i, C.errors))], ['p50', seconds(f.client(i, C.p50))], ['p99', seconds(f.client(i, C.p99))]]} /></> : null}
    <LiveLoad />
    <Verdict />
    <Faults list={s.run.value?.faults ?? []} title="Faults" planned />
    <Changes />
    {e?.doc ? <><h3>About</h3><Doc text={e.doc} /></> : null}
    <Requests />
    {s.run.value?.sends ? <SendOne /> : null}
    <AddService />
    <EditExperiment />
    <EditChecks />
    <PlannedFaults all change={changeFault} />
    {s.run.value?.sends ? null : <SendOne />}
    <Services />
  </>;
}

/** The load that is sent now, which can be changed at once. */
function LiveLoad() {
  const r = s.run.value, [typed, type] = useState<string | null>(null);
  if (!r?.loadChangeable || s.view.value) return null;
  return <form class="change" data-part="live-load" onSubmit={e => { e.preventDefault(); void s.changeLoad(Number(typed ?? r.loadFactor)).then(done => { if (done) type(null); }); }}>
    <h3>The load that is sent now</h3>
    <label>load ×<input type="number" min="0" max="1000" step="any" required value={typed ?? String(r.loadFactor)} title="of what the run began with; 0 pauses the load" onInput={e => type(e.currentTarget.value)} /></label>
    <button type="submit">Change the load now</button>
  </form>;
}

/** Opens a fault of the file beside what it hits. */
function changeFault(f: PlannedFault): void {
  s.changing.value = f;
  s.selected.value = f.caller ? { kind: 'edge', from: f.caller, to: f.service } : { kind: 'service', name: f.service };
  setTimeout(() => document.querySelector<HTMLElement>('[data-part=break] select')?.focus(), 50);
}

/** The figures of a service or a call in a line. */
const inShort = (r: number, errors: number, p99?: number): string => r === 0 ? 'no requests' : Number.isNaN(r) ? '–' : `${rate(r)} · ${percent(errors)}${p99 === undefined ? '' : ` · p99 ${seconds(p99)}`}`;

/** The list that mirrors the graph, for screen readers and for those who prefer lists. */
function Services() {
  const g = s.graph.value, names = g?.nodes.map(n => n.name).filter(n => n) ?? [], few = names.length <= 12;
  const [open, setOpen] = useState(few);
  if (!g) return null;
  const f = s.frames.value, i = s.current.value;
  return <details class="mirror" open={few} onToggle={e => setOpen(e.currentTarget.open)}>
    <summary>All {names.length === 1 ? 'services: 1' : `${names.length} services`}</summary>
    {open || few ? <ul>{names.map(n => <li key={n}><button type="button" class="plain" onClick={() => { s.selected.value = { kind: 'service', name: n }; }}>{n}</button>
      <span>{f ? inShort(f.service(i, n, S.rate), f.service(i, n, S.errors), f.service(i, n, S.p99)) : ''}</span></li>)}</ul> : null}
  </details>;
}

function Verdict() {
  const d = s.detail.value, r = s.run.value;
  if (!r?.ended || r.kind === 'followed' && !r.error) return null;
  const result = d?.result;
  if (!result) return r.error ? <p class="note bad" role="status">{r.error}</p> : null;
  const all = result.checks.length, held = result.checks.filter(c => c.pass).length, open = result.checks.filter(c => c.notKnown).length, failed = all - held - open;
  return <><section class="verdict" data-part="verdict" role="status">
    <h3>{all === 0 ? (result.incomplete ? 'The run was cut short' : 'The run is over: there was nothing to check')
      : <span class={result.passed ? 'good' : 'bad'}>{result.passed ? '✓' : '✗'} {result.passed ? (held === 1 ? 'The check held' : `All ${held} checks held`) : [failed ? `${failed} of ${all} checks did not hold` : '', open ? `${open} of ${all} checks cannot be judged` : ''].filter(x => x).join(', ')}</span>}</h3>
    {r.error ? <p class="note bad">{r.error}</p> : null}
    <Checks list={result.checks} />
    {r.faults.some(f => f.byHand) ? <p class="soft">Faults that were added by hand are in the ground truth of this run. The parts before, during and after the faults are those of the file's own faults.</p> : null}
  </section><Why of={result} /><Alerts of={result} /></>;
}

/** Whom a check is about, and which part of the run. */
export const scopeOf = (c: CheckText): string => [c.from ? `${c.from} → ${c.service}` : c.service ?? 'clients', c.phase].filter(x => x).join(', ');

export function Checks({ list }: { list: CheckResult[] }) {
  return <ul class="checks">{list.map(c => { const [sign, word, tone] = c.pass ? ['✓', 'held', 'good'] : c.notKnown ? ['?', 'cannot be judged', 'unknown'] : ['✗', 'did not hold', 'bad'];
    return <li key={JSON.stringify(c)} class={tone}><span aria-hidden="true">{sign}</span><div><code>{c.check}</code><small>{scopeOf(c)}</small><p><span class="hidden">{word}: </span>{c.why}</p></div></li>; })}</ul>;
}

/** A moment of the run, which can be looked at. */
function Moment({ at }: { at: number }) {
  return <button type="button" class="plain" title="Look at that second" onClick={() => s.lookAt(at)}>{at < 60 ? at.toFixed(1) + ' s' : clock(at)}</button>;
}

/** What was changed of the system, or of its load, while it ran. */
function Changes() {
  const list = s.run.value?.changes ?? [], now = s.underWay.value;
  if (!list.length && !now) return null;
  return <section data-part="changes"><h3>Changed while it ran</h3><ul class="moments">{list.map((c, i) => <li key={i}><Moment at={c.asked} /><span class={c.error ? 'bad' : ''}>{c.what.join('; ')}{c.error ? ': ' + c.error : c.done === undefined ? '' : c.elsewhere ? ', by another program' : `, done after ${seconds(c.done - c.asked)}`}</span></li>)}
    {now ? <li><Moment at={s.run.value!.changing!.asked} /><span>{s.run.value!.changing!.what.join('; ')}, under way ({now})</span></li> : null}</ul></section>;
}

/** Why requests went wrong, as far as a run in virtual time has recorded it. */
export function Why({ of }: { of: Result }) {
  const x = of.explanation;
  if (!x?.lines.length) return null;
  return <section data-part="why"><h3>Why</h3>{x.trouble ? <ul class="moments">{x.lines.map((l, i) => <li key={i}>{i > 0 && x.lines[i - 1]!.at === l.at ? <span /> : <Moment at={l.at} />}<span>{l.text}</span></li>)}</ul> : x.lines.map((l, i) => <p key={i}>{l.text}</p>)}</section>;
}

/** The alerts that a Prometheus saw fire, with the faults that came first. */
function Alerts({ of }: { of: Result }) {
  const a = of.alerts;
  if (!a) return null;
  const after = (alert: string, from: number): string => of.faults.flatMap(f => (f.detections ?? []).filter(d => d.alert === alert && f.askedFrom + d.afterOrder === from).map(d => `, ${seconds(d.after)} after ${f.label}`)).join('');
  return <section data-part="alerts"><h3>Alerts</h3>
    {a.trouble ? <p class="note bad">Not known: {a.trouble}</p> : a.fired.length ? null : <p>None of {a.names.length} fired.</p>}
    <ul class="moments">{a.fired.map((f, i) => <li key={i}><Moment at={f.from} /><span><b>{f.alert}</b> {f.labels?.['service'] ?? ''} fired{f.resolvedAt ? ` until ${clock(f.last)}` : ', and was not seen to end'}{after(f.alert, f.from)}</span></li>)}</ul>
    {a.uncertain ? <p class="soft">Its times may be wrong by {seconds(a.uncertain)}: its clock is another.</p> : null}
  </section>;
}

/** The measured effect of a fault on its target: the seconds before it beside those in which it acts. */
function effect(fault: FaultView): string {
  const f = s.frames.value;
  if (!f || fault.from === null || !fault.service) return '';
  const mean = (from: number, to: number, field: number): number => {
    let sum = 0, n = 0;
    for (let i = 0; i < f.count; i++) {
      const t = f.time(i), length = 1;
      if (t - length < from - 0.01 || t > to + 0.01) continue;
      const v = fault.caller ? f.edge(i, edgeKey(fault.caller, fault.service), field === S.errors ? E.errors : E.p99) : f.service(i, fault.service, field);
      if (!Number.isNaN(v)) { sum += v; n++; }
    }
    return n ? sum / n : NaN;
  };
  const end = Math.min(fault.to ?? Infinity, s.now.value), before = Math.max(0, fault.from - 10);
  const part = (name: string, field: number, show: (v: number) => string): string => {
    const a = mean(before, fault.from!, field), b = mean(fault.from!, end, field);
    return Number.isNaN(b) ? '' : `${name} ${show(a)} → ${show(b)}`;
  };
  const text = [part('errors', S.errors, percent), part('p99', S.p99, seconds)].filter(t => t).join(', ');
  return text ? `${text} (means of the seconds before and in it)` : '';
}

function Faults({ list, title, planned = false }: { list: FaultView[]; title: string; planned?: boolean }) {
  const [taking, take] = useState('');
  const e = s.sound.value?.experiment;
  if (!list.length && (!planned || !e || s.run.value)) return null;
  if (!list.length) {
    if (!e!.faults.length) return null;
    return <><h3>{title}</h3><ul class="faults">{e!.faults.map(f => <li key={f.label + f.from}><b>{f.label}</b><p>planned from {clock(f.from)} {f.to ? `to ${clock(f.to)}` : 'on'}</p></li>)}</ul></>;
  }
  const live = s.breakable.value;
  return <section data-part="faults"><h3>{title}</h3><ul class="faults">{list.map((f, n) => {
    const acts = f.from !== null && f.to === null && !f.error;
    const able = live && acts && (f.byHand || s.run.value?.kind === 'followed');
    return <li key={f.id + n} class={acts ? 'acts' : ''} data-fault={f.id}>
      <b>{f.label}</b>{f.byHand ? <span class="tag">by hand</span> : null}
      {able ? <button type="button" disabled={taking === f.id} onClick={() => { take(f.id); void s.takeBack(f.id).then(() => take('')); }}>Take back</button> : null}
      <p>{f.error ? <span class="bad">{f.error}</span> : f.from === null ? `planned from ${clock(f.plannedFrom)} ${f.plannedTo ? 'to ' + clock(f.plannedTo) : 'on'}` : `${f.asked === null ? '' : `asked for at ${f.asked.toFixed(1)} s, `}in force since ${f.from.toFixed(1)} s${f.to === null ? '' : ` until ${f.to.toFixed(1)} s`}`}
        {f.hits >= 0 ? ` · acted ${f.hits === 1 ? 'once' : f.hits + ' times'}` : ''}{f.effective ? ' · ' + f.effective : ''}</p>
      {f.trouble?.map(t => <p class="bad" key={t}>{t}</p>)}
      {f.from !== null ? <p class="soft">{effect(f)}</p> : null}
    </li>;
  })}</ul></section>;
}

function Heading({ children, line }: { children: preact.ComponentChildren; line?: number }) {
  return <div class="heading"><button type="button" class="plain" aria-label="Back to the whole system" title="Back to the whole system" onClick={() => { s.selected.value = null; }}>←</button><h2>{children}</h2>
    {line ? <button type="button" onClick={() => { s.tab.value = 'file'; setTimeout(() => dispatchEvent(new CustomEvent('go-to-line', { detail: line })), 30); }}>In the file</button> : null}</div>;
}

/** The line on which a service is described. */
function lineOf(name: string): number {
  const quoted = name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const at = s.text.value.search(new RegExp(`^\\s*(-\\s*)?(\\{\\s*)?name:\\s*["']?${quoted}["']?\\s*($|[,}#])`, 'm'));
  return at < 0 ? 0 : s.text.value.slice(0, at).split('\n').length + (/^\s*\n/.test(s.text.value.slice(at)) ? 1 : 0);
}

function Service({ name }: { name: string }) {
  const f = s.frames.value, i = s.current.value, g = s.graph.value, at = g?.nodes.findIndex(n => n.name === name) ?? -1;
  const of = (system: System | undefined): Record<string, unknown> | undefined => system?.services.find(x => x['name'] === name);
  const written = of(s.sound.value?.system), added = g?.nodes[at]?.added === true, service = written ?? (added || !s.sound.value?.system ? of(s.detail.value?.system) : undefined), want = s.wanted(name);
  const workers = Number(service?.['workers'] ?? 0);
  if (!g || at < 0) return <><Heading>{name}</Heading><p class="note">There is no such service any more.</p></>;
  const names = (list: number[]): string[] => list.map(n => g.nodes[n]!.name);
  const calls = names(g.edges.filter(e => e.from === at).map(e => e.to)), callers = names(g.edges.filter(e => e.to === at).map(e => e.from));
  // What runs is there to be broken; a file is changed first.
  const breaking = <Break key={name + ' ' + s.changing.value?.index} service={name} caller="" />;
  return <>
    <Heading line={lineOf(name)}>{name}</Heading>
    {added ? <p class="note">It runs, and the file does not have it: its fields cannot be changed here.</p> : s.run.value && !s.run.value.ended && s.removed.value.has(name) ? <p class="note">The file has it, and what runs does not.</p> : null}
    <Around name={name} />
    {f ? <Figures list={[['rate', rate(f.service(i, name, S.rate))], ['errors', percent(f.service(i, name, S.errors))], ['p50', seconds(f.service(i, name, S.p50))], ['p99', seconds(f.service(i, name, S.p99))], ['waiting', count(f.service(i, name, S.queue))], ['in flight', count(f.service(i, name, S.inflight))], ...(workers ? [['workers', String(workers * (Number(service?.['replicas']) || 1))] as [string, string]] : []), ['up', `${count(f.service(i, name, S.up))} of ${count(want ?? f.service(i, name, S.replicas))}`]]} /> : null}
    <Faults list={(s.run.value?.faults ?? []).filter(x => x.service === name)} title="Faults on it" />
    {s.breakable.value ? breaking : null}
    <SendOne service={name} />
    <Requests service={name} />
    <Log service={name} />
    <EditService name={name} service={written} />
    <PlannedFaults service={name} change={changeFault} />
    {s.breakable.value || added ? null : breaking}
    <h3>Calls</h3>
    <Links list={callers.map(c => [c, name])} empty="nobody calls it" /><Links list={calls.map(c => [name, c])} empty="it calls nobody" />
    {service ? <><h3>Described as</h3><Tree value={service} /></> : null}
  </>;
}

function Links({ list, empty }: { list: [string, string][]; empty: string }) {
  const f = s.frames.value, i = s.current.value;
  if (!list.length) return <p class="soft">{empty}</p>;
  return <ul class="links">{list.map(([a, b]) => <li key={a + '>' + b}>{a === '' ? <span>clients → {b}</span> : <button type="button" class="plain" onClick={() => { s.selected.value = { kind: 'edge', from: a, to: b }; }}>{a} → {b}</button>}
    <span>{f && a !== '' ? inShort(f.edge(i, edgeKey(a, b), E.rate), f.edge(i, edgeKey(a, b), E.errors)) : ''}</span></li>)}</ul>;
}

const breakerWords = ['closed', 'half-open', 'open'];

function Call({ from, to }: { from: string; to: string }) {
  const f = s.frames.value, i = s.current.value, key = edgeKey(from, to), breaker = f ? f.edge(i, key, E.breaker) : NaN;
  const breaking = <Break key={from + ' ' + to + ' ' + s.changing.value?.index} service={to} caller={from} />;
  return <>
    <Heading line={lineOf(from)}>{from} → {to}</Heading>
    {f ? <Figures list={[['calls', rate(f.edge(i, key, E.rate))], ['sent', rate(f.edge(i, key, E.sent))], ['errors', percent(f.edge(i, key, E.errors))], ['p50', seconds(f.edge(i, key, E.p50))], ['p99', seconds(f.edge(i, key, E.p99))], ...(Number.isNaN(breaker) ? [] : [['breaker', breakerWords[breaker] ?? '–'] as [string, string]])]} /> : null}
    <Faults list={(s.run.value?.faults ?? []).filter(x => x.service === to && (x.caller ?? '') === from)} title="Faults on it" />
    {s.breakable.value ? breaking : null}
    {s.detail.value?.aside?.calls?.some(c => c[0] === from && c[1] === to) ? <p class="note">What runs makes this call, and the file does not have it.</p> : null}
    <EditCall from={from} to={to} />
    <PlannedFaults service={to} caller={from} change={changeFault} />
    {s.breakable.value ? null : breaking}
    <h3>Ends</h3>
    <ul class="links">{[from, to].map(n => <li key={n}><button type="button" class="plain" onClick={() => { s.selected.value = { kind: 'service', name: n }; }}>{n}</button></li>)}</ul>
  </>;
}

function Group({ id }: { id: string }) {
  const box = s.drawn.value.boxes.find(b => b.id === id), f = s.frames.value, i = s.current.value;
  if (!box) return <Overview />;
  const of = (n: string, field: number): number => f ? f.service(i, n, field) : NaN;
  // Those that do worst come first.
  const members = f ? [...box.members].sort((a, b) => (of(b, S.errors) || 0) - (of(a, S.errors) || 0) || (of(b, S.p99) || 0) - (of(a, S.p99) || 0)) : box.members;
  return <>
    <Heading>{box.name}</Heading>
    <p>{box.members.length} services, taken together in the graph: {box.why}.</p>
    <p class="row"><button type="button" class="primary" onClick={() => { s.openGroup(id, true); s.selected.value = null; }}>Open the group</button><Within inside={box.inside} /></p>
    <h3>{f ? 'Its services, the worst first' : 'Its services'}</h3>
    <ul class="links">{members.slice(0, 400).map(n => <li key={n}><button type="button" class="plain" onClick={() => { s.selected.value = { kind: 'service', name: n }; }}>{n}</button>
      <span>{f ? inShort(of(n, S.rate), of(n, S.errors), of(n, S.p99)) : ''}</span></li>)}</ul>
    {members.length > 400 ? <p class="soft">… and {members.length - 400} more: find them by name.</p> : null}
  </>;
}

/** The open groups that something is part of. */
function Within({ inside }: { inside: { id: string; name: string }[] }) {
  return <>{inside.slice(-2).map(g => <button type="button" key={g.id} onClick={() => s.openGroup(g.id, false)}>Close the group {g.name}</button>)}</>;
}

/** How much of a large graph is drawn around a service. */
function Around({ name }: { name: string }) {
  const now = s.around.value, inside = s.drawn.value.boxes.find(b => b.id === 'node ' + name)?.inside ?? [];
  if ((s.graph.value?.nodes.length ?? 0) < 20) return null;
  return <p class="row around"><label>In the graph <select value={now?.name === name ? String(now.hops) : ''} onChange={e => { const v = e.currentTarget.value; s.around.value = v === '' ? null : { name, hops: Number(v) }; }}>
    <option value="">all services</option>{[1, 2, 3].map(h => <option key={h} value={String(h)}>{h === 1 ? '1 call around it' : `${h} calls around it`}</option>)}</select></label><Within inside={inside} /></p>;
}

/** Parameters of faults: what they are, in which unit, and what is usual. */
const args: Record<string, { hint: string; first: string }> = {
  delay: { hint: 'how long, such as 300ms', first: '300ms' }, jitter: { hint: 'such as 50ms', first: '' }, status: { hint: 'HTTP status', first: '503' },
  size: { hint: 'bytes, such as 1Mi', first: '1Mi' }, hold: { hint: 'how long, such as 10s', first: '10s' }, cores: { hint: 'processors', first: '1' }, rate: { hint: 'bytes per second, such as 100k', first: '100k' },
  percent: { hint: 'of packets', first: '10' }, correlation: { hint: '0 to 1', first: '' }, method: { hint: 'way of the stress', first: '' }, load: { hint: 'share of each processor, 0 to 1', first: '0.5' },
  pattern: { hint: 'regular expression', first: '' }, with: { hint: 'what to put in its place', first: '' }, operation: { hint: 'such as read', first: '' },
};
const common = ['latency', 'error', 'abort', 'hang', 'slow-query', 'failover', 'kill', 'pause', 'restart', 'net-delay', 'net-loss', 'net-partition'];

function Break({ service, caller }: { service: string; caller: string }) {
  const able = s.breakable.value, now = s.changing.value, store = s.graph.value?.nodes.find(n => n.name === service)?.store;
  // Faults in services do not act on data stores, nor the other way round.
  const list = s.vocabulary.value.filter(v => v.layer !== (store ? 'service' : 'store'));
  const old = now && now.service === service && (now.caller ?? '') === caller ? now.fault : null;
  const [type, setType] = useState(old?.type ?? (store ? 'slow-query' : 'latency')), [values, set] = useState<Record<string, string>>(Object.fromEntries(Object.entries(old?.args ?? {}).map(([k, v]) => [k, textOf(v)])));
  const [lasts, setLasts] = useState(old?.duration ?? ''), [hit, setHit] = useState(old && old.probability !== 1 ? String(old.probability) : ''), [start, setStart] = useState(old ? old.start ?? '0s' : '5s'), [adding, setAdding] = useState(false);
  if (s.view.value) return null;
  const entry = list.find(v => v.type === type);
  const intoFile = old !== null || !able && s.editable.value && s.sound.value?.experiment?.hasLoad === true;
  if (!able && !intoFile) return <p class="soft">To break it, play on this machine, in the sandbox or on a cluster.</p>;
  const fields = entry ? [...entry.needs, ...entry.may] : [];
  const valueOf = (a: string): string => values[a] ?? (!old && (entry?.needs.includes(a) || a === 'status') ? args[a]?.first ?? '' : '');
  const add = async (e: Event): Promise<void> => {
    e.preventDefault();
    setAdding(true);
    const given: Record<string, string | number> = {};
    for (const a of fields) { const v = valueOf(a).trim(); if (v) given[a] = a === 'status' ? Number(v) : v; }
    const much = { ...(lasts.trim() ? { duration: lasts.trim() } : {}), ...(hit.trim() ? { probability: hit.trim() } : {}) };
    const planned = { ...(old?.name ? { name: old.name } : {}), type, target: { ...old?.target, service, ...(caller ? { from: caller } : {}) }, ...(Object.keys(given).length ? { args: given } : {}), ...(start.trim() ? { start: start.trim() } : {}), ...much };
    if (old) { if (await s.operate({ op: 'setFault', index: now!.index, fault: planned })) s.changing.value = null; }
    else if (intoFile) await s.operate({ op: 'addFault', fault: planned });
    else await s.addFault({ type, target: { service, ...(caller ? { from: caller } : {}) }, args: given, ...much });
    setAdding(false);
  };
  return <form class="break" data-part="break" onSubmit={e => void add(e)}>
    <h3>{old ? 'Change the fault of the file' : intoFile ? 'Plan a fault in the file' : 'Break it'}</h3>
    <label>Fault<select value={type} onChange={e => { setType(e.currentTarget.value); set({}); }}>
      <optgroup label="Common">{common.filter(t => list.some(v => v.type === t)).map(t => <option key={t}>{t}</option>)}</optgroup>
      <optgroup label="More">{list.filter(v => !common.includes(v.type)).map(v => <option key={v.type}>{v.type}</option>)}</optgroup></select></label>
    {entry ? <p class="soft wide">{entry.doc}</p> : null}
    {fields.map(a => <label key={a}>{a}<input value={valueOf(a)} placeholder={String(entry!.defaults[a] ?? args[a]?.hint ?? '')} title={[args[a]?.hint, entry!.defaults[a] === undefined ? '' : entry!.defaults[a] + ' if left out'].filter(x => x).join('; ')} required={entry!.needs.includes(a)} onInput={e => set({ ...values, [a]: e.currentTarget.value })} /></label>)}
    {intoFile ? <label>from<input value={start} placeholder="0s" title="after the load has begun" onInput={e => setStart(e.currentTarget.value)} /></label> : null}
    <label>for<input value={lasts} placeholder={intoFile ? 'until the end' : 'until taken back'} title="such as 30s" onInput={e => setLasts(e.currentTarget.value)} /></label>
    <label>share<input value={hit} placeholder="all requests" title="such as 10%" onInput={e => setHit(e.currentTarget.value)} /></label>
    <button type="submit" class="primary" disabled={adding}>{adding ? 'Adding…' : intoFile ? 'Write it into the file' : 'Add the fault'}</button>
    {old ? <button type="button" onClick={() => { s.changing.value = null; }}>Leave it as it is</button> : null}
  </form>;
}

/** A part of the file as it was understood, with the defaults that apply. */
function Tree({ value }: { value: unknown }) {
  if (Array.isArray(value)) return value.length && value.every(v => typeof v !== 'object') ? <span>{value.join(', ')}</span> : <ul class="tree">{value.map((v, i) => <li key={i}><Tree value={v} /></li>)}</ul>;
  if (value !== null && typeof value === 'object') return <dl class="tree">{Object.entries(value).filter(([, v]) => v !== null && v !== '' && !(Array.isArray(v) && !v.length)).map(([k, v]) => <div key={k}><dt>{k}</dt><dd><Tree value={v} /></dd></div>)}</dl>;
  return <span>{String(value)}</span>;
}
