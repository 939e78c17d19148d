import type { Aside, Graph, Placed } from './api';

/** What is drawn: services, and groups of services that are taken together. */
export interface Drawn {
  boxes: Box[];
  /** from and to are places among the boxes; keys are the calls that an edge stands for. */
  edges: { from: number; to: number; keys: string[] }[];
}
/** A service, or a group: why says what its members have in common, inside which groups it is part of. */
export interface Box { id: string; name: string; group: boolean; why: string; members: string[]; inside: { id: string; name: string }[]; kind: string; replicas: number; added: boolean }

/** What the user has opened and closed, and services that stand alone. */
export interface Opened { open: ReadonlySet<string>; shut: ReadonlySet<string>; shown: ReadonlySet<string> }
export const nothingOpened: Opened = { open: new Set(), shut: new Set(), shown: new Set() };

/** Above so many services a system opens grouped. */
export const grouped = 300;
/** About so many boxes stand when it is. */
export const boxes = 60;

/** The graph of a text with what runs beside it. */
export function joined(graph: Graph, aside: Aside | undefined): Graph {
  const place = new Map(graph.nodes.map((n, i) => [n.name, i])), known = new Set(graph.edges.map(e => e.from + ' ' + e.to)), nodes = [...graph.nodes], edges = [...graph.edges];
  for (const n of aside?.added ?? []) if (!place.has(n.name)) { place.set(n.name, nodes.length); nodes.push({ ...n, added: true }); }
  for (const [a, b] of aside?.calls ?? []) {
    const from = place.get(a), to = place.get(b);
    if (from !== undefined && to !== undefined && !known.has(from + ' ' + to)) edges.push({ from, to });
  }
  return nodes.length === graph.nodes.length && edges.length === graph.edges.length ? graph : { nodes, edges };
}

/** The part of a graph with some services only, and those that are at most some calls away from one. */
export function part(graph: Graph, kept: ReadonlySet<string> | null, around: { name: string; hops: number } | null): Graph {
  if (!kept && !around) return graph;
  const near = around ? within(graph, around.name, around.hops) : null;
  const place = new Map<number, number>(), nodes: Graph['nodes'] = [];
  graph.nodes.forEach((n, i) => {
    if (i > 0 && (kept && !kept.has(n.name) || near && !near.has(i))) return;
    place.set(i, nodes.length);
    nodes.push(n);
  });
  return { nodes, edges: graph.edges.flatMap(e => place.has(e.from) && place.has(e.to) ? [{ from: place.get(e.from)!, to: place.get(e.to)! }] : []) };
}

/** The services that lead to one, or that it leads to, over so many calls. */
function within(graph: Graph, name: string, hops: number): Set<number> {
  const out: number[][] = graph.nodes.map(() => []), into: number[][] = graph.nodes.map(() => []);
  for (const e of graph.edges) { out[e.from]!.push(e.to); into[e.to]!.push(e.from); }
  const start = graph.nodes.findIndex(n => n.name === name), near = new Set(start < 0 ? [] : [start]);
  for (const next of [out, into]) {
    const seen = new Set(near.has(start) ? [start] : []);
    for (let wave = [...seen], hop = 0; hop < hops; hop++) {
      wave = wave.flatMap(v => next[v]!).filter(v => !seen.has(v) && seen.add(v));
    }
    for (const v of seen) near.add(v);
  }
  return near;
}

/** What the server is asked for the places of a graph. */
export function layoutOf(graph: Graph, together: boolean, opened: Opened, hot: string, narrow: boolean): Record<string, unknown> {
  const index = new Map(graph.nodes.map((n, i) => [n.name, i]));
  const places = (names: Iterable<string>): number[] => [...names].flatMap(n => index.get(n) ?? []);
  return {
    nodes: graph.nodes.map(n => n.name), edges: graph.edges.map(e => [e.from, e.to]), ...(narrow ? { narrow } : {}),
    ...(together ? { grouped: true, shown: places(opened.shown), hot: places(hot.split('\n')), open: [...opened.open], shut: [...opened.shut] } : {}),
  };
}

export function drawnOf(graph: Graph, placed: Placed): Drawn {
  return {
    boxes: placed.boxes.map(b => {
      const node = b.why ? undefined : graph.nodes[b.members[0]!];
      return { id: b.id, name: b.name, group: !!b.why, why: b.why ?? '', members: b.members.map(m => graph.nodes[m]!.name), inside: b.inside ?? [], kind: node?.kind ?? '', replicas: node?.replicas ?? 0, added: node?.added === true };
    }),
    edges: placed.edges.map(e => ({ from: e.from, to: e.to, keys: e.stands.map(k => graph.nodes[graph.edges[k]!.from]!.name + '>' + graph.nodes[graph.edges[k]!.to]!.name) })),
  };
}
