import type { Graph } from './api';

/** What is drawn: services, and groups of services that are taken together. */
export interface Drawn {
  boxes: Box[];
  /** from and to are places among the boxes; keys are the calls that an edge stands for. */
  edges: { from: number; to: number; keys: string[] }[];
}
export interface Box { name: string; group: boolean; members: string[]; kind: string; replicas: number }

/** Above so many services a system opens grouped. */
export const grouped = 300;

/** The groups of a graph: by the beginning of the names, or by depth if names say nothing. */
export function groupsOf(graph: Graph): Map<string, string> {
  const names = graph.nodes.map(n => n.name).filter(n => n);
  const byName = assign(names, n => n.replace(/[-_.]?\d+$/, '').split(/[-_.]/)[0] || n);
  const sizes = new Map<string, number>();
  for (const g of byName.values()) sizes.set(g, (sizes.get(g) ?? 0) + 1);
  if (sizes.size <= 120 && Math.max(...sizes.values()) <= names.length * 0.6) return label(byName, g => g + '*');
  const depth = depths(graph);
  return label(assign(names, n => 'depth ' + depth.get(n)), g => g);
}
const assign = (names: string[], of: (n: string) => string): Map<string, string> => new Map(names.map(n => [n, of(n)]));
const label = (m: Map<string, string>, of: (g: string) => string): Map<string, string> => new Map([...m].map(([n, g]) => [n, of(g)]));

function depths(graph: Graph): Map<string, number> {
  const out = new Map<number, number[]>();
  for (const e of graph.edges) out.set(e.from, [...out.get(e.from) ?? [], e.to]);
  const depth = new Map<number, number>([[0, 0]]);
  for (let wave = [0]; wave.length;) {
    const next: number[] = [];
    for (const v of wave) for (const w of out.get(v) ?? []) if (!depth.has(w)) { depth.set(w, depth.get(v)! + 1); next.push(w); }
    wave = next;
  }
  return new Map(graph.nodes.map((n, i) => [n.name, depth.get(i) ?? 0]));
}

/** The graph with the groups taken together that are not expanded. */
export function draw(graph: Graph, groups: Map<string, string> | null, expanded: ReadonlySet<string>): Drawn {
  const size = new Map<string, number>();
  if (groups) for (const g of groups.values()) size.set(g, (size.get(g) ?? 0) + 1);
  const index = new Map<string, number>(), boxes: Box[] = [], place: number[] = [];
  for (const n of graph.nodes) {
    const g = groups?.get(n.name);
    const together = g !== undefined && size.get(g)! > 1 && !expanded.has(g);
    const key = together ? 'group:' + g : 'node:' + n.name;
    let at = index.get(key);
    if (at === undefined) {
      at = boxes.length;
      index.set(key, at);
      boxes.push({ name: together ? g : n.name, group: together, members: [], kind: together ? '' : n.kind ?? '', replicas: together ? 0 : n.replicas ?? 0 });
    }
    boxes[at]!.members.push(n.name);
    place.push(at);
  }
  const known = new Map<number, Drawn['edges'][number]>(), edges: Drawn['edges'] = [];
  for (const e of graph.edges) {
    const from = place[e.from]!, to = place[e.to]!;
    if (from === to && boxes[from]!.group) continue;
    const key = from * boxes.length + to;
    let edge = known.get(key);
    if (!edge) { edge = { from, to, keys: [] }; known.set(key, edge); edges.push(edge); }
    edge.keys.push(graph.nodes[e.from]!.name + '>' + graph.nodes[e.to]!.name);
  }
  return { boxes, edges };
}
