import type { Completion, CompletionContext, CompletionResult } from '@codemirror/autocomplete';
import { below, choices, fields, schema } from './schema';
import * as s from './state';

interface Place { path: string[]; key: string | null; from: number; known: Set<string> }

/** The keys that lead to the end of a text, and what is being written there: a key (then key is null) or the value of one. */
function placeOf(before: string): Place {
  const lines = before.split('\n'), last = lines.pop()!, own = parts(last);
  const path: string[] = [], known = new Set<string>();
  // Upwards, each line with a smaller indent has the key that the ones below belong to.
  for (let i = lines.length - 1, indent = own.indent; i >= 0 && indent > 0 || i >= 0 && own.dash && indent === 0; i--) {
    const line = lines[i]!;
    if (!line.trim() || /^\s*#/.test(line)) continue;
    const p = parts(line);
    if (/^---/.test(line)) break;
    if (p.indent === own.indent && !own.stack.length && p.key) known.add(p.key);
    const isParent = p.indent < indent || own.dash && p.indent === indent && !p.dash && path.length === 0 && p.key !== null && p.value === '';
    if (!isParent || p.key === null) continue;
    path.unshift(p.key);
    indent = p.dash && p.indent > p.start ? p.start + 1 : p.indent;
    if (p.start < p.indent) indent = Math.min(indent, p.start + 1);
  }
  path.push(...own.stack);
  return { path, key: own.open, from: own.from, known: new Set([...known, ...own.known]) };
}

/** A line: where it begins, where its key does (behind dashes), its key and value, and what is open in braces at its end. */
function parts(line: string) {
  const head = /^(\s*)((?:- +)*)/.exec(line)!, start = head[1]!.length, indent = head[0].length, rest = line.slice(indent);
  const first = /^("?[\w.\/-]+"?):(?: |$)(.*)$/.exec(rest);
  const key = first ? first[1]!.replace(/"/g, '') : null, value = first?.[2]?.replace(/\s+#.*$/, '').trim() ?? '';
  // In braces, keys stand within the line.
  const stack: string[] = [], keys: Set<string>[] = [];
  let word = '', open: string | null = null, from = indent, known = new Set<string>(), quote = '';
  for (let i = indent; i < line.length; i++) {
    const c = line[i]!;
    if (quote) { if (c === quote) quote = ''; continue; }
    if (c === '"' || c === "'") quote = c;
    else if (c === '{' || c === '[') { if (open !== null) stack.push(open); else stack.push(''); keys.push(known); known = new Set(); word = ''; open = null; from = i + 1; }
    else if (c === '}' || c === ']') { stack.pop(); known = keys.pop() ?? new Set(); word = ''; open = null; from = i + 1; }
    else if (c === ',' && stack.length) { word = ''; open = null; from = i + 1; }
    else if (c === ':' && (line[i + 1] === ' ' || i === line.length - 1)) { open = word.trim(); known.add(open); word = ''; from = i + 1; }
    else word += c;
  }
  while (from < line.length && line[from] === ' ') from++;
  return { start, indent, dash: head[2] !== '', key, value, stack: stack.filter(k => k), open, from, known };
}

/** Keys with their texts, values that are a choice, and the names of services. */
export async function complete(context: CompletionContext): Promise<CompletionResult | null> {
  const line = context.state.doc.lineAt(context.pos), before = context.state.sliceDoc(Math.max(0, line.from - 200_000), context.pos);
  if (/(^|\s)#[^'"]*$/.test(line.text.slice(0, context.pos - line.from))) return null;
  const place = placeOf(before.replace(/\r/g, '')), from = line.from + place.from;
  if (!context.explicit && from === context.pos && place.key === null) return null;
  const root = await schema().catch(() => null);
  if (!root) return null;
  const text = context.state.sliceDoc(0, 2000), path = /^kind: *System/m.test(text) && !/^kind: *Experiment/m.test(text) ? ['system', ...place.path] : place.path;
  let options: Completion[];
  if (place.key !== null) {
    const at = below(root, [...path, place.key]);
    options = choices(root, at).map(v => ({ label: v, type: 'enum' }));
    if (['to', 'service', 'from', 'entry', 'calls'].includes(place.key)) options.push(...(s.sound.value?.system?.services ?? []).map(x => ({ label: String(x['name']), type: 'variable' })));
  } else {
    options = [...fields(root, below(root, path))].filter(([k]) => !place.known.has(k)).map(([k, v]) => ({ label: k, type: 'property', apply: k + ': ', ...(v.description ? { info: v.description } : {}) }));
    if (path.at(-1) === 'calls') options.push(...(s.sound.value?.system?.services ?? []).map(x => ({ label: String(x['name']), type: 'variable' })));
  }
  return options.length ? { from, options, validFor: /^[\w.-]*$/ } : null;
}
