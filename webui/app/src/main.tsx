import './style.css';
import { effect } from '@preact/signals';
import { render } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import * as api from './api';
import { Canvas } from './canvas';
import { Charts } from './charts';
import { Compare, comparing } from './compare';
import { Editor } from './editor';
import type { Frames } from './frames';
import { Lesson } from './lesson';
import { Details } from './panel';
import { onPaper, printing } from './print';
import { Waterfall } from './requests';
import * as s from './state';
import { RequestTree } from './tree';
import { clock } from './text';

function App() {
  // Without the token of this program, there is nothing to show.
  if (s.lost.value && !s.version.value) return <main class="doors"><h1>This page cannot be used</h1><p class="note bad" role="alert">{capital(s.lost.value)}.</p></main>;
  return <>
    <Top />
    {s.lost.value ? <p class="bar bad" role="alert"><span>{s.lost.value}</span> <button type="button" onClick={s.download}>Download the text</button></p> : null}
    {s.notice.value ? <p class={'bar ' + (s.notice.value.bad ? 'bad' : 'good')} role={s.notice.value.bad ? 'alert' : 'status'}><span>{s.notice.value.text}</span> <button type="button" aria-label="Close this message" onClick={() => { s.notice.value = null; }}>✕</button></p> : null}
    <News />
    <Ended />
    {s.stale.value ? <Stale /> : null}
    {s.source.value ? <Work /> : <Doors />}
    <RequestTree />
    <Waterfall />
    <Compare />
  </>;
}

/** What others have done to the running system. */
function News() {
  if (!s.source.value || !s.news.value) return null;
  return <p class="bar" role="status" data-part="news"><span>{s.news.value}{s.behind.value ? ' Your text, which is not applied, stays as it is.' : ''}</span>
    {s.behind.value ? <button type="button" onClick={() => void s.takeRunning()}>Take what runs</button> : null}<button type="button" aria-label="Close this message" onClick={() => { s.news.value = ''; }}>✕</button></p>;
}

/** Why nothing new comes, or why a run has ended badly, if the panel of the run, which says it, is not to be seen. */
function Ended() {
  const r = s.run.value;
  if (s.source.value && r?.unreachable) return <p class="bar bad" role="alert" data-part="unreachable"><span>No answer from system {r.name} for {clock(r.silentFor ?? 0)}: {r.unreachable}. What was seen of it stays here, and the page goes on when it answers.</span></p>;
  const told = !s.selected.value && s.tab.value === 'details' && !s.wide.value && (s.pane.value === 'side' || !matchMedia('(max-width: 860px)').matches);
  return s.source.value && r?.ended && r.error && !told ? <p class="bar bad" role="alert"><span>{r.error}</span></p> : null;
}

function Top() {
  const src = s.source.value, m = s.checked.value?.mistakes.length ?? 0;
  return <header class="top">
    <button type="button" class="plain brand" onClick={s.leave} title="Open something else">MicroSim</button>
    {src ? <><span class="soft" aria-hidden="true">›</span><h1 class="name" title={src.name}>{s.sourceName.value}{s.dirty.value ? <span class="dirty" title="not saved"> ●</span> : null}{s.view.value ? <span class="tag">view only</span> : null}</h1></> : null}
    {src ? <Controls /> : null}
    <span class="spring" />
    {src && m > 0 ? <button type="button" class="bad" onClick={() => { s.tab.value = 'file'; s.pane.value = 'side'; s.wide.value = false; }}>{m === 1 ? '1 mistake' : `${m} mistakes`}</button> : null}
    {src && !s.view.value && (src.kind !== 'system' || s.run.value?.changeable) && src.kind !== 'run' ? <><button type="button" class="minor edits" disabled={!s.undoable.value.undo} onClick={() => s.editor.current?.undo()} aria-label="Undo" title="Undo the last change of the file">↶</button><button type="button" class="minor edits" disabled={!s.undoable.value.redo} onClick={() => s.editor.current?.redo()} aria-label="Redo" title="Do it again">↷</button></> : null}
    {src && !s.view.value && src.kind !== 'run' && (src.kind !== 'system' || s.dirty.value && s.run.value?.ended) ? <button type="button" disabled={src.savable && !s.dirty.value && src.base !== ''} onClick={() => void s.save()}>{src.savable ? 'Save' : 'Download'}</button> : null}
    {src ? <button type="button" class="minor edits" onClick={() => void s.attempt(async () => { await navigator.clipboard.writeText(await s.link()); s.say('The link is copied. It holds the whole file, and opens it for anybody who runs `kubectl microsim ui` at this address.'); })}>Copy link</button> : null}
    <button type="button" class="minor" aria-pressed={s.presenting.value} onClick={() => { s.presenting.value = !s.presenting.value; s.wide.value = s.presenting.value && s.tab.value !== 'lesson'; }} title="Big type, for a projector, and more room for the graph">Present</button>
    <button type="button" class="minor" onClick={() => { s.theme.value = dark() ? 'light' : 'dark'; }} aria-label={dark() ? 'Light colours' : 'Dark colours'}>{dark() ? '☀' : '☾'}</button>
  </header>;
}
const dark = (): boolean => s.theme.value ? s.theme.value === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;

function Controls() {
  const r = s.run.value, src = s.source.value!, set = s.setup.value, e = s.sound.value?.experiment;
  const [more, setMore] = useState(false);
  const put = (v: Partial<typeof set>): void => { s.setup.value = { ...set, ...v }; };
  const apply = r?.changeable && !s.view.value && s.text.value !== (src.kind === 'system' ? src.text : s.applied.value)
    ? <button type="button" class="primary" disabled={s.applying.value || !!s.underWay.value || (s.checked.value?.mistakes.length ?? 0) > 0} title="Makes the running system what the text describes: services and calls come, change and go" onClick={() => void s.apply()}>{s.applying.value || s.underWay.value ? 'Changing it…' : 'Apply to the running system'}</button> : null;
  const changing = s.underWay.value ? <span class="state progress" role="status" data-part="under-way" title={s.underWay.value}>{s.underWay.value}</span> : null;
  if (src.kind === 'system') return <>{apply}{changing}<span class="state" data-state={r?.state}>{r?.ended ? 'not watched any more' : r?.unreachable ? 'does not answer' : 'runs ' + s.places[src.on ?? '']}</span>
    {!r?.ended && r?.progress ? <span class="state progress" role="status" title={r.progress}>{r.progress}</span> : null}
    {r?.ended ? <button type="button" onClick={() => void s.open('system', r.name, '', src.on)}>Watch again</button> : null}</>;
  if (src.kind === 'run') return <span class="state">recorded {s.places[r?.on ?? ''] ?? r?.on}</span>;
  if (s.view.value) return null;
  if (s.busy.value) return <><button type="button" class="stop" onClick={() => void s.stop()} disabled={r!.state === 'cleaning up'}>■ Stop</button>{apply}{changing}
    <span class="state" data-state={r!.state} role="status">{r!.state === 'running' ? `${clock(s.frames.value?.count ? s.frames.value.time(s.frames.value.count - 1) : 0)} of ${clock(r!.length)}` : r!.state + '…'}</span>
    {r!.progress ? <span class="state progress" title={r!.progress}>{r!.progress}</span> : null}</>;
  return <span class="controls">
    <button type="button" class="primary" disabled={!e || (s.checked.value?.mistakes.length ?? 0) > 0} title={e ? '' : 'There is nothing to play yet'} onClick={() => void s.play()}>▶ Play</button>
    <select aria-label="Where to play" value={set.on} onChange={v => put({ on: v.currentTarget.value })}>{Object.entries(s.places).map(([v, text]) => <option key={v} value={v}>{text}</option>)}</select>
    {e?.variants.length ? <select aria-label="Variant" value={set.variant} onChange={v => put({ variant: v.currentTarget.value })}><option value="">as the file says</option>{e.variants.map(v => <option key={v.name} value={v.name}>{v.name}</option>)}</select> : null}
    <button type="button" class="minor" aria-expanded={more} onClick={() => setMore(!more)} title="How much load, which seed, how fast">Load{set.factor === 1 ? '' : ' × ' + set.factor}<span class="long"> and seed</span>…</button>
    {more ? <div class="popover" role="group" aria-label="How to play">
      <label>Load of the file × {set.factor}<input type="range" min="-2" max="4" step="0.25" value={Math.log2(set.factor)} aria-valuetext={'times ' + set.factor} onInput={v => put({ factor: Math.round(2 ** Number(v.currentTarget.value) * 100) / 100 })} /></label>
      {e?.hasLoad === false ? <><p class="soft">The file has no load; the page puts this one on its entries:</p><label>requests per second<input type="number" min="0.1" value={set.rate} onInput={v => put({ rate: Number(v.currentTarget.value) })} /></label><label>seconds<input type="number" min="1" value={set.seconds} onInput={v => put({ seconds: Number(v.currentTarget.value) })} /></label></> : null}
      <label>Seed<input value={set.seed} placeholder={e ? e.seed + ', as in the file' : ''} inputMode="numeric" onInput={v => put({ seed: v.currentTarget.value.trim() })} /></label>
      {set.on === 'virtual' ? <label>Pace<select value={String(set.pace)} onChange={v => put({ pace: Number(v.currentTarget.value) })}><option value="0">at once</option><option value="1">as fast as real time</option><option value="4">4 times as fast</option><option value="20">20 times as fast</option></select></label> : null}
      <button type="button" onClick={() => setMore(false)}>Done</button>
    </div> : null}
    {r?.ended && r.kind === 'played' && s.detail.value?.result ? <Mark of={s.detail.value.result} /> : null}
    {r?.ended && r.id > 1 ? <button type="button" class="minor" onClick={() => { comparing.value = true; }}>Compare…</button> : null}
  </span>;
}

/** The verdict in a word. */
function Mark({ of }: { of: api.Result }) {
  if (!of.checks.length) return null;
  const [tone, word] = of.passed ? ['good', '✓ passed'] : of.checks.some(c => !c.pass && !c.notKnown) ? ['bad', '✗ failed'] : ['soft', '? cannot be judged'];
  return <span class={'verdict-mark ' + tone}>{word}</span>;
}

function Doors() {
  const [find, setFind] = useState('');
  const list = s.examples.value.filter(e => (e.name + ' ' + e.title).toLowerCase().includes(find.toLowerCase()));
  const lessons = list.filter(e => e.name.startsWith('lesson-')), rest = list.filter(e => !e.name.startsWith('lesson-'));
  const door = (e: api.Example) => {
    const lesson = /^lesson-0*(\d+)/.exec(e.name)?.[1];
    return <li key={e.name}><button type="button" data-example={e.name} onClick={() => void s.open('example', e.name)}><b>{lesson ?? e.name}</b><span>{lesson ? capital(e.title.replace(/^Lesson \d+: /, '')) : e.title}</span></button></li>;
  };
  return <main class="doors">
    <h1>What do you want to look at?</h1>
    <p class="soft">Draw a system of services, put load on it, break it, and see what happens and why.</p>
    {s.home.value ? <p><button type="button" class="primary" data-door="home" onClick={() => void s.open('home')}>Back to {s.home.value}</button></p> : null}
    <div class="three">
      <section><h2>An example</h2><p>A web shop of ten services, to begin with: one of them slows down, fails, and recovers. Others are below.</p>
        <button type="button" class="primary" data-door="shop" onClick={() => void s.open('example', 'shop')}>Open the shop</button></section>
      <section><h2>An empty canvas</h2><p>One service and a small load to start from. Download what you draw, or start with <code>kubectl microsim ui -f FILE</code>, which saves to a file.</p>
        <button type="button" class="primary" data-door="empty" onClick={() => void s.open('text')}>Start empty</button></section>
      <Running />
    </div>
    <input type="search" placeholder="Find an example or a lesson" aria-label="Find an example" value={find} onInput={e => setFind(e.currentTarget.value)} />
    {list.length ? null : <p class="soft">No example is called that.</p>}
    <div class="lists">
      {rest.length ? <section><h2>Examples</h2><ul>{rest.map(door)}</ul></section> : null}
      {lessons.length ? <section class="lessons"><h2>Lessons</h2><ul>{lessons.map(door)}</ul></section> : null}
    </div>
  </main>;
}
const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** The door to systems that run. A cluster is asked only when the user wants it. */
function Running() {
  const [on, setOn] = useState('local'), [systems, setSystems] = useState<string[] | null>(null), [wrong, setWrong] = useState('');
  useEffect(() => {
    let mine = true;
    setSystems(null); setWrong('');
    api.get<string[]>('/api/systems?on=' + on).then(l => { if (mine) setSystems(l); }, (e: Error) => { if (mine) setWrong(e.message); });
    return () => { mine = false; };
  }, [on]);
  return <section><h2>A running system</h2>
    <select aria-label="Where it runs" value={on} onChange={e => setOn(e.currentTarget.value)}>{['local', 'kind', 'cluster'].map(v => <option key={v} value={v}>{s.places[v]}</option>)}</select>
    {wrong ? <p class="note bad" role="alert">{wrong}</p> : systems === null ? <p>Looking…</p> : systems.length ? <ul>{systems.map(n => <li key={n}><button type="button" data-system={n} onClick={() => void s.open('system', n, '', on)}><b>{n}</b><span>runs {s.places[on]}</span></button></li>)}</ul> : <p>None runs {s.places[on]}. <code>kubectl microsim up shop --on {on}</code> starts one.</p>}</section>;
}

function Stale() {
  const mine = s.text.value.split('\n'), disk = s.stale.value!.disk.split('\n'), gone = s.stale.value!.base === '';
  const ours = new Set(mine), theirs = new Set(disk);
  return <section class="stale" role="alertdialog" aria-label="The file has changed on disk">
    <h2>{gone ? 'The file is gone from the disk' : 'The file has changed on disk since it was opened'}</h2>
    <p>Nothing was saved, and nothing is lost. Lines that only one side has are marked.</p>
    <div class="pair"><div><h3>Yours</h3><pre tabIndex={0}>{mine.map((l, i) => <span key={i} class={theirs.has(l) ? '' : 'only'}>{l + '\n'}</span>)}</pre></div><div><h3>On disk</h3><pre tabIndex={0}>{disk.map((l, i) => <span key={i} class={ours.has(l) ? '' : 'only'}>{l + '\n'}</span>)}</pre></div></div>
    <p class="row"><button type="button" class="primary" onClick={() => void s.save()}>Save yours over it</button>{gone ? null : <button type="button" onClick={s.takeDisk}>Take the disk's</button>}<button type="button" onClick={() => { s.stale.value = null; }}>Decide later</button></p>
  </section>;
}

function Work() {
  const e = s.sound.value?.experiment, lesson = e?.doc && (s.source.value?.name.includes('lesson-') || e.name.startsWith('lesson-'));
  return <main class={'work' + (s.wide.value ? ' wide-graph' : '') + (s.selected.value ? ' with-sheet' : '')} data-pane={s.pane.value}>
    <nav class="panes" aria-label="Parts of the page">{(['graph', 'side', 'charts'] as const).map(p => <button type="button" key={p} aria-pressed={s.pane.value === p} onClick={() => { s.pane.value = p; }}>{{ graph: 'Graph', side: 'Details', charts: 'Charts' }[p]}</button>)}</nav>
    <div class="left">{s.wide.value ? <button type="button" class="unfold" onClick={() => { s.wide.value = false; }}>‹ Details</button> : null}<Canvas /><div class="below"><Scrubber /><Charts /></div></div>
    <aside class="side" aria-label="Details and file">
      {s.selected.value ? <Grip /> : null}
      <div class="tabs" role="tablist" aria-label="Side">{(['details', 'file', ...(lesson ? ['lesson' as const] : [])] as const).map(t => <button type="button" role="tab" id={'tab-' + t} key={t} aria-selected={s.tab.value === t} aria-controls={'panel-' + t} onClick={() => { s.tab.value = t; }}>{{ details: 'Details', file: 'File', lesson: 'Lesson' }[t]}</button>)}</div>
      <button type="button" class="plain fold" title="The graph and the charts take its place" onClick={() => { s.wide.value = true; }}>Hide ›</button>
      <div role="tabpanel" id="panel-details" aria-labelledby="tab-details" class="sheet" tabIndex={0} hidden={s.tab.value !== 'details'}><Details /></div>
      <div role="tabpanel" id="panel-file" aria-labelledby="tab-file" class="filesheet" hidden={s.tab.value !== 'file'}><File /></div>
      {lesson ? <div role="tabpanel" id="panel-lesson" aria-labelledby="tab-lesson" class="sheet" tabIndex={0} hidden={s.tab.value !== 'lesson'}><Lesson /></div> : null}
    </aside>
  </main>;
}

/** The upper edge of the sheet that a telephone shows below the graph: swiped or pressed, it grows or goes. */
function Grip() {
  const from = useRef(NaN), full = s.pane.value === 'side';
  const close = (): void => { s.selected.value = null; s.pane.value = 'graph'; };
  return <div class="grip" onPointerDown={e => { from.current = e.clientY; }} onPointerUp={e => {
    const way = e.clientY - from.current;
    if (way < -30) s.pane.value = 'side'; else if (way > 30) { if (full) s.pane.value = 'graph'; else close(); }
  }}><button type="button" class="plain" aria-expanded={full} onClick={e => { if (!(Math.abs(e.clientY - from.current) > 30 && e.detail)) s.pane.value = full ? 'graph' : 'side'; }}>{full ? '⌄ Smaller' : '⌃ Larger'}</button>
    <button type="button" class="plain" aria-label="Close the details" onClick={close}>✕</button></div>;
}

function File() {
  const host = useRef<HTMLDivElement>(null), editor = useRef<Editor>(undefined), paper = useRef<HTMLPreElement>(null);
  useEffect(() => {
    const e: Editor = editor.current = s.editor.current = new Editor(host.current!, text => { s.edit(text); s.undoable.value = e.depths(); }, () => void s.save());
    const go = (event: Event): void => e.goTo((event as CustomEvent<number>).detail);
    addEventListener('go-to-line', go);
    const stops = [
      // The editor draws only the lines that the screen shows.
      onPaper(() => { paper.current!.textContent = printing() ? s.text.value : ''; }),
      effect(() => { void s.fileOf.value; e.forget(); s.undoable.value = e.depths(); }),
      effect(() => { e.set(s.text.value); }),
      effect(() => { e.mistakes(s.checked.value?.mistakes ?? []); }),
      effect(() => { e.readOnly(s.view.value || s.source.value?.kind === 'system' && !s.run.value?.changeable || s.source.value?.kind === 'run'); }),
    ];
    return () => { s.editor.current = null; removeEventListener('go-to-line', go); for (const stop of stops) stop(); };
  }, []);
  const list = s.checked.value?.mistakes ?? [];
  return <>
    <div class="editor" ref={host} data-part="editor" /><pre class="paper" ref={paper} />
    <div class="mistakes" role="status" aria-live="polite" data-part="mistakes">{list.length === 0 ? <p class="good">{s.checked.value ? '✓ No mistakes' : 'Checking…'}</p> : <ul>{list.map((m, i) => <li key={i}><button type="button" class="plain" onClick={() => editor.current?.goTo(m.line, m.column)}>{m.full}</button></li>)}</ul>}
      {s.checked.value?.notes?.map(n => <p class="soft" key={n}>{n}</p>)}</div>
  </>;
}

/** When faults acted, in percent of the time that the slider leads through. */
function windows(r: api.RunView, f: Frames): [number, number][] {
  const first = f.time(0), length = f.time(f.count - 1) - first, place = (t: number): number => Math.min(Math.max(100 * (t - first) / length, 0), 100);
  return length > 0 ? r.faults.flatMap(x => x.from === null || x.error ? [] : [[place(x.from), x.to === null ? 100 : place(x.to)] as [number, number]]).filter(([from, to]) => to > from) : [];
}

function Scrubber() {
  const f = s.frames.value, r = s.run.value;
  void s.arrived.value;
  if (!f || !r || f.count === 0) return null;
  const at = s.looking.value ?? f.next - 1, live = !r.ended && s.looking.value === null;
  return <div class="scrubber" data-part="scrubber">
    {r.ended ? <button type="button" aria-label={s.playing.value ? 'Pause' : 'Play back'} onClick={() => {
      if (s.playing.value) { s.playing.value = 0; return; }
      if (s.looking.value === null || s.looking.value >= f.next - 1) s.looking.value = f.first;
      s.playing.value = f.count <= 60 ? 4 : f.count <= 300 ? 15 : 60;
    }}>{s.playing.value ? '❚❚' : '▶'}</button> : <button type="button" aria-pressed={live} onClick={() => { s.looking.value = null; }}>● Live</button>}
    <div class="when"><div class="windows">{windows(r, f).map(([from, to], i) => <i key={i} style={{ left: from + '%', width: to - from + '%' }} />)}</div>
      <input type="range" aria-label="Second" aria-valuetext={clock(s.now.value)} min={f.first} max={f.next - 1} value={at} onInput={e => { s.playing.value = 0; s.looking.value = Number(e.currentTarget.value); }} /></div>
    <output>{clock(s.now.value)}</output>
    {s.acting.value.length ? <span class="acting" title={s.acting.value.map(x => x.label).join(', ')}>⚡ {s.acting.value.length === 1 ? s.acting.value[0]!.label : `${s.acting.value.length} faults`}</span> : null}
    {s.acting.value.length === 0 && r.faults.some(x => x.from !== null && !x.error) ? <span class="soft minor"><i class="shade" />faults acted</span> : null}
    {r.changes.some(x => !x.error) ? <span class="soft minor"><i class="mark" />changed</span> : null}
    {s.detail.value?.result?.alerts?.fired.length ? <span class="soft minor"><i class="alert" />alerts fired</span> : null}
    {f.first > 0 || r.dropped ? <span class="soft">the last {f.count} s are kept</span> : null}
  </div>;
}

render(<App />, document.getElementById('app')!);
void s.start();
