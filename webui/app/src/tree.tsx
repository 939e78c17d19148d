import { signal } from '@preact/signals';
import { useEffect, useState } from 'preact/hooks';
import * as api from './api';
import { Spans } from './requests';
import * as s from './state';
import { seconds } from './text';

interface Fault { type: string; args: Record<string, number> }
interface Node { designation: string; probability?: number; faults?: { before?: Fault[]; after?: Fault[] }; routes?: Node[] }
interface Known { type: string; doc: string; args: { name: string; unit?: string; needed?: boolean; default?: number }[] }
interface Hop { designation: string; answered: boolean; status?: number; took: number | null; reasons?: string[]; routes?: Hop[] }
interface Sent { seed: string; answer: Hop | null; notDrawn: number; unknown?: string[]; failure?: string; spans?: api.RequestSpan[]; untraced?: string }

/** Whether the dialog is open, and the document that it edits: the text is what is sent. */
const open = signal(false), text = signal(''), seed = signal(''), answer = signal<Sent | null>(null), wrong = signal('');
const write = (n: Node): void => { text.value = JSON.stringify(n, null, 2); };
const usual: Record<string, number> = { delay: 100, duration: 1000, size: 10, status: 503 };

/** The tree of the text, or why it cannot be drawn. */
function read(): { tree?: Node; why: string } {
  const fits = (v: unknown): boolean => {
    const n = v as Node, lists = [n?.routes, n?.faults?.before, n?.faults?.after];
    return typeof n?.designation === 'string' && lists.every(l => l === undefined || Array.isArray(l)) && (n.faults?.before ?? []).concat(n.faults?.after ?? []).every(f => typeof f?.type === 'string') && (n.routes ?? []).every(fits);
  };
  try {
    const tree = JSON.parse(text.value) as Node;
    return fits(tree) ? { tree, why: '' } : { why: 'it is not a tree of objects with a designation' };
  } catch (e) { return { why: (e as Error).message }; }
}

/** The way to the dialog, from the whole system or from a service, where requests can be sent. */
export function SendOne({ service = '' }: { service?: string }) {
  const r = s.run.value;
  if (s.view.value || r?.kind === 'recorded') return null;
  if (!r?.sends) return service || !s.sound.value?.experiment || r?.kind === 'followed' || s.busy.value && r?.on !== 'virtual' ? null
    : <details class="mirror" data-part="send"><summary>Send a request</summary><p class="soft">Requests with a route of their own are sent to a system that runs on this machine, in the sandbox or on a cluster; virtual time takes none.</p><button type="button" disabled={s.busy.value} onClick={() => { s.setup.value = { ...s.setup.value, on: 'local' }; void s.play(); }}>Play on this machine</button></details>;
  return <p class="row" data-part="send"><button type="button" onClick={() => {
    if (service || !text.value) write({ designation: service || (s.graph.value?.nodes.find(n => n.name)?.name ?? '') });
    answer.value = null; wrong.value = ''; open.value = true;
  }}>Send a request{service ? ' to it' : ''}…</button></p>;
}

/** A request that carries its own route and faults: built, sent, and answered. */
export function RequestTree() {
  const [known, know] = useState<Known[]>([]), [sending, send] = useState<AbortController | null>(null);
  const now = open.value;
  const leave = (): void => { sending?.abort(); open.value = false; setTimeout(() => document.querySelector<HTMLElement>('[data-part=send] button')?.focus()); };
  useEffect(() => {
    if (!now) return;
    if (!known.length) void s.attempt(async () => know(await api.get<Known[]>('/api/request/vocabulary')));
    const key = (e: KeyboardEvent): void => { if (e.key === 'Escape') leave(); };
    addEventListener('keydown', key);
    return () => removeEventListener('keydown', key);
  }, [now, sending]);
  // The focus is in the dialog, also when what had it was removed.
  useEffect(() => { if (now && !document.activeElement?.closest('.request')) document.querySelector<HTMLElement>('.request select, .request textarea')?.focus(); });
  if (!now) return null;
  const { tree, why } = read();
  const go = async (): Promise<void> => {
    if (sending || !s.run.value?.sends) return;
    const mine = new AbortController();
    send(mine); answer.value = null; wrong.value = '';
    try { answer.value = await api.post<Sent>('/api/request', { text: text.value, seed: seed.value.trim() }, mine.signal); } catch (e) { wrong.value = mine.signal.aborted ? 'You have given it up.' : (e as Error).message; }
    send(null);
  };
  return <section class="stale request" role="dialog" aria-label="Send a request" data-part="request">
    <div class="heading"><h2>Send a request</h2><button type="button" onClick={leave}>Close</button></div>
    <div class="spans" tabIndex={0} role="region" aria-label="Request and answer">
      <div class="pair"><div><h3>By clicking</h3>{tree ? <ul class="tree"><Route node={tree} known={known} name={tree.designation} change={write} /></ul> : <p class="note bad">It cannot be drawn: {why}</p>}</div>
        <div><h3>As a document, which you can paste, too</h3><textarea aria-label="The request as JSON" spellcheck={false} value={text.value} onInput={e => { text.value = e.currentTarget.value; }} /></div></div>
      <p class="row"><button type="button" class="primary" aria-disabled={sending !== null || !s.run.value?.sends} onClick={() => void go()}>{sending ? 'Waiting for the answer…' : 'Send it'}</button>{sending ? <button type="button" onClick={() => sending.abort()}>Give it up</button> : null}
        <label class="seed">Seed <input value={seed.value} inputMode="numeric" placeholder="another each time" onInput={e => { seed.value = e.currentTarget.value; }} /></label></p>
      <div role="status">{s.run.value?.sends ? null : <p class="note">The system does not run any more.</p>}{wrong.value ? <p class="note bad">{wrong.value}</p> : null}{answer.value ? <Answered sent={answer.value} /> : null}</div>
      {answer.value?.spans ? <><h3>What each service did for it, and how its caller saw that</h3><Spans list={answer.value.spans} leave={leave} /></> : null}
    </div>
  </section>;
}

/** A number that is taken when its field is left. What is typed stays meanwhile, though the page is drawn anew each second. */
function Figure({ label, value, hint, most, take }: { label: string; value: number | undefined; hint: string; most?: number; take: (v: number | undefined) => void }) {
  const [typed, type] = useState<string | null>(null);
  return <input type="number" min="0" {...(most === undefined ? {} : { max: most })} step="any" aria-label={label} placeholder={hint} value={typed ?? value ?? ''} onInput={e => type(e.currentTarget.value)}
    onChange={e => { const v = e.currentTarget.value; type(null); take(v === '' ? undefined : Number(v)); }} />;
}

/** A node of the tree with its fields; change takes what is to stand in its place, remove takes it away. */
function Route({ node, known, name, change, remove }: { node: Node; known: Known[]; name: string; change: (n: Node) => void; remove?: () => void }) {
  const services = s.graph.value?.nodes.map(n => n.name).filter(n => n) ?? [], routes = node.routes ?? [];
  const faults = (when: 'before' | 'after') => {
    const list = node.faults?.[when] ?? [], set = (l: Fault[]): void => change({ ...node, faults: { ...node.faults, [when]: l } });
    return list.map((f, i) => <OneFault key={when + i} fault={f} known={known} name={`${when} ${name}`} when={when} change={n => set(n ? list.map((o, j) => j === i ? n : o) : list.filter((_, j) => j !== i))} />);
  };
  const add = (when: 'before' | 'after'): void => change({ ...node, faults: { ...node.faults, [when]: [...node.faults?.[when] ?? [], { type: 'latency', args: { delay: usual['delay']! } }] } });
  return <li data-route={name}>
    <div class="row"><select aria-label={'Service of ' + name} value={node.designation} onChange={e => change({ ...node, designation: e.currentTarget.value })}>{services.includes(node.designation) ? null : <option value={node.designation}>{node.designation || 'choose a service'}</option>}{services.map(n => <option key={n}>{n}</option>)}</select>
      <label>called in <Figure label={'Probability of ' + name + ' in percent'} most={100} hint="100" value={node.probability} take={v => { const { probability: _, ...rest } = node; change(v === undefined ? rest : { ...node, probability: v }); }} /> %</label>
      {remove ? <button type="button" aria-label={'Remove ' + name} onClick={remove}>✕</button> : null}</div>
    {faults('before')}{faults('after')}
    <div class="row"><button type="button" class="plain" aria-label={'Add a route below ' + name} onClick={() => change({ ...node, routes: [...routes, { designation: services.find(n => n !== node.designation) ?? node.designation }] })}>+ route</button>
      <button type="button" class="plain" aria-label={'Add a fault before ' + name} title="acts before its routes are called" onClick={() => add('before')}>+ fault before</button><button type="button" class="plain" title="acts when all its routes have answered" aria-label={'Add a fault after ' + name} onClick={() => add('after')}>+ fault after</button></div>
    {routes.length ? <ul class="tree">{routes.map((r, i) => <Route key={i} node={r} known={known} name={`${name} → ${r.designation}${i ? ' ' + (i + 1) : ''}`} change={n => change({ ...node, routes: routes.map((o, j) => j === i ? n : o) })} remove={() => change({ ...node, routes: routes.filter((_, j) => j !== i) })} />)}</ul> : null}
  </li>;
}

function OneFault({ fault, known, name, when, change }: { fault: Fault; known: Known[]; name: string; when: string; change: (f: Fault | null) => void }) {
  const entry = known.find(k => k.type === fault.type);
  const fresh = (type: string): Fault => ({ type, args: Object.fromEntries((known.find(k => k.type === type)?.args ?? []).filter(a => a.needed || a.name === 'status').map(a => [a.name, usual[a.name] ?? 1])) });
  return <div class="row fault" title={entry?.doc}><span>⚡ {when}</span><select aria-label={'Fault ' + name} value={fault.type} onChange={e => change(fresh(e.currentTarget.value))}>{entry ? null : <option>{fault.type}</option>}{known.map(k => <option key={k.type}>{k.type}</option>)}</select>
    {entry?.args.map(a => <label key={a.name}>{a.name} <Figure label={`${a.name} of ${fault.type} ${name}`} hint={String(a.default ?? '')} value={fault.args?.[a.name]} take={v => { const { [a.name]: _, ...rest } = fault.args ?? {}; change({ ...fault, args: v === undefined ? rest : { ...rest, [a.name]: v } }); }} /> {a.unit}</label>)}
    <button type="button" aria-label={'Remove the fault ' + fault.type + ' ' + name} onClick={() => change(null)}>✕</button></div>;
}

/** The answer as a tree: each hop with its status, its time, and what went wrong. */
function Answered({ sent }: { sent: Sent }) {
  const rows = (h: Hop, depth: number): preact.ComponentChildren[] => [<tr class={h.reasons ? 'failed' : ''}>
    <th scope="row" style={{ paddingLeft: 0.6 + depth * 0.9 + 'rem' }}>{h.designation}{h.reasons?.map(r => <p>{r}</p>)}</th>
    <td>{h.status || (h.answered ? 'answered' : 'no answer')}</td><td>{h.took === 0 ? '<0.1 ms' : seconds(h.took ?? NaN)}</td></tr>, ...(h.routes ?? []).flatMap(r => rows(r, depth + 1))];
  return <section data-part="answer">
    {sent.answer ? <p class={'note ' + (sent.failure ? 'bad' : 'good')}>{sent.failure ? '✗ ' + sent.failure : '✓ Every hop has answered well.'}</p> : <p class="note">Nothing was sent: the seed does not draw the first service.</p>}
    <p class="soft">Seed {sent.seed}.{sent.notDrawn ? ` By its probabilities, ${sent.notDrawn === 1 ? '1 service was' : sent.notDrawn + ' services were'} left out.` : ''}{sent.unknown ? ` The system does not have ${sent.unknown.join(', ')}.` : ''}{sent.untraced ? ` There is no waterfall: ${sent.untraced}.` : ''}</p>
    {sent.answer ? <table><thead><tr><th scope="col">hop</th><th scope="col">status</th><th scope="col">took</th></tr></thead><tbody>{rows(sent.answer, 0)}</tbody></table> : null}
  </section>;
}
