import type { Graph } from './api';

/** What the search box means: a part of a name, or conditions such as errors>1% p99>200ms callee=db. */
export interface Figures { rate: number; errors: number; p50: number; p99: number; queue: number }
export interface Finder { test(name: string, figures: () => Figures): boolean; wrong: string }

const condition = /^(rate|errors|p50|p99|queue)(>=|<=|>|<)(\d+(?:\.\d+)?)(%|us|ms|s|)$/;
const unitOf: Record<string, RegExp> = { rate: /^$/, queue: /^$/, errors: /^%?$/, p50: /^(us|ms|s)$/, p99: /^(us|ms|s)$/ };

export function finder(query: string, graph: Graph | null): Finder | null {
  const words = query.trim().toLowerCase().split(/\s+/).filter(w => w);
  if (!words.length) return null;
  let wrong = '';
  const tests = words.map((word): ((name: string, figures: () => Figures) => boolean) => {
    const relation = /^(callee|caller|kind)=(.+)$/.exec(word);
    if (relation) return related(graph, relation[1]!, relation[2]!);
    const m = condition.exec(word);
    if (!m) {
      if (/[<>=]/.test(word)) wrong = `"${word}" is no condition: write rate, errors, p50, p99 or queue with < or > and a figure, as p99>200ms or errors>1%; or callee=, caller= or kind= with a name`;
      return name => name.toLowerCase().includes(word);
    }
    const field = m[1] as keyof Figures, unit = m[4] ?? '';
    if (!unitOf[field]!.test(unit)) wrong = `"${word}" has ${unit ? 'the wrong unit' : 'no unit'}: write ${field === 'errors' ? 'errors>1%' : field.startsWith('p') ? field + '>200ms' : field + '>10'}`;
    const bound = Number(m[3]) * ({ '%': 0.01, us: 1e-6, ms: 1e-3 }[unit] ?? 1);
    return (_, figures) => {
      const v = figures()[field];
      return m[2] === '>' ? v > bound : m[2] === '<' ? v < bound : m[2] === '>=' ? v >= bound : v <= bound;
    };
  });
  return { wrong, test: (name, figures) => !wrong && tests.every(t => t(name, figures)) };
}

/** Services that call one (callee=), that one calls (caller=), or of a kind. */
function related(graph: Graph | null, what: string, value: string): (name: string) => boolean {
  const names = new Set<string>();
  if (graph && what === 'kind') for (const n of graph.nodes) if (n.kind === value) names.add(n.name);
  if (graph && what !== 'kind') for (const e of graph.edges) {
    const a = graph.nodes[e.from]!.name, b = graph.nodes[e.to]!.name;
    if (what === 'callee' ? b.toLowerCase() === value : a.toLowerCase() === value) names.add(what === 'callee' ? a : b);
  }
  return name => names.has(name);
}
