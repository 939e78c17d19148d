// The server's answers, and how it is asked. webui/server.go is the other side.

export interface Source { kind?: 'file' | 'example' | 'text' | 'system' | 'run'; on?: string; name: string; text: string; base: string; savable: boolean }
export interface Example { name: string; title: string; kind: string }
export interface Graph { nodes: GraphNode[]; edges: { from: number; to: number }[] }
export interface GraphNode { name: string; kind?: string; replicas?: number; /** A data store, which other faults act on. */ store?: boolean; /** It runs, and the text does not have it. */ added?: boolean }
export interface Mistake { line: number; column: number; text: string; full: string }
export interface FileFault { name?: string; type: string; target: Record<string, unknown>; start?: string; duration?: string; probability: number; args?: Record<string, unknown> }
export interface PlannedFault { index: number; label: string; type: string; target: string; service: string; caller?: string; from: number; to: number; rounds?: boolean; fault: FileFault }
export interface CheckText { check: string; service?: string; from?: string; phase?: string }
export interface Summary {
  name: string; title?: string; doc?: string; seed: number; variants: { name: string; doc?: string; checks: CheckText[] }[]; checks: CheckText[];
  faults: PlannedFault[]; hasLoad: boolean; load?: Record<string, unknown>; document?: number; longest: number;
}
export interface System { name: string; services: Record<string, unknown>[] }
export interface Checked { mistakes: Mistake[]; notes?: string[]; graph?: Graph; system?: System; experiment?: Summary; unplayable?: string }
export interface FaultView {
  id: string; label: string; type: string; target: string; service: string; caller?: string; asked: number | null; from: number | null; to: number | null;
  plannedFrom: number; plannedTo: number; replicas?: string[]; hits: number; effective?: string; error?: string; trouble?: string[]; byHand?: boolean;
}
export interface RunView {
  id: number; kind: 'played' | 'followed' | 'recorded'; on: string; name: string; state: 'starting' | 'running' | 'cleaning up' | 'done'; progress?: string; seed: number; length: number;
  frames: number; dropped?: number; phases: { name: string; at: number }[]; faults: FaultView[]; breakable: boolean; traced: boolean; logged: boolean; sends: boolean; error?: string; ended: boolean; passed: boolean; changeable: boolean; changes: SystemChange[];
  loadChangeable: boolean; loadFactor: number; changing?: Changing; unreachable?: string; silentFor?: number;
}
export interface SystemChange { what: string[]; asked: number; done?: number; error?: string; elsewhere?: boolean }
/** A change that is being made: how many replicas services shall have that have another number. */
export interface Changing { asked: number; what: string[]; replicas: Record<string, number> }
/** How what runs differs from the text that the page has made it from. */
export interface Aside { added?: GraphNode[]; calls?: [string, string][]; removed?: string[] }
export interface CheckResult extends CheckText { pass: boolean; why: string; notKnown?: boolean }
export interface Alerts { names: string[]; fired: { alert: string; labels?: Record<string, string>; from: number; last: number; resolved?: number; resolvedAt?: string }[]; uncertain?: number; trouble?: string }
export interface Result {
  passed: boolean; incomplete: boolean; incompleteBecause?: string; checks: CheckResult[]; command?: string; variant?: string; target: string; seed: number;
  explanation?: { trouble: boolean; lines: { at: number; service?: string; text: string }[] }; alerts?: Alerts; faults: { label: string; askedFrom: number; detections?: { alert: string; after: number; afterOrder: number }[] }[];
}
export interface RunDetail extends RunView { graph: Graph; system?: System; /** What the system was made from. */ text?: string; result?: Result; aside?: Aside }
export interface RequestView { id: string; start: number; duration: number; what: string; end: string; failed: boolean }
export interface RequestList { share: number; count: number; lost: number; slowest: RequestView[]; failed: RequestView[] }
export interface RequestSpan { depth: number; service?: string; who: string; what: string; call?: boolean; start: number; duration: number; end: string; failed?: boolean; events?: string[] }
export interface PastRun { id: number; name: string; on: string; variant?: string; seed: number; passed: boolean; checks: number; cut?: boolean }
export interface VariantSummary { requests?: { mean: number }; rate?: { mean: number }; goodput?: { mean: number }; p50?: { mean: number }; p99?: { mean: number }; checks: (CheckText & { held: number })[] }
export interface ClientCurves { at: number[] | null; rate: (number | null)[] | null; errors: (number | null)[] | null; p99: (number | null)[] | null }
export interface Comparison {
  runs: [PastRun, PastRun]; summaries: [VariantSummary, VariantSummary]; errors: [number | null, number | null]; curves: [ClientCurves, ClientCurves];
  services: { service: string; rate: [number | null, number | null]; errors: [number | null, number | null]; p99: [number | null, number | null] }[]; others: number;
}
export interface State { version: string; view: boolean; on: string; source: Source; examples: Example[]; home?: string; run?: RunView }
export interface Vocabulary { type: string; layer: string; doc: string; needs: string[]; may: string[]; defaults: Record<string, string | number> }
export interface Placed {
  width: number; height: number; nodeWidth: number; nodeHeight: number; /** Calls lead downwards. */ down?: boolean; nodes: number[]; paths: number[][];
  boxes: { id: string; name: string; why?: string; members: number[]; inside?: { id: string; name: string }[] }[]; edges: { from: number; to: number; stands: number[] }[];
}

/** A refusal of the server, in its own words. */
export class Refusal extends Error {
  constructor(message: string, readonly status: number, readonly stale = false, readonly disk = '', readonly base = '') { super(message); }
}

const gone = 'The program that serves this page has ended, or cannot be reached. Start it again with `kubectl microsim ui`; what you wrote is still here.';

/** The fragment has the token once; then it stays in this browser, for this address. */
function readToken(): string {
  const given = new URLSearchParams(location.hash.slice(1));
  const token = given.get('token');
  if (token) {
    localStorage.setItem('token', token);
    given.delete('token');
    history.replaceState(null, '', location.pathname + (given.size ? '#' + given : ''));
  }
  return localStorage.getItem('token') ?? '';
}
const token = readToken();

async function send(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers: { Authorization: 'Bearer ' + token, ...(init.body ? { 'Content-Type': 'application/json' } : {}) }, cache: 'no-store' });
  } catch (e) {
    if (init.signal?.aborted) throw e;
    throw new Refusal(gone, 0);
  }
  if (!response.ok) {
    const body = await response.json().catch(() => ({ error: response.statusText })) as { error: string; stale?: boolean; disk?: string; base?: string };
    throw new Refusal(body.error, response.status, body.stale, body.disk, body.base);
  }
  return response;
}

export const get = async <T>(path: string): Promise<T> => (await send(path)).json() as Promise<T>;
export const post = async <T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> =>
  (await send(path, { method: 'POST', body: JSON.stringify(body), ...(signal ? { signal } : {}) })).json() as Promise<T>;
export const remove = async <T>(path: string): Promise<T> => (await send(path, { method: 'DELETE' })).json() as Promise<T>;

/** The frames of a run from one on, the number of the first of them, and how many numbers each has. */
export async function frames(run: number, from: number): Promise<{ first: number; width: number; data: Float32Array }> {
  const response = await send(`/api/run/frames?run=${run}&from=${from}`);
  return { first: Number(response.headers.get('Microsim-First')), width: Number(response.headers.get('Microsim-Width')), data: new Float32Array(await response.arrayBuffer()) };
}

/** How long the server may say nothing, in ms: it tells of itself every 5 s, and a machine that slept may hold a dead connection. */
const silence = 15_000;

/** Follows the server's events until it refuses; connects again after a second. */
export async function follow(told: (e: { reload?: boolean; base?: string; run?: RunView }) => void, lost: (message: string) => void): Promise<void> {
  for (;;) {
    const connection = new AbortController();
    let timer = setTimeout(() => connection.abort(), silence);
    try {
      const response = await send('/api/events', { signal: connection.signal });
      const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
      lost('');
      for (let rest = ''; ;) {
        const { value, done } = await reader.read();
        if (done) break;
        clearTimeout(timer);
        timer = setTimeout(() => connection.abort(), silence);
        rest += value;
        for (let end; (end = rest.indexOf('\n\n')) >= 0; rest = rest.slice(end + 2)) {
          const line = rest.slice(0, end);
          if (line.startsWith('data: ')) told(JSON.parse(line.slice(6)));
        }
      }
      lost(gone);
    } catch (e) {
      lost(e instanceof Refusal ? e.message : gone);
      if (e instanceof Refusal && e.status === 401) return;
    }
    clearTimeout(timer);
    await new Promise(done => setTimeout(done, 1000));
  }
}
