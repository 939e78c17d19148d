import { useEffect, useState } from 'preact/hooks';
import { below, choices, fields, forms, schema, unit, usualText, type Schema } from './schema';
import * as s from './state';

/** The schema of files; null until it is there. */
export function useSchema(): Schema | null {
  const [root, set] = useState<Schema | null>(null);
  useEffect(() => { void s.attempt(async () => set(await schema())); }, []);
  return root;
}

/** A distribution of times is one field, which takes a time, too. */
const isDelay = (root: Schema, at: Schema): boolean => fields(root, at).has('lognormal');
export const hintOf = (root: Schema, at: Schema): string => isDelay(root, at) ? 'a time, such as 5ms, or {"lognormal": {"p50": "5ms", "p99": "20ms"}}' : unit(root, at) || (choices(root, at).length ? choices(root, at).join(' or ') : at.items && !fields(root, at.items).size ? 'names, with commas' : '');

/** The fields of a part of the file, those inside of others with a dot. */
function listOf(root: Schema, at: Schema | undefined, before = ''): [string, Schema][] {
  return [...fields(root, at)].flatMap(([k, v]): [string, Schema][] => fields(root, v).size && !isDelay(root, v) ? listOf(root, v, before + k + '.') : [[before + k, v]]);
}

/** A value as it stands in a field: lists of names with commas, all else that has parts as JSON. */
export function textOf(value: unknown, field = ''): string {
  let v = value;
  for (const k of field === '' ? [] : field.split('.')) v = (v as Record<string, unknown> | undefined)?.[k];
  if (v === undefined || v === null) return '';
  if (typeof v !== 'object') return String(v);
  return Array.isArray(v) && v.every(x => typeof x !== 'object') ? v.join(', ') : JSON.stringify(v);
}
/** What a text of a field means: a number where the field takes one, JSON where it has parts. */
export function valueOf(root: Schema, at: Schema | undefined, text: string): unknown {
  const all = forms(root, at), many = all.some(f => f.items), types = [...all, ...all.flatMap(f => forms(root, f.items))].map(f => f.type);
  if (/^[{[]/.test(text) && (many || all.some(f => f.properties || f.additionalProperties))) {
    try { return JSON.parse(text); } catch (e) { throw new Error(`"${text}" is not JSON: ${(e as Error).message}`); }
  }
  if (many) return text.split(/[\s,]+/).map(word => scalarOf(types, word));
  return scalarOf(types, text);
}
function scalarOf(types: (string | undefined)[], text: string): unknown {
  if (types.includes('boolean') && (text === 'true' || text === 'false')) return text === 'true';
  return (types.includes('number') || types.includes('integer')) && /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}

interface PartOf {
  root: Schema; id: string; title: string; path: string[]; value: unknown;
  /** What fields hold before the part is there. */
  usual?: Record<string, string>;
  /** What stands beside the title when the part is not there. */
  none?: string;
  /** Fields that are not shown. */
  less?: string[];
  /** Writes the part; without a value it is left out. */
  set: (v: { value?: unknown }) => Promise<boolean>;
  children?: preact.ComponentChildren;
}

/** A part of the file: what it does, and its fields with their units and what they are if left out. */
export function Part({ root, id, title, path, value, usual = {}, none = 'none', less = [], set, children }: PartOf) {
  const at = below(root, path), all = at && !isDelay(root, at) ? listOf(root, at).filter(([f]) => !less.includes(f.split('.')[0]!)) : [], simple = all.length === 0;
  const on = value !== undefined && value !== null, isSet = (f: string): boolean => textOf(value, f) !== '' || usual[f] !== undefined;
  // What is set comes first.
  const list: [string, Schema][] = simple && at ? [['', at]] : [...all.filter(([f]) => isSet(f)), ...all.filter(([f]) => !isSet(f))];
  const [typed, type] = useState<Record<string, string>>({});
  const now = (f: string): string => typed[f] ?? (on ? textOf(value, f) : usual[f] ?? '');
  const write = (e: Event): void => {
    e.preventDefault();
    void s.attempt(async () => {
      const out: Record<string, unknown> = {};
      for (const l of less) { const kept = (value as Record<string, unknown> | undefined)?.[l]; if (kept !== undefined) out[l] = kept; }
      for (const [f, v] of list) {
        const text = now(f).trim();
        if (text === '') continue;
        const is = valueOf(root, v, text), keys = f.split('.'), last = keys.pop()!;
        let to = out;
        for (const k of keys) to = (to[k] ??= {}) as Record<string, unknown>;
        to[last] = is;
      }
      await set({ value: simple ? out[''] ?? null : out });
    });
  };
  return <details class="policy" data-field={id}><summary>{title}<span>{on ? (simple ? textOf(value) : summary(value as Record<string, unknown>)) : none}</span></summary>
    <form onSubmit={write}>
      {at?.description ? <p class="soft">{at.description}</p> : null}
      {list.map(([f, v]) => {
        const hint = hintOf(root, v), label = f || (hint.startsWith('a time') ? 'time' : 'value'), among = choices(root, v), left = usualText(root, v);
        const text = v.description && v.description !== at?.description ? v.description : '';
        return <div key={f}><label>{label}{among.length && !v.items ? <select value={now(f)} onChange={e => type({ ...typed, [f]: e.currentTarget.value })}><option value="">{left ? left + ', if left out' : 'left out'}</option>{among.map(c => <option key={c}>{c}</option>)}</select>
          : <input value={now(f)} placeholder={left || hint} title={hint} onInput={e => type({ ...typed, [f]: e.currentTarget.value })} />}</label><small>{[text.replace(/\.$/, ''), among.length || !on && !text && hint.length < 24 ? '' : capital(hint), !among.length && left && left + ' if left out'].filter(x => x).join('. ')}</small></div>;
      })}
      <p class="row"><button type="submit">{on ? 'Change' : 'Set'}</button>{children ?? (on ? <button type="button" onClick={() => void set({})}>Leave it out</button> : null)}</p>
    </form></details>;
}
const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
const summary = (v: Record<string, unknown>): string => Object.entries(v).filter(([k, x]) => typeof x !== 'object' && k !== 'name').slice(0, 3).map(([k, x]) => `${k} ${String(x)}`).join(', ');
