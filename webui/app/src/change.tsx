import { useRef, useState } from 'preact/hooks';
import { Part, hintOf, textOf, useSchema, valueOf } from './fields';
import { Policies, callPath } from './policy';
import { below, choices, usualText, type Schema } from './schema';
import * as s from './state';

/** A field of the file, which is written when the user leaves it or presses Enter. */
function Field({ label, value, hint, what = '', write }: { label: string; value: string; hint: string; what?: string; write: (v: string) => Promise<boolean> }) {
  const [typed, type] = useState<string | null>(null), writing = useRef('');
  const done = (): void => {
    const v = typed?.trim() ?? value;
    if (v === value) { type(null); return; }
    // After Enter, the field may go, which leaves it once more.
    if (v === writing.current) return;
    writing.current = v;
    void write(v).then(() => { writing.current = ''; type(null); });
  };
  return <label>{label}<input value={typed ?? value} placeholder={hint} title={[hint, what].filter(x => x).join('. ')} onInput={e => type(e.currentTarget.value)} onBlur={done} onKeyDown={e => { if (e.key === 'Enter') { e.preventDefault(); done(); } if (e.key === 'Escape') type(null); }} /></label>;
}
/** A value to be written; nothing leaves the field to its default. */
const given = (root: Schema, path: string[], v: string): Record<string, unknown> => v === '' ? {} : { value: valueOf(root, below(root, path), v) };

/** A field as the schema describes it, or a choice. */
function Described({ root, path, name, value, set }: { root: Schema; path: string[]; name: string; value: unknown; set: (v: string) => Promise<boolean> }) {
  const at = below(root, [...path, name]);
  if (!at) return null;
  const among = choices(root, at), left = usualText(root, at), hint = [hintOf(root, at), left ? left + ' if left out' : ''].filter(x => x).join('; ');
  if (among.length) return <label title={at.description}>{name}<select value={textOf(value)} onChange={e => void set(e.currentTarget.value)}><option value="">{left ? left + ', if left out' : 'left out'}</option>{among.map(c => <option key={c}>{c}</option>)}</select></label>;
  return <Field label={name} value={textOf(value)} hint={hint} what={at.description ?? ''} write={set} />;
}

export function AddService() {
  const [name, setName] = useState(''), [sleep, setSleep] = useState('5ms');
  if (!s.editable.value) return null;
  const add = async (e: Event): Promise<void> => {
    e.preventDefault();
    if (await s.operate({ op: 'addService', service: { name: name.trim(), ...(sleep.trim() ? { work: { sleep: sleep.trim() } } : {}) } }, () => { s.selected.value = { kind: 'service', name: name.trim() }; })) setName('');
  };
  return <form class="change" data-part="add-service" onSubmit={e => void add(e)}>
    <h3>Add a service</h3>
    <label>name<input value={name} required placeholder="a-z, 0-9 and -" onInput={e => setName(e.currentTarget.value)} /></label>
    <label>takes<input value={sleep} placeholder="time per request, such as 5ms" title="time per request, such as 5ms" onInput={e => setSleep(e.currentTarget.value)} /></label>
    <button type="submit">Add</button>
  </form>;
}

const servicePath = ['system', 'services'];
/** What a service has beside its endpoints, and what each of these has. */
const serviceParts: [string, string][] = [['shed', 'Shedding'], ['readiness', 'Readiness check'], ['liveness', 'Liveness check'], ['resources', 'Resources'], ['store', 'Data store']];
const endpointParts: [string, string][] = [['work', 'Work'], ['response', 'Answer'], ['timeout', 'Timeout of the endpoint'], ['errorRate', 'Share of errors'], ['errorStatus', 'Status of errors']];

export function EditService({ name, service }: { name: string; service: Record<string, unknown> | undefined }) {
  const root = useSchema();
  if (!s.editable.value || !service) return null;
  const set = (field: string, endpoint = '') => (value: Record<string, unknown>) => s.operate({ op: 'setService', service: name, ...(endpoint ? { endpoint } : {}), field, ...value });
  const rename = (v: string): Promise<boolean> => {
    // When a new service has its name, the keyboard goes on there. A field that is left has lost the focus.
    const field = document.activeElement, on = s.fresh.value === name && field?.closest('[data-part=edit-service]');
    return s.operate({ op: 'renameService', name, to: v }, () => {
      s.selected.value = { kind: 'service', name: v };
      s.fresh.value = '';
      if (on && document.activeElement === field) s.focusing.value = v;
    });
  };
  const endpoints = (service['endpoints'] as Record<string, unknown>[] | undefined) ?? [];
  const part = (field: string, title: string, path: string[], value: unknown, endpoint = '') =>
    <Part key={endpoint + field + JSON.stringify(value ?? null)} root={root!} id={field} title={title} path={[...path, field]} value={value} none="as usual" set={set(field, endpoint)} />;
  return <section class="change" data-part="edit-service"><h3>Change it in the file</h3>
    <Field label="name" value={name} hint="a-z, 0-9 and -" write={rename} />
    <p class="row wide"><button type="button" onClick={() => { s.linking.value = s.focusing.value = name; s.pane.value = 'graph'; }}>Draw a call from it</button></p>
    {root ? ['replicas', 'workers', 'backlog', 'memory', 'onCancel'].map(f => <Described key={f} root={root} path={servicePath} name={f} value={service[f]} set={v => set(f)(given(root, [...servicePath, f], v))} />) : null}
    {root ? <section class="policies wide">
      {endpoints.map(e => {
        const path = String(e['path']), first = (e['steps'] as Record<string, unknown>[] | undefined)?.[0]?.['work'];
        return <div key={path} data-endpoint={path}>{endpoints.length > 1 ? <h4>{path}</h4> : null}
          {endpointParts.filter(([f]) => service['kind'] !== 'store' || f === 'response').map(([f, title]) => part(f, title, [...servicePath, ...(f === 'work' ? [] : ['endpoints'])], f === 'work' ? first : e[f], path))}</div>;
      })}
      {serviceParts.filter(([f]) => f !== 'store' || service[f] !== undefined).map(([f, title]) => part(f, title, servicePath, service[f]))}
    </section> : null}
    <p class="row wide"><button type="button" class="bad" onClick={() => void s.operate({ op: 'removeService', name, cascade: true }, () => { s.selected.value = null; })}>Remove it and the calls to it</button></p>
  </section>;
}

interface CallAt { endpoint: string; nth: number; call: Record<string, unknown> }
/** The calls from a service to another, as the file was understood, in its order. */
function callsOf(from: string, to: string): CallAt[] {
  const service = s.sound.value?.system?.services.find(x => x['name'] === from);
  return ((service?.['endpoints'] as Record<string, unknown>[] | undefined) ?? []).flatMap(e => {
    const found: Record<string, unknown>[] = [];
    const walk = (steps: unknown): void => {
      for (const step of Array.isArray(steps) ? steps as Record<string, unknown>[] : []) {
        const call = step['call'] as Record<string, unknown> | undefined;
        if (call?.['to'] === to) found.push(call);
        walk(step['parallel']);
      }
    };
    walk(e['steps']);
    return found.map((call, nth) => ({ endpoint: String(e['path']), nth, call }));
  });
}

export function EditCall({ from, to }: { from: string; to: string }) {
  const root = useSchema(), all = callsOf(from, to), [which, choose] = useState(0), at = all[which] ?? all[0];
  if (!s.editable.value || !at || !root) return null;
  const ref = { service: from, endpoint: at.endpoint, to, ...(at.nth ? { nth: at.nth } : {}) };
  return <section class="change" data-part="edit-call"><h3>Change it in the file</h3>
    {all.length > 1 ? <label class="wide">of {all.length} calls<select value={all.indexOf(at)} onChange={e => choose(Number(e.currentTarget.value))}>{all.map((c, i) => <option key={i} value={i}>{c.endpoint}{c.nth ? `, number ${c.nth + 1}` : ''}</option>)}</select></label> : null}
    {['probability', 'count', 'endpoint', 'method', 'requestSize', 'onError'].map(f => <Described key={f} root={root} path={callPath} name={f} value={at.call[f]} set={v => s.operate({ op: 'setCall', ...ref, field: f, ...given(root, [...callPath, f], v) })} />)}
    <Policies call={at.call} set={(policy, value) => s.operate({ op: 'setPolicy', ...ref, policy, ...value })} />
    <p class="row wide"><button type="button" class="bad" onClick={() => void s.operate({ op: 'removeCall', ...ref }, () => { if (all.length === 1) s.selected.value = null; })}>Remove the call</button></p>
  </section>;
}
