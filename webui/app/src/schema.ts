import * as api from './api';

/** A JSON Schema of the files, with the texts of their fields. */
export interface Schema {
  $ref?: string; $defs?: Record<string, Schema>; properties?: Record<string, Schema>; additionalProperties?: Schema | boolean; items?: Schema; anyOf?: Schema[]; allOf?: Schema[];
  enum?: (string | null)[]; const?: unknown; type?: string; pattern?: string; description?: string; required?: string[]; default?: unknown;
}

let asked: Promise<Schema> | undefined;
/** The schema of experiments, in which those of systems are; it is fetched once. */
export const schema = (): Promise<Schema> => asked ??= api.get<Schema>('/api/schema').catch(e => { asked = undefined; throw e; });

/** All forms that a value may have, without references. */
export function forms(root: Schema, s: Schema | undefined, seen = 0): Schema[] {
  if (!s || seen > 12) return [];
  if (s.$ref) return forms(root, root.$defs?.[s.$ref.replace('#/$defs/', '')], seen + 1);
  const inner = [...s.anyOf ?? [], ...s.allOf ?? []].flatMap(f => forms(root, f, seen + 1));
  return s.properties || s.items || s.enum || s.const !== undefined || s.type || s.pattern || s.additionalProperties ? [s, ...inner] : inner;
}
/** The fields of an object, with their schemas. */
export function fields(root: Schema, s: Schema | undefined): Map<string, Schema> {
  const found = new Map<string, Schema>();
  for (const f of forms(root, s)) for (const [k, v] of Object.entries(f.properties ?? {})) if (!found.has(k)) found.set(k, v);
  return found;
}
/** What a field can be set to, if that is a choice. */
export const choices = (root: Schema, s: Schema | undefined): string[] => [...new Set(forms(root, s).flatMap(f => f.type === 'boolean' ? ['true', 'false'] : [...f.enum ?? [], ...f.const === undefined ? [] : [f.const]].filter(v => typeof v === 'string')))] as string[];
/** What is below a path of keys; a list is passed through. */
export function below(root: Schema, path: string[]): Schema | undefined {
  let at: Schema[] = [root];
  for (const key of path) {
    at = at.flatMap(s => forms(root, s)).flatMap(f => [f, ...forms(root, f.items)]).flatMap(f => {
      const next = f.properties?.[key] ?? (typeof f.additionalProperties === 'object' ? f.additionalProperties : undefined);
      return next ? [next] : [];
    });
  }
  return at.length ? { anyOf: at.flatMap(s => forms(root, s)).flatMap(f => [f, ...forms(root, f.items)]), ...(at[0]!.description ? { description: at[0]!.description } : {}) } : undefined;
}
/** How a figure is written. */
export function unit(root: Schema, s: Schema | undefined): string {
  const all = forms(root, s), pattern = all.map(f => f.pattern ?? '').join(' ');
  if (pattern.includes('ms')) return 'a time, such as 500ms or 2s';
  if (pattern.includes('%')) return 'a share, such as 10% or 0.1';
  if (pattern.includes('[tT]')) return 'bytes per second, such as 125k, or 1mbit';
  if (pattern.includes('KMGTPE')) return 'a size, such as 64Ki';
  if (pattern.includes('m?')) return 'processors, such as 0.5 or 500m';
  if (all.some(f => f.type === 'integer')) return 'a whole number';
  return all.some(f => f.type === 'number') ? 'a number' : '';
}
/** The value of a field that a file leaves out; empty if there is no single one. */
export function usualText(root: Schema, s: Schema): string {
  const v = s.default ?? forms(root, s).find(f => f.default !== undefined)?.default ?? (choices(root, s).includes('false') ? false : '');
  return String(v);
}
