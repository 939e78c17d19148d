import type { Graph } from './api';

// The order of the numbers of a frame is that of webui/series.go.
const head = 7, perService = 8, perEdge = 6;
export const C = { rate: 2, goodput: 3, errors: 4, p50: 5, p99: 6 } as const;
export const S = { rate: 0, errors: 1, p50: 2, p99: 3, queue: 4, inflight: 5, up: 6, replicas: 7 } as const;
export const E = { rate: 0, errors: 1, p50: 2, p99: 3, breaker: 4, sent: 5 } as const;

/** The frames of one run. A figure that is not known is NaN. */
export class Frames {
  private readonly services = new Map<string, number>();
  private readonly edges = new Map<string, number>();
  readonly width: number;
  private list: Float32Array[] = [];
  /** The number of the first frame that is kept. */
  first = 0;

  constructor(graph: Graph, readonly most = Infinity) {
    for (const n of graph.nodes) if (n.name) this.services.set(n.name, this.services.size);
    for (const e of graph.edges) this.edges.set(edgeKey(graph.nodes[e.from]!.name, graph.nodes[e.to]!.name), this.edges.size);
    this.width = head + perService * this.services.size + perEdge * this.edges.size;
  }

  get next(): number { return this.first + this.list.length; }
  get count(): number { return this.list.length; }

  add(first: number, data: Float32Array): void {
    if (first !== this.next) { this.list = []; this.first = first; }
    for (let at = 0; at + this.width <= data.length; at += this.width) this.list.push(data.subarray(at, at + this.width));
    if (this.list.length > this.most) { this.first += this.list.length - this.most; this.list = this.list.slice(-this.most); }
  }

  /** The end of a second, counted from the beginning of the load. */
  time(i: number): number { return this.list[i]?.[0] ?? NaN; }
  client(i: number, field: number): number { return this.list[i]?.[field] ?? NaN; }
  service(i: number, name: string, field: number): number {
    const at = this.services.get(name);
    return at === undefined ? NaN : this.list[i]?.[head + at * perService + field] ?? NaN;
  }
  edge(i: number, key: string, field: number): number {
    const at = this.edges.get(key);
    return at === undefined ? NaN : this.list[i]?.[head + this.services.size * perService + at * perEdge + field] ?? NaN;
  }
  /** The last frame that ends by a time. */
  before(t: number): number {
    let low = 0, high = this.list.length - 1;
    while (low < high) {
      const mid = (low + high + 1) >> 1;
      if (this.time(mid) <= t + 0.01) low = mid; else high = mid - 1;
    }
    return low;
  }
}

export const edgeKey = (from: string, to: string): string => from + '>' + to;
