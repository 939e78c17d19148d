import { effect } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import * as api from './api';
import { finder, type Figures } from './find';
import { C, E, S, edgeKey, type Frames } from './frames';
import { GraphView, type BoxLook, type EdgeLook, type Looks } from './graph';
import { drawnOf, layoutOf, nothingOpened, type Box } from './group';
import { onPaper } from './print';
import * as s from './state';
import { level, percent, rate, seconds } from './text';

function figuresOf(f: Frames | null, i: number, name: string): Figures {
  const at = (field: number): number => f ? f.service(i, name, field) : NaN;
  return { rate: at(S.rate), errors: at(S.errors), p50: at(S.p50), p99: at(S.p99), queue: at(S.queue) };
}

export function Canvas() {
  const host = useRef<HTMLDivElement>(null), graph = useRef<GraphView>(undefined), [per, setPer] = useState(0);
  useEffect(() => {
    let known = 0;
    const g = graph.current = new GraphView(host.current!, {
      box: i => {
        const b = s.drawn.peek().boxes[i]!, from = s.linking.peek(), chosen = s.selected.peek();
        if (from) {
          s.linking.value = '';
          if (!b.group && b.name !== '') void s.operate({ op: 'addCall', service: from, call: b.name });
          return;
        }
        if (b.group && chosen?.kind === 'group' && chosen.id === b.id) { s.openGroup(b.id, true); s.selected.value = null; return; }
        s.selected.value = b.group ? { kind: 'group', id: b.id } : b.name === '' ? null : { kind: 'service', name: b.name };
        if (s.tab.value !== 'details') s.tab.value = 'details';
      },
      edge: i => {
        const e = s.drawn.peek().edges[i]!, [from, to] = e.keys[0]!.split('>') as [string, string];
        s.selected.value = e.keys.length > 1 ? null : from === '' ? { kind: 'service', name: to } : { kind: 'edge', from, to };
        s.tab.value = 'details';
      },
      none: () => { s.selected.value = null; s.linking.value = ''; },
      link: (from, to) => {
        const { boxes } = s.drawn.peek(), caller = boxes[from]!.name;
        if (to !== null) void s.operate({ op: 'addCall', service: caller, call: boxes[to]!.name }, () => { s.selected.value = { kind: 'edge', from: caller, to: boxes[to]!.name }; });
        else void newService(caller);
      },
      key: (i, key) => {
        const b = s.drawn.peek().boxes[i]!, name = b.name;
        if (!s.editable.peek() || b.group || b.added || name === '') return false;
        if (key === 'n') void newService(name);
        else if (key === 'c') s.linking.value = name; // which a click or Enter on another box ends
        else if (key === 'Delete') void s.operate({ op: 'removeService', name, cascade: true }, () => { s.selected.value = null; });
        else return false;
        return true;
      },
    });
    let asked = '', last: api.Placed | null = null;
    const stops = [
      effect(() => {
        const graph = s.visible.value;
        if (!graph) return;
        const body = layoutOf(graph, s.together.value, s.opened.value, s.hot.value, s.narrow.value), key = JSON.stringify(body);
        const draw = (placed: api.Placed): void => { last = placed; s.drawn.value = drawnOf(s.visible.peek()!, placed); g.show(s.drawn.peek(), placed); refocus(); };
        // Where all boxes stay, only what they say may be new.
        if (key === asked) { if (last) draw(last); return; }
        asked = key; last = null;
        void s.attempt(async () => {
          const placed = await api.post<api.Placed>('/api/layout', body);
          if (asked === key) draw(placed);
        });
      }),
      effect(() => { void s.theme.value; g.big = s.presenting.value; g.repaint(); }),
      onPaper(() => g.paper()),
      effect(() => { relook(); }),
      effect(() => { reselect(); }),
      effect(() => { if (s.focusing.value) refocus(); }),
    ];
    /** A service that is not drawn yet gets the keyboard when it is. */
    function refocus(): void {
      const name = s.focusing.peek(), at = name ? s.drawn.peek().boxes.findIndex(b => b.id === 'node ' + name) : -1;
      if (at >= 0) { s.focusing.value = ''; g.focus(at); }
    }
    function reselect(): void {
      const c = s.selected.value;
      const { boxes, edges } = s.drawn.value;
      const box = !c || c.kind === 'edge' ? -1 : boxes.findIndex(b => b.id === (c.kind === 'group' ? c.id : 'node ' + c.name));
      g.select(box, c?.kind === 'edge' ? edges.findIndex(e => e.keys.length === 1 && e.keys[0] === edgeKey(c.from, c.to)) : -1);
    }
    function relook(): void {
      const { boxes, edges } = s.drawn.value, clientEdges = edges.filter(x => boxes[x.from]!.name === '').length;
      const f = s.frames.value, i = s.current.value, acting = s.acting.value, find = finder(s.query.value, s.graph.value), r = s.run.value;
      const matches = (b: Box): boolean => !find || find.wrong !== '' || b.members.some(m => m !== '' && find.test(m, () => figuresOf(f, i, m)));
      const looks: Looks = {
        // What nobody tells of stands still.
        moving: r !== null && (!r.ended && !r.unreachable && !s.lost.value && s.looking.value === null || s.playing.value > 0),
        perDot: k => { if (k !== known) { known = k; setPer(k); } },
        box: once(boxes.length, (n): BoxLook => {
          const b = boxes[n]!, badges: { text: string; title: string; tone: string }[] = [];
          if (b.name === '') return { rate: f && r?.kind !== 'followed' ? rate(f.client(i, C.rate)) : '', detail: f && r?.kind !== 'followed' ? `${percent(f.client(i, C.errors))} · ${seconds(f.client(i, C.p99))}` : 'of the load', level: f ? level(f.client(i, C.errors)) : 0, badges, dim: false };
          const hit = acting.filter(a => !a.caller && b.members.includes(a.service));
          if (hit.length) badges.push({ text: '⚡ ' + (hit.length === 1 ? hit[0]!.type : hit.length), title: hit.map(h => h.label).join(', '), tone: 'fault' });
          if (b.group) {
            let worst = NaN, slow = NaN;
            for (const m of b.members) { const e = figuresOf(f, i, m); if (!(e.errors <= worst)) worst = Number.isNaN(e.errors) ? worst : e.errors; if (!(e.p99 <= slow)) slow = Number.isNaN(e.p99) ? slow : e.p99; }
            return { rate: `${b.members.length} services`, detail: f ? (Number.isNaN(worst) ? 'no requests' : `worst ${percent(worst)} · ${seconds(slow)}`) : '', short: f && !Number.isNaN(worst) ? `${b.members.length}: ${percent(worst)} · ${seconds(slow)}` : `${b.members.length} services`, level: level(worst), badges, dim: !matches(b) };
          }
          const up = f ? f.service(i, b.name, S.up) : NaN, all = f ? f.service(i, b.name, S.replicas) : NaN, queue = f ? f.service(i, b.name, S.queue) : NaN, e = figuresOf(f, i, b.name);
          // Another program may have changed what runs, and the text not.
          const replicas = all && r && !r.ended && !s.applied.value && !s.dirty.value ? all : b.replicas;
          const want = s.wanted(b.name);
          if (b.added) badges.push({ text: 'added', title: 'it runs, and the file does not have it', tone: '' });
          if (r && f && Number.isNaN(up) && s.removed.value.has(b.name)) badges.push({ text: 'removed', title: 'the file has it, and it does not run', tone: 'down' });
          if (want !== undefined && want !== up) badges.push({ text: Number.isNaN(up) ? `${want} asked for` : up < want ? `${up} of ${want} answer` : `${up}, ${want} asked for`, title: 'replicas that answer us, and those that were asked for', tone: 'queue' });
          else if (up < all) badges.push({ text: `${up} of ${all} answer`, title: 'replicas that answer us', tone: 'down' });
          else if (replicas > 1) badges.push({ text: '×' + replicas, title: replicas + ' replicas', tone: '' });
          if (queue > 0) badges.push({ text: `${queue} waiting`, title: 'requests that wait for a worker', tone: 'queue' });
          if (b.kind) badges.push({ text: b.kind, title: 'kind of service', tone: '' });
          return { rate: f && e.rate ? rate(e.rate) : '', detail: !f ? '' : e.rate === 0 ? 'no requests' : Number.isNaN(e.rate) ? '–' : `${percent(e.errors)} · ${seconds(e.p99)}`, level: up === 0 ? 4 : level(e.errors), badges, dim: !matches(b) };
        }),
        edge: once(edges.length, (n): EdgeLook => {
          const e = edges[n]!, a = boxes[e.from]!, b = boxes[e.to]!;
          let sum = 0, failed = 0, slow = 0, open = false;
          if (a.name === '' && !a.group) {
            // The clients tell only the sum of what they send.
            if (f && clientEdges === 1) { sum = f.client(i, C.rate) || 0; failed = sum * (f.client(i, C.errors) || 0); slow = f.client(i, C.p99); }
          } else if (f) for (const key of e.keys) {
            const v = f.edge(i, key, E.rate) || 0, p = f.edge(i, key, E.p99);
            sum += v; failed += v * (f.edge(i, key, E.errors) || 0); if (p > slow) slow = p;
            if (f.edge(i, key, E.breaker) === 2) open = true;
          }
          const share = sum > 0 ? failed / sum : 0;
          return {
            rate: sum, errors: share, level: level(share), open, dim: find !== null && !matches(a) && !matches(b), fault: acting.some(x => x.caller && e.keys.includes(edgeKey(x.caller, x.service))),
            text: `${a.name || 'clients'} → ${b.name}` + (f ? `: ${rate(sum)}, ${percent(share)} errors, p99 ${seconds(slow || NaN)}${open ? ', a breaker is open' : ''}` : ''),
          };
        }),
      };
      g.look(looks);
    }
    const scheme = matchMedia('(prefers-color-scheme: dark)'), repaint = (): void => g.repaint();
    scheme.addEventListener('change', repaint);
    return () => { for (const stop of stops) stop(); scheme.removeEventListener('change', repaint); };
  }, []);
  const whole = s.graph.value, find = finder(s.query.value, whole);
  const found = find && whole ? whole.nodes.map(n => n.name).filter(n => n && find.test(n, () => figuresOf(s.frames.value, s.current.value, n))) : [];
  const services = (whole?.nodes.length ?? 1) - 1, apart = services > 0 && services <= 4 && !whole!.edges.some(e => whole!.nodes[e.from]!.name), mistakes = s.checked.value?.mistakes ?? [];
  return <section class="canvas" aria-label="Graph of the system">
    <div class={'graph' + (s.editable.value ? ' editable' : '') + (apart ? ' apart' : '')} ref={host} data-part="graph" />
    <div class="tools">
      {s.editable.value ? <button type="button" onClick={() => void newService('')} title="Adds a service to the file; its name can be changed at once">+ Service</button> : null}
      <input type="search" placeholder="Find: cart, or errors>1%" aria-label="Find services by name, or by conditions such as errors>1%, p99>200ms or callee=db" value={s.query.value} onInput={e => { s.query.value = e.currentTarget.value; }}
        onKeyDown={e => { if (e.key === 'Enter' && found[0]) { reveal(found[0]); } if (e.key === 'Escape') s.query.value = ''; }} />
      {find ? <span class="found" role="status">{find.wrong ? <span class="bad">{find.wrong}</span> : found.length === 0 ? 'none' : found.length === 1 ? '1 service' : `${found.length} services`}
        {found.slice(0, 4).map(n => <button type="button" key={n} onClick={() => reveal(n)}>{n}</button>)}{found.length > 4 ? <span class="soft">…</span> : null}
        {found.length > 1 && s.together.value ? <button type="button" title={found.length > 40 ? 'the first 40 of them' : ''} onClick={() => s.showAlone(found.slice(0, 40))}>Take out of their groups</button> : null}
        {found.length > 0 && whole && found.length < whole.nodes.length - 1 ? <button type="button" onClick={() => { s.kept.value = new Set(found); s.query.value = ''; }}>Hide the others</button> : null}</span> : null}
      {s.kept.value ? <span class="found">{s.kept.value.size} of {whole ? whole.nodes.length - 1 : 0} services <button type="button" onClick={() => { s.kept.value = null; }}>Show all</button></span> : null}
      {s.around.value ? <span class="found">around {s.around.value.name} <button type="button" onClick={() => { s.around.value = null; }}>Show all</button></span> : null}
    </div>
    <div class="zoom">
      {s.groupable.value ? <>{s.together.value ? <>{s.opened.value !== nothingOpened ? <button type="button" onClick={() => { s.selected.value = null; s.opened.value = nothingOpened; }}>As at first</button> : null}<button type="button" onClick={() => { s.grouping.value = 'all'; }}>No groups</button></>
        : <button type="button" onClick={() => { s.grouping.value = 'groups'; }}>Group</button>}</> : null}
      <button type="button" aria-label="Nearer" onClick={() => graph.current?.zoom(1.3)}>+</button><button type="button" aria-label="Farther" onClick={() => graph.current?.zoom(0.77)}>−</button><button type="button" onClick={() => graph.current?.fit()}>Fit</button>
    </div>
    {s.frames.value ? <p class="legend"><span>in a box: share of errors · p99</span>{per > 0 ? <span>a dot stands for {per === 1 ? 'one request' : `${per} requests`}, <b class="bad">✕</b> fails</span> : null}<span><i class="edge e0" />ok</span><span><i class="edge e2" />errors &gt; 1%</span><span><i class="edge e4" />&gt; 25%</span><span><i class="edge open" />breaker open</span></p> : null}
    {s.editable.value && !s.run.value && apart ? <p class="first" role="note">{services === 1 ? 'This is a system of one service. + Service adds another. ' : ''}Drag the dot at the right edge of a service to another service, and it calls that; drag it to an empty place for a new one. A click on a service or a call shows its fields. By keyboard, <kbd>N</kbd> on a service adds one that it calls, <kbd>C</kbd> draws a call to another, and <kbd>Delete</kbd> removes it. Then press Play.</p> : null}
    {s.linking.value ? <p class="old" role="status">Choose the service that <b>{s.linking.value}</b> is to call, by a click or by the arrow keys and Enter. <button type="button" onClick={() => { s.linking.value = ''; }}>Cancel</button></p> : null}
    {(s.checked.value?.mistakes.length ?? 0) > 0 && s.sound.value ? <p class="old">The graph is that of the last text without mistakes.</p> : null}
    {!s.graph.value && s.checked.value ? <div class="empty"><p>{mistakes.length === 1 ? 'The file has a mistake, so there is no graph yet:' : `The file has ${mistakes.length} mistakes, so there is no graph yet:`}</p><ul>{mistakes.slice(0, 4).map((m, i) => <li key={i}>{m.full}</li>)}</ul><button type="button" class="primary" onClick={() => { s.tab.value = 'file'; s.pane.value = 'side'; s.wide.value = false; }}>Mend them in the file</button></div> : null}
  </section>;

  function reveal(name: string): void {
    s.selected.value = { kind: 'service', name };
    setTimeout(() => graph.current?.focus(s.drawn.peek().boxes.findIndex(b => b.id === 'node ' + name)), 250);
  }
}

/** Adds a service with a name that is free, called by another if one is named, and lets the user write its name. */
async function newService(caller: string): Promise<void> {
  const known = new Set(s.graph.peek()?.nodes.map(n => n.name));
  let name = 'service';
  for (let n = 2; known.has(name); n++) name = 'service-' + n;
  const added = await s.operate({ op: 'addService', service: { name, work: { sleep: '5ms' } } }) && (!caller || await s.operate({ op: 'addCall', service: caller, call: name }));
  if (!added) return;
  s.selected.value = { kind: 'service', name }; s.tab.value = 'details'; s.wide.value = false; s.fresh.value = name;
  // Its panel is drawn in one of the next frames.
  const write = (tries: number): void => {
    const field = document.querySelector<HTMLInputElement>('[data-part=edit-service] input');
    if (field?.value === name) { field.focus(); field.select(); } else if (tries > 0) requestAnimationFrame(() => write(tries - 1));
  };
  write(120);
}

/** Reckons each figure once, when it is first asked for. */
function once<T>(n: number, of: (i: number) => T): (i: number) => T {
  const known = new Array<T | undefined>(n);
  return i => known[i] ??= of(i);
}
