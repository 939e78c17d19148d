import { batch, computed, effect, signal } from '@preact/signals';
import * as api from './api';
import { Frames, S } from './frames';
import { boxes, grouped, joined, nothingOpened, part, type Drawn, type Opened } from './group';
import { printing } from './print';

/** What is selected in the graph. Clients are the service without a name. */
export type Selected = { kind: 'service'; name: string } | { kind: 'edge'; from: string; to: string } | { kind: 'group'; id: string } | null;

export const version = signal('');
export const view = signal(false);
export const examples = signal<api.Example[]>([]);
/** What the program was started for; empty if the page asked. */
export const home = signal('');
export const source = signal<api.Source | null>(null);
export const text = signal('');
export const checked = signal<api.Checked | null>(null);
/** The last text without mistakes, which the graph shows meanwhile. */
export const sound = signal<api.Checked | null>(null);
export const run = signal<api.RunView | null>(null);
export const detail = signal<api.RunDetail | null>(null);
export const frames = signal<Frames | null>(null);
/** Grows with each frame that comes. */
export const arrived = signal(0);
/** The frame that is looked at; null is the last one. */
export const looking = signal<number | null>(null);
export const playing = signal(0);
export const selected = signal<Selected>(null);
export const query = signal('');
export const tab = signal<'details' | 'file' | 'lesson'>('details');
export const pane = signal<'graph' | 'side' | 'charts'>('graph');
/** Whether the panel beside the graph is hidden. */
export const wide = signal(false);
const slim = matchMedia('(max-width: 600px)');
/** Whether the window is that of a telephone, in which the graph leads downwards. */
export const narrow = signal(slim.matches);
slim.addEventListener('change', () => { if (!printing()) narrow.value = slim.matches; });
export const lost = signal('');
export const notice = signal<{ text: string; bad: boolean } | null>(null);
export const stale = signal<{ disk: string; base: string } | null>(null);
/** What others have done to the system since, in a line, and whether the text, which the user is changing, lacks it. */
export const news = signal(''), behind = signal(false);
export const vocabulary = signal<api.Vocabulary[]>([]);
/** Which groups of a large system are open, and whether it is grouped at all: by itself, only above 300 services, or 60 on a telephone. */
export const opened = signal<Opened>(nothingOpened);
export const grouping = signal<'' | 'groups' | 'all'>('');
/** What the graph is narrowed to: some services, and those around one. */
export const kept = signal<ReadonlySet<string> | null>(null);
export const around = signal<{ name: string; hops: number } | null>(null);
/** What the graph shows at the moment. */
export const drawn = signal<Drawn>({ boxes: [], edges: [] });
export const theme = signal(localStorage.getItem('theme') ?? '');
export const presenting = signal(localStorage.getItem('presenting') === 'yes');
export const setup = signal({ on: 'virtual', variant: '', seed: '', factor: 1, pace: 0, rate: 20, seconds: 60 });
export const guess = signal<Record<string, boolean>>({});
/** What became of the checks of each variant that was played of this text. */
export const outcomes = signal<Record<string, api.CheckResult[]>>({});

export const dirty = computed(() => source.value !== null && text.value !== source.value.text);
/** What is open, in words: a text that is in no file is called as its experiment. */
export const sourceName = computed(() => source.value?.kind === 'text' ? sound.value?.experiment?.name ?? sound.value?.system?.name ?? 'a new system' : source.value?.name.replace(/^example /, '') ?? '');
/** Which file is open, whatever it holds. */
export const fileOf = computed(() => source.value && source.value.kind + ' ' + source.value.name);
export const busy = computed(() => run.value !== null && run.value.kind === 'played' && !run.value.ended);
/** What the text describes, and beside it what another program has added to a run of it. */
export const graph = computed(() => {
  const described = sound.value?.graph ?? (source.value?.kind === 'run' ? detail.value?.graph : null) ?? null;
  return described && joined(described, detail.value?.aside);
});
/** Services of the text that do not run, because another program has removed them. */
export const removed = computed(() => new Set(detail.value?.aside?.removed));
/** The part of the graph that is not hidden. */
export const visible = computed(() => graph.value && part(graph.value, kept.value, around.value));
export const groupable = computed(() => (visible.value?.nodes.length ?? 0) - 1 > boxes);
export const together = computed(() => groupable.value && (grouping.value === 'groups' || grouping.value === '' && visible.value!.nodes.length - 1 > (narrow.value ? boxes : grouped)));
/** The services that are worth a look before others: under fault, and checked. The same of every run. */
export const hot = computed(() => {
  const e = sound.value?.experiment, names = new Set<string>();
  for (const f of [...e?.faults ?? [], ...run.value?.faults ?? []]) for (const n of [f.service, f.caller]) if (n) names.add(n);
  for (const c of [...e?.checks ?? [], ...detail.value?.result?.checks ?? []]) for (const n of [c.service, c.from]) if (n) names.add(n);
  return [...names].sort().join('\n');
});
/** Opens or closes a group of the graph. Services inside of a closed one stand alone no longer. */
export function openGroup(id: string, yes: boolean): void {
  const { open, shut, shown } = opened.value, other = (set: ReadonlySet<string>): Set<string> => new Set([...set].filter(x => x !== id));
  if (yes) { opened.value = { open: new Set([...open, id]), shut: other(shut), shown }; return; }
  const inside = new Set(drawn.value.boxes.filter(b => b.inside.some(g => g.id === id)).flatMap(b => b.members));
  opened.value = { open: other(open), shut: new Set([...shut, id]), shown: new Set([...shown].filter(n => !inside.has(n))) };
  if (selected.value?.kind === 'service' && inside.has(selected.value.name)) selected.value = null;
}
/** Lets services stand alone in the graph. */
export function showAlone(names: string[]): void {
  const { open, shut, shown } = opened.value;
  if (names.some(n => !shown.has(n))) opened.value = { open, shut, shown: new Set([...shown, ...names]) };
}
export const breakable = computed(() => run.value?.breakable === true && !view.value);
/** The number of the frame that is shown, and its time. */
export const current = computed(() => {
  void arrived.value;
  const f = frames.value;
  if (!f || f.count === 0) return -1;
  return looking.value === null ? f.count - 1 : Math.min(Math.max(looking.value - f.first, 0), f.count - 1);
});
export const now = computed(() => frames.value && current.value >= 0 ? frames.value.time(current.value) : NaN);
/** The faults that act at the moment that is looked at. */
export const acting = computed(() => {
  const at = now.value;
  return (run.value?.faults ?? []).filter(f => f.from !== null && !f.error && (looking.value === null && !run.value?.ended
    ? f.to === null
    : !Number.isNaN(at) && f.from <= at && (f.to === null || f.to > at - 1)));
});

/** How many replicas a service shall have, if the change under way gives it another number. */
export const wanted = (name: string): number | undefined => run.value?.ended || looking.value !== null ? undefined : run.value?.changing?.replicas[name];
/** What was asked for by the change that is under way, and what is there of it. */
export const underWay = computed(() => {
  const c = run.value?.ended ? undefined : run.value?.changing, f = frames.value;
  void arrived.value;
  if (!c) return '';
  const counts = Object.entries(c.replicas).map(([name, n]) => {
    const up = f?.count ? f.service(f.count - 1, name, S.up) : NaN;
    return `${name}: ${n} asked for` + (Number.isNaN(up) ? '' : up === 1 ? ', 1 answers' : `, ${up} answer`);
  });
  return (counts.length ? counts.slice(0, 3).join('; ') + (counts.length > 3 ? ` and ${counts.length - 3} more` : '') : c.what.join('; '));
});

/** Looks at the second that a moment is in. */
export function lookAt(t: number): void {
  const f = frames.value;
  if (f?.count) { playing.value = 0; looking.value = f.first + Math.min(f.time(0) >= t ? 0 : f.before(t - 0.02) + 1, f.count - 1); }
}

export function say(text: string, bad = false): void { notice.value = { text, bad }; }
/** Where things run, in words. */
export const places: Record<string, string> = { virtual: 'in virtual time', local: 'on this machine', kind: 'in the kind sandbox', cluster: 'on the cluster' };
/** Does something, and says what went wrong. */
export async function attempt(what: () => Promise<unknown>): Promise<boolean> {
  try { await what(); return true; } catch (e) {
    say(e instanceof Error ? e.message : String(e), true);
    return false;
  }
}

function show(s: api.State): void {
  if (s.on && !version.value) setup.value = { ...setup.value, on: s.on };
  version.value = s.version; view.value = s.view; examples.value = s.examples; home.value = s.home ?? '';
  if (s.source.kind) {
    const same = source.value?.kind === s.source.kind && source.value.name === s.source.name;
    const unchanged = same && s.source.text === text.value && checked.value !== null;
    source.value = s.source;
    text.value = s.source.text;
    // What is known of it stays until more is known, and with it the form that the user is in.
    if (!same) {
      checked.value = sound.value = selected.value = changing.value = null; guess.value = {}; outcomes.value = {};
      setup.value = { ...setup.value, variant: '', seed: '' };
      opened.value = nothingOpened; grouping.value = ''; kept.value = around.value = null; query.value = '';
    }
    if (!unchanged) void check();
  } else source.value = null;
  told(s.run ?? null);
}

function take(answer: api.Checked): void {
  batch(() => {
    checked.value = answer;
    if (answer.graph) sound.value = answer;
  });
}
let asking = false, known = false, typed = 0, wake = (): void => {};
/** Has the text checked, one question at a time. A word that is being written looks like a mistake, so mistakes are shown after a pause. */
async function check(): Promise<void> {
  if (asking) return;
  asking = true;
  try {
    for (;;) {
      const asked = text.value, answer = await api.post<api.Checked>('/api/check', { text: asked });
      const pause = answer.mistakes.length ? typed + 300 - performance.now() : 0;
      if (asked === text.value && pause > 0) await new Promise<void>(done => { wake = done; setTimeout(done, pause); });
      if (asked === text.value) { take(answer); return; }
    }
  } catch (e) { say((e as Error).message, true); } finally { asking = false; }
}
export function edit(next: string): void {
  text.value = next;
  typed = performance.now();
  wake();
  if (!known) void check();
}

/** What the editor does for others: it owns the text, and its history is that of all changes. */
export const editor: { current: { change(text: string): void; undo(): void; redo(): void } | null } = { current: null };
export const undoable = signal({ undo: 0, redo: 0 });
/** Whether the graph can be changed. */
export const editable = computed(() => !view.value && source.value !== null && (source.value.kind !== 'system' || run.value?.changeable === true) && source.value.kind !== 'run' && checked.value?.mistakes.length === 0);
/** The fault of the file that is being changed. */
export const changing = signal<api.PlannedFault | null>(null);
/** The service that gets the keyboard as soon as it is drawn, and a new one that has no name of the user's yet. */
export const focusing = signal(''), fresh = signal('');
/** The service that a call is being drawn from. */
export const linking = signal('');
let queue: Promise<unknown> = Promise.resolve();
/**
 * Carries out an operation on the file; all that it does not touch stays as it is. What is done then is drawn with it.
 * Operations come one after another, each on the text that the one before has left.
 */
export const operate = (op: Record<string, unknown>, then?: () => void): Promise<boolean> => {
  const done = queue.then(() => attempt(async () => {
    for (let tries = 0; ; tries++) {
      const asked = text.value, document = sound.value?.experiment?.document;
      const answer = await api.post<{ text: string; checked: api.Checked }>('/api/edit', { text: asked, op: document ? { ...op, document } : op });
      // Meanwhile the user may have written on; that is not lost.
      if (asked !== text.value && tries < 5) continue;
      if (asked !== text.value) throw new Error('The text changes while it is being changed; wait a moment, and try again.');
      // The answer says what the text describes, too, so that nobody need ask.
      batch(() => {
        known = true;
        editor.current?.change(answer.text);
        known = false;
        if (text.value === answer.text) take(answer.checked); else void check();
        then?.();
      });
      notice.value = null;
      return;
    }
  }));
  queue = done;
  return done;
};

/** How many changes this page has asked for, to which no answer has come yet. */
let own = 0;
/** Does something to the running system, which is no news then. */
const act = (what: () => Promise<api.RunView>): Promise<boolean> => attempt(async () => {
  own++;
  try { told(await what()); } finally { own--; }
});
/** Says what other programs, and other pages, have done to the system since. */
function hear(before: api.RunView, next: api.RunView): void {
  const acting = (r: api.RunView): api.FaultView[] => r.faults.filter(f => f.byHand && f.from !== null && f.to === null && !f.error);
  const only = (a: api.FaultView[], b: api.FaultView[]): string[] => a.filter(f => !b.some(o => o.id === f.id)).map(f => f.label);
  const changes = next.changes.slice(before.changes.length).filter(c => !c.error), came = only(acting(next), acting(before)), gone = only(acting(before), acting(next));
  if (own || next.ended) return;
  const said = [...changes.map(c => c.what.join('; ')), ...came.map(f => `fault ${f} was added`), ...gone.map(f => `fault ${f} has ended`)];
  if (said.length) news.value = `Not done on this page: ${said.join('; ')}.`;
}

let fetching = false;
function told(next: api.RunView | null): void {
  const before = run.value;
  run.value = next;
  if (before && before.id === next?.id) hear(before, next); else news.value = '';
  if (!next) { detail.value = null; frames.value = null; return; }
  if (before?.id !== next.id || !detail.value) { looking.value = null; detail.value = null; frames.value = null; void learn(next.id); return; }
  // A system that was changed while it runs has other services, and frames with other numbers.
  if (next.ended && !detail.value.ended || next.changes.length !== detail.value.changes.length) void learn(next.id);
  void catchUp();
}
/** Learns of a run what does not change each second, and its result at the end. */
async function learn(id: number): Promise<void> {
  await attempt(async () => {
    const d = await api.get<api.RunDetail>('/api/run');
    if (d.id !== id) return;
    const fresh = new Frames(d.graph, d.kind === 'followed' ? 600 : Infinity);
    if (detail.value?.id !== id || frames.value?.width !== fresh.width) frames.value = fresh;
    detail.value = d;
    if (d.kind === 'played') applied.value = d.text ?? '';
    if (d.ended && d.kind === 'played' && d.result) outcomes.value = { ...outcomes.value, [d.result.variant ?? '']: d.result.checks };
    await catchUp();
    if (d.ended && d.kind === 'played' && d.on === 'virtual' && frames.value!.count && looking.value === null && !watchedLive(d)) { looking.value = frames.value!.first; playing.value = defaultSpeed(d.frames); }
  });
}
const watchedLive = (d: api.RunDetail): boolean => setup.value.pace > 0 && d.on === 'virtual';
const defaultSpeed = (n: number): number => n <= 60 ? 4 : n <= 300 ? 15 : 60;

async function catchUp(): Promise<void> {
  const f = frames.value, r = run.value;
  if (!f || !r || fetching || r.frames <= f.next) return;
  fetching = true;
  try {
    const { first, width, data } = await api.frames(r.id, f.next);
    if (frames.value === f && width !== f.width) void learn(r.id);
    else if (frames.value === f) { f.add(first, data); arrived.value++; }
  } catch (e) { if (!(e instanceof api.Refusal && e.status === 410)) lost.value = (e as Error).message; } finally { fetching = false; }
  if (run.value && frames.value === f && run.value.frames > f.next) void catchUp();
}

export async function start(): Promise<void> {
  await attempt(async () => {
    show(await api.get<api.State>('/api/state'));
    vocabulary.value = await api.get<api.Vocabulary[]>('/api/vocabulary');
    await openLink();
  });
  void api.follow(e => {
    // A file that another tab has saved is shown as it is now, unless there is something to lose.
    if (!dirty.value && (e.reload || e.base !== undefined && e.base !== source.value?.base && source.value?.kind === 'file')) void attempt(async () => {
      const now = await api.get<api.State>('/api/state');
      if (!dirty.value) show(now); // the user may have begun to write meanwhile
    });
    else {
      if (e.reload && !own && source.value?.kind === 'system') behind.value = true;
      if (e.base) savedElsewhere(e.base);
      told(e.run ?? null);
    }
  }, message => { lost.value = message; });
}
let saving = false, warned = '';
/** Says once that another tab has saved the file, which the user is changing here. */
function savedElsewhere(base: string): void {
  if (saving || source.value?.kind !== 'file' || base === source.value.base || base === warned) return;
  warned = base;
  say('Another tab has saved this file meanwhile. What you wrote stays, and Save compares the two.');
}
export const open = (kind: string, name = '', content = '', on = ''): Promise<boolean> => attempt(async () => {
  if (!mayLeave()) return;
  show(await api.post<api.State>('/api/open', { kind, name, text: content, ...(on ? { on } : {}) }));
  const lesson = /^lesson-/.test(name);
  tab.value = lesson ? 'lesson' : 'details';
  pane.value = lesson ? 'side' : 'graph';
  // The way back leads to the doors, once.
  history[history.state ? 'replaceState' : 'pushState'](true, '', location.pathname);
});
const mayLeave = (): boolean => !dirty.value || confirm('What you wrote is not saved. Leave it?');
/** Shows the doors, and reports whether the user wants that. */
function toDoors(): boolean {
  if (!mayLeave()) return false;
  source.value = notice.value = null;
  return true;
}
/** Leads to the doors, from where the browser's way forward leads back. */
export const leave = (): void => { if (history.state) history.back(); else toDoors(); };
addEventListener('popstate', () => {
  if (/[#&]token=/.test(location.hash)) location.reload(); // another start of the program
  else if (location.hash.includes('text=')) void attempt(openLink);
  else if (history.state) void attempt(async () => show(await api.get<api.State>('/api/state')));
  else if (source.value && !toDoors()) history.pushState(true, '');
});
export const save = (): Promise<boolean> => attempt(async () => {
  const s = source.value;
  if (!s) return;
  if (!s.savable) { download(); return; }
  const saved = text.value;
  saving = true;
  try {
    const { base } = await api.post<{ base: string }>('/api/save', { text: saved, base: stale.value?.base ?? s.base });
    source.value = { ...s, text: saved, base };
    stale.value = null;
    say('Saved to ' + s.name + '.');
  } catch (e) {
    if (e instanceof api.Refusal && e.stale) stale.value = { disk: e.disk, base: e.base };
    else throw e;
  } finally { saving = false; }
});
export function takeDisk(): void {
  const s = source.value, other = stale.value;
  if (!s || !other) return;
  source.value = { ...s, text: other.disk, base: other.base };
  stale.value = null;
  editor.current?.change(other.disk); // which can be undone
  if (text.value !== other.disk) edit(other.disk); // its lines end otherwise
}
export function download(): void {
  const a = document.createElement('a');
  a.href = URL.createObjectURL(new Blob([text.value], { type: 'application/yaml' }));
  a.download = (sound.value?.experiment?.name ?? sound.value?.system?.name ?? 'system') + '.yaml';
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 1000);
}
export const play = (): Promise<boolean> => attempt(async () => {
  const s = setup.value;
  looking.value = null; playing.value = 0;
  if (s.seed !== '' && !/^\d{1,19}$/.test(s.seed)) throw new Error(`invalid seed "${s.seed}": use a whole number from 0`);
  notice.value = null;
  applied.value = text.value;
  told(await api.post<api.RunView>('/api/run', {
    text: text.value, on: s.on, variant: s.variant, ...(s.seed === '' ? {} : { seed: Number(s.seed) }), pace: s.on === 'virtual' ? s.pace : 0, factor: s.factor,
    ...(sound.value?.experiment?.hasLoad === false ? { load: { rate: s.rate, seconds: s.seconds } } : {}),
  }));
});
export const stop = (): Promise<boolean> => act(() => api.post('/api/stop', {}));
/** Makes the running system what the text describes. */
export const applying = signal(false);
export const apply = async (): Promise<void> => {
  const wanted = text.value, s = source.value;
  applying.value = true;
  if (await act(() => api.post('/api/run/system', { text: wanted }))) {
    if (s?.kind === 'system' && source.value?.name === s.name) source.value = { ...source.value, text: wanted };
    applied.value = wanted;
    behind.value = false; news.value = '';
    say('The running system is what the text describes.');
  }
  applying.value = false;
};
/** Takes what the system is now for the text, which can be undone. */
export const takeRunning = (): Promise<boolean> => attempt(async () => {
  const now = (await api.get<api.State>('/api/state')).source;
  source.value = now;
  behind.value = false; news.value = '';
  editor.current?.change(now.text);
});
/** The text that the running system was last made from. */
export const applied = signal('');
export const addFault = (fault: unknown): Promise<boolean> => act(() => api.post('/api/faults', fault));
/** Multiplies the load that is sent, as it began, while it is sent. */
export const changeLoad = (factor: number): Promise<boolean> => act(() => api.post('/api/run/load', { factor }));
export const takeBack = (id: string): Promise<boolean> => act(() => api.remove('/api/faults/' + encodeURIComponent(id)));

/** A link holds the whole file, packed, and how it is played, behind the #, which browsers send to nobody. */
export async function link(): Promise<string> {
  const packed = await new Response(new Blob([text.value]).stream().pipeThrough(new CompressionStream('deflate-raw'))).arrayBuffer();
  let binary = '';
  for (const b of new Uint8Array(packed)) binary += String.fromCharCode(b);
  const { on, variant, seed, factor, pace, rate, seconds } = setup.value;
  return location.origin + location.pathname + '#text=' + btoa(binary).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '')
    + '&' + new URLSearchParams({ show: JSON.stringify({ setup: { on, variant, seed, factor, pace, rate, seconds }, tab: tab.value, selected: selected.value, query: query.value, around: around.value }) });
}
async function openLink(): Promise<void> {
  const given = new URLSearchParams(location.hash.slice(1)), packed = given.get('text');
  if (!packed) return;
  history.replaceState(history.state, '', location.pathname);
  let content: string, shown: { setup?: Partial<typeof setup.value>; tab?: typeof tab.value; selected?: Selected; query?: string; around?: typeof around.value };
  try {
    const bytes = Uint8Array.from(atob(packed.replace(/-/g, '+').replace(/_/g, '/')), c => c.charCodeAt(0));
    content = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw'))).text();
    shown = JSON.parse(given.get('show') ?? '{}') as typeof shown;
  } catch { throw new Error('The link is damaged: its file cannot be unpacked. Ask for it again.'); }
  if (!await open('text', '', content) || text.value !== content) return;
  batch(() => {
    if (!shown.setup?.on || shown.setup.on in places) setup.value = { ...setup.value, ...shown.setup };
    if (shown.tab) tab.value = shown.tab;
    selected.value = shown.selected ?? null; query.value = shown.query ?? ''; around.value = shown.around ?? null;
  });
}

effect(() => {
  if (theme.value) { document.documentElement.dataset['theme'] = theme.value; localStorage.setItem('theme', theme.value); }
  document.documentElement.classList.toggle('presenting', presenting.value);
  localStorage.setItem('presenting', presenting.value ? 'yes' : 'no');
});
effect(() => { document.title = (dirty.value ? '● ' : '') + (source.value ? sourceName.value + ' – ' : '') + 'MicroSim'; });
addEventListener('beforeunload', e => { if (dirty.value) e.preventDefault(); });

// Plays the frames of a run that is over, at a pace.
let played = 0;
effect(() => {
  clearInterval(played);
  if (!playing.value) return;
  const step = Math.max(1, Math.round(playing.value / 20)), pause = 1000 * step / playing.value;
  played = setInterval(() => {
    const f = frames.peek();
    if (!f) return;
    const next = (looking.peek() ?? f.first) + step;
    if (next >= f.next) { looking.value = f.next - 1; playing.value = 0; } else looking.value = next;
  }, pause);
});

// What is selected stands alone in the graph, and still does when something else is selected.
effect(() => {
  const c = selected.value;
  if (c?.kind === 'service' && c.name !== '') showAlone([c.name]);
  if (c?.kind === 'edge') showAlone([c.from, c.to].filter(n => n !== ''));
});
