import { useState } from 'preact/hooks';
import type { CheckText, PlannedFault } from './api';
import { Part, useSchema } from './fields';
import { scopeOf } from './panel';
import * as s from './state';
import { clock } from './text';

type Load = { phases: Record<string, unknown>[]; requests?: Record<string, unknown>[] } & Record<string, unknown>;

/** The load, the checks and the faults of the file: changed, added, taken away. */
export function EditExperiment() {
  const root = useSchema(), e = s.sound.value?.experiment;
  if (!s.editable.value || !root || !e?.hasLoad || !e.load) return null;
  const load = e.load as Load, requests = load.requests ?? [];
  const write = (next: Record<string, unknown>): Promise<boolean> => s.operate({ op: 'setLoad', load: next });
  /** Sets an item of a list of the load, or takes it out of it. */
  const item = (field: string, list: Record<string, unknown>[], i: number) => ({ value }: { value?: unknown }): Promise<boolean> =>
    write({ ...load, [field]: list.flatMap((old, j) => j !== i ? [old] : value === undefined ? [] : [value as Record<string, unknown>]) });
  const { phases: _, requests: __, ...rest } = load;
  return <section class="change" data-part="edit-load"><h3>Load of the file</h3>
    <section class="policies wide">
      {load.phases.map((p, i) => <Part key={'phase' + i + JSON.stringify(p)} root={root} id={'phase-' + i} title={load.phases.length > 1 || p['name'] ? 'Phase ' + String(p['name'] ?? i + 1) : 'Phase'} path={['load', 'phases']} value={p} set={item('phases', load.phases, i)}>
        {load.phases.length > 1 ? <button type="button" class="bad" onClick={() => void item('phases', load.phases, i)({})}>Remove the phase</button> : <></>}</Part>)}
      {requests.map((r, i) => <Part key={'request' + i + JSON.stringify(r)} root={root} id={'request-' + i} title={'Requests ' + (requests.length > 1 ? `${i + 1} of ${requests.length}` : '')} path={['load', 'requests']} value={r} set={item('requests', requests, i)}>
        {requests.length > 1 ? <button type="button" class="bad" onClick={() => void item('requests', requests, i)({})}>Remove these requests</button> : <></>}</Part>)}
      <Part key={'rest' + JSON.stringify(rest)} root={root} id="load" title="All requests" path={['load']} value={rest} less={['phases', 'requests', ...Object.keys(load.phases[0] ?? {}).filter(k => !(k in rest))]} set={v => write({ ...(v.value as object), phases: load.phases, requests })}><></></Part>
    </section>
    <p class="row wide"><button type="button" onClick={() => { const { name: _, ...last } = load.phases.at(-1) ?? {}; void write({ ...load, phases: [...load.phases, last] }); }}>Add a phase</button>
      <button type="button" onClick={() => void write({ ...load, requests: [...requests, { service: s.graph.value?.nodes.find(n => n.name)?.name ?? '' }] })}>Add other requests</button></p>
  </section>;
}

/** The checks of the file. */
export function EditChecks() {
  const e = s.sound.value?.experiment, [check, type] = useState(''), [service, setService] = useState(''), [from, setFrom] = useState(''), [phase, setPhase] = useState('');
  if (!s.editable.value || !e?.hasLoad) return null;
  const names = s.graph.value?.nodes.map(n => n.name).filter(n => n) ?? [];
  const add = async (event: Event): Promise<void> => {
    event.preventDefault();
    const text: CheckText = { check: check.trim(), ...(service ? { service } : {}), ...(service && from ? { from } : {}), ...(phase.trim() ? { phase: phase.trim() } : {}) };
    if (await s.operate({ op: 'addCheck', check: text })) type('');
  };
  const choose = (label: string, value: string, set: (v: string) => void, none: string) => <label>{label}<select value={value} onChange={x => set(x.currentTarget.value)}><option value="">{none}</option>{names.map(n => <option key={n}>{n}</option>)}</select></label>;
  return <form class="change" data-part="edit-checks" onSubmit={x => void add(x)}><h3>Checks of the file</h3>
    <ul class="lines wide">{e.checks.map((c, i) => <li key={i + c.check}><span><code>{c.check}</code> <small>{scopeOf(c)}</small></span><button type="button" class="plain" aria-label={'Remove the check ' + c.check} onClick={() => void s.operate({ op: 'removeCheck', index: i })}>✕</button></li>)}</ul>
    <label class="wide">check<input value={check} required placeholder="errors < 1%, p99 < 200ms or goodput > 50" title="rate, goodput, errors, p50, p90, p95, p99 or p999, how it compares, and a bound with its unit" onInput={x => type(x.currentTarget.value)} /></label>
    {choose('of', service, setService, 'the clients')}{service ? choose('called by', from, setFrom, 'anybody') : null}
    <label>in<input value={phase} placeholder="the whole run" title="a phase of the load, or before, during or after the faults" onInput={x => setPhase(x.currentTarget.value)} /></label>
    <button type="submit">Add the check</button>
  </form>;
}

/** The faults that the file plans for a service, or for all: each can be changed or taken out. */
export function PlannedFaults({ service = '', caller = '', all = false, change }: { service?: string; caller?: string; all?: boolean; change: (f: PlannedFault) => void }) {
  const list = (s.sound.value?.experiment?.faults ?? []).filter(f => all || f.service === service && (f.caller ?? '') === caller);
  if (!s.editable.value || !list.length || !s.sound.value?.experiment?.hasLoad) return null;
  return <section class="change" data-part="edit-faults"><h3>Faults of the file</h3>
    <ul class="lines wide">{list.map(f => <li key={f.index}><span>{f.label}<small>{f.rounds ? 'in rounds' : `from ${clock(f.from)} ${f.to ? 'to ' + clock(f.to) : 'on'}`}</small></span>
      <span>{f.rounds ? null : <button type="button" class="plain" aria-label={'Change ' + f.label} onClick={() => change(f)}>Change</button>}<button type="button" class="plain" aria-label={'Take ' + f.label + ' out of the file'} onClick={() => void s.operate({ op: 'removeFault', index: f.index })}>✕</button></span></li>)}</ul>
  </section>;
}
