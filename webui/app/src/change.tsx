import { useRef, useState } from 'preact/hooks';
import { Policies } from './policy';
import * as s from './state';

/** A field of the file, which is written when the user leaves it or presses Enter. */
function Field({ label, value, hint, write }: { label: string; value: string; hint: string; write: (v: string) => Promise<boolean> }) {
  const [typed, type] = useState<string | null>(null), writing = useRef('');
  const done = (): void => {
    const v = typed?.trim() ?? value;
    if (v === value) { type(null); return; }
    // After Enter, the field may go, which leaves it once more.
    if (v === writing.current) return;
    writing.current = v;
    void write(v).then(() => { writing.current = ''; type(null); });
  };
  return <label>{label}<input value={typed ?? value} placeholder={hint} title={hint} onInput={e => type(e.currentTarget.value)} onBlur={done} onKeyDown={e => { if (e.key === 'Enter') { e.preventDefault(); done(); } if (e.key === 'Escape') type(null); }} /></label>;
}
/** Numbers are written as numbers; nothing leaves the field to its default. */
const given = (v: string): Record<string, unknown> => v === '' ? {} : { value: /^\d+(\.\d+)?$/.test(v) ? Number(v) : v };

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

export function EditService({ name, service }: { name: string; service: Record<string, unknown> | undefined }) {
  if (!s.editable.value || !service) return null;
  const set = (field: string) => (v: string) => s.operate({ op: 'setService', service: name, field, ...given(v) });
  const text = (field: string): string => service[field] === undefined ? '' : String(service[field]);
  const rename = (v: string): Promise<boolean> => s.operate({ op: 'renameService', name, to: v }, () => { s.selected.value = { kind: 'service', name: v }; });
  return <section class="change" data-part="edit-service"><h3>Change it in the file</h3>
    <Field label="name" value={name} hint="a-z, 0-9 and -" write={rename} />
    <Field label="replicas" value={text('replicas')} hint="copies; 1 if left out" write={set('replicas')} />
    <Field label="workers" value={text('workers')} hint="requests at once; no bound if left out" write={set('workers')} />
    <p class="row wide"><button type="button" onClick={() => { s.linking.value = name; s.pane.value = 'graph'; }}>Draw a call from it</button>
      <button type="button" class="bad" onClick={() => void s.operate({ op: 'removeService', name, cascade: true }, () => { s.selected.value = null; })}>Remove it and the calls to it</button></p>
  </section>;
}

/** The first call from a service to another, as the file was understood. */
function callOf(from: string, to: string): { endpoint: string; call: Record<string, unknown> } | null {
  const find = (steps: unknown): Record<string, unknown> | null => {
    if (!Array.isArray(steps)) return null;
    for (const step of steps as Record<string, unknown>[]) {
      const call = step['call'] as Record<string, unknown> | undefined;
      if (call?.['to'] === to) return call;
      for (const below of Object.values(step)) { const found = find(below); if (found) return found; }
    }
    return null;
  };
  const service = s.sound.value?.system?.services.find(x => x['name'] === from);
  for (const e of (service?.['endpoints'] as Record<string, unknown>[] | undefined) ?? []) {
    const call = find(e['steps']);
    if (call) return { endpoint: String(e['path']), call };
  }
  return null;
}

export function EditCall({ from, to }: { from: string; to: string }) {
  const at = callOf(from, to);
  if (!s.editable.value || !at) return null;
  const ref = { service: from, endpoint: at.endpoint, to };
  const set = (field: string) => (v: string) => s.operate({ op: 'setCall', ...ref, field, ...given(v) });
  const text = (field: string): string => at.call[field] === undefined ? '' : String(at.call[field]);
  return <section class="change" data-part="edit-call"><h3>Change it in the file</h3>
    <Field label="probability" value={text('probability')} hint="0 to 1; always if left out" write={set('probability')} />
    <Field label="count" value={text('count')} hint="times, one after another; 1 if left out" write={set('count')} />
    <Policies call={at.call} set={(policy, value) => s.operate({ op: 'setPolicy', ...ref, policy, ...value })} />
    <p class="row wide"><button type="button" class="bad" onClick={() => void s.operate({ op: 'removeCall', ...ref }, () => { s.selected.value = null; })}>Remove the call</button></p>
  </section>;
}
