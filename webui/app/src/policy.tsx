import { useEffect, useState } from 'preact/hooks';
import { below, choices, fields, schema, unit, usualText, type Schema } from './schema';
import * as s from './state';

const names: Record<string, string> = { timeout: 'Timeout', retry: 'Retry', breaker: 'Breaker', bulkhead: 'Bulkhead', rateLimit: 'Rate limit', hedge: 'Hedge', fallback: 'Fallback' };
const usual: Record<string, Record<string, string>> = {
  timeout: { '': '500ms' }, retry: { attempts: '3', backoff: '50ms' }, breaker: { failures: '5', reset: '5s' }, bulkhead: { maxConcurrent: '10' }, rateLimit: { rate: '100' }, hedge: { after: '100ms' }, fallback: { kind: 'empty' },
};
const path = ['system', 'services', 'endpoints', 'steps', 'call'];

/** The policies of a call, from the outside in: what each does, its fields with their units, and what is in force. */
export function Policies({ call, set }: { call: Record<string, unknown>; set: (policy: string, value: { value?: unknown }) => Promise<boolean> }) {
  const [root, setRoot] = useState<Schema | null>(null);
  useEffect(() => { void s.attempt(async () => setRoot(await schema())); }, []);
  if (!root) return null;
  return <section class="policies wide" data-part="policies">{Object.keys(names).map(p => <Policy key={p + JSON.stringify(call[p] ?? null)} root={root} policy={p} value={call[p]} set={v => set(p, v)} />)}</section>;
}

/** The fields of a policy, those inside of others with a dot. */
function listOf(root: Schema, at: Schema | undefined, before = ''): [string, Schema][] {
  return [...fields(root, at)].flatMap(([k, v]): [string, Schema][] => {
    const inner = fields(root, v);
    return inner.size ? listOf(root, v, before + k + '.') : [[before + k, v]];
  });
}
function textOf(value: unknown, field: string): string {
  let v = value;
  for (const k of field === '' ? [] : field.split('.')) v = (v as Record<string, unknown> | undefined)?.[k];
  return v === undefined || v === null ? '' : Array.isArray(v) ? v.join(', ') : String(v);
}

function Policy({ root, policy, value, set }: { root: Schema; policy: string; value: unknown; set: (v: { value?: unknown }) => Promise<boolean> }) {
  const at = below(root, [...path, policy]), simple = policy === 'timeout';
  const list: [string, Schema][] = simple ? [['', at!]] : listOf(root, at), on = value !== undefined && value !== null;
  const [typed, type] = useState<Record<string, string>>({});
  const now = (f: string): string => typed[f] ?? (on ? textOf(value, f) : usual[policy]?.[f] ?? '');
  const write = (e: Event): void => {
    e.preventDefault();
    const out: Record<string, unknown> = {};
    for (const [f, v] of list) {
      const text = now(f).trim();
      if (text === '') continue;
      const many = v.items !== undefined, is = many ? text.split(/[\s,]+/) : text === 'true' ? true : text === 'false' ? false : /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
      const keys = f.split('.'), last = keys.pop()!;
      let to = out;
      for (const k of keys) to = (to[k] ??= {}) as Record<string, unknown>;
      to[last] = is;
    }
    void set({ value: simple ? out[''] ?? null : out });
  };
  return <details class="policy" data-policy={policy}><summary>{names[policy]}<span>{on ? (simple ? String(value) : summary(value as Record<string, unknown>)) : 'none'}</span></summary>
    <form onSubmit={write}>
      <p class="soft">{at?.description}</p>
      {list.map(([f, v]) => {
        const label = f === '' ? 'time' : f, among = choices(root, v), hint = unit(root, v) || (v.items ? 'names, with commas' : '');
        const text = v.description && v.description !== at?.description ? v.description : '';
        return <div key={f}><label>{label}{among.length && !v.items ? <select value={now(f)} onChange={e => type({ ...typed, [f]: e.currentTarget.value })}><option value="">{usualText(root, v) || '–'} (left out)</option>{among.map(c => <option key={c}>{c}</option>)}</select>
          : <input value={now(f)} placeholder={usualText(root, v) || hint} title={hint} onInput={e => type({ ...typed, [f]: e.currentTarget.value })} />}</label><small>{[hint, usualText(root, v) && usualText(root, v) + ' if left out', text].filter(x => x).join('. ')}</small></div>;
      })}
      <p class="row"><button type="submit">{on ? 'Change' : 'Set'}</button>{on ? <><button type="button" onClick={() => void set({ value: null })}>Turn off</button><button type="button" title="takes it away here, so that what the service or the system says for all calls is in force" onClick={() => void set({})}>As inherited</button></> : null}</p>
    </form></details>;
}
const summary = (v: Record<string, unknown>): string => Object.entries(v).filter(([, x]) => typeof x !== 'object').slice(0, 3).map(([k, x]) => `${k} ${String(x)}`).join(', ');
