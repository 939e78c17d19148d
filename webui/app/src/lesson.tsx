import type { CheckText } from './api';
import { Doc } from './doc';
import { Checks, Why, scopeOf } from './panel';
import * as s from './state';

/** A lesson: what is going to happen, your guess, what happened. */
export function Lesson() {
  const e = s.sound.value?.experiment, d = s.detail.value, result = d?.ended && d.kind === 'played' ? d.result : undefined;
  if (!e) return null;
  const key = (c: CheckText): string => [c.check, c.from, c.service, c.phase].join('|');
  const guessed = e.checks.filter(c => key(c) in s.guess.value).length;
  return <>
    <h2>{e.title ?? e.name}</h2>
    <h3>1. What is going to happen</h3>
    <Doc text={e.doc ?? ''} />
    <h3>2. Your guess</h3>
    {e.checks.length === 0 ? <p class="soft">This lesson checks nothing; say aloud what you expect.</p> : <ul class="guesses">{e.checks.map(c => <li key={key(c)}><div><code>{c.check}</code> <small>{scopeOf(c)}</small></div>
      <span role="group" aria-label={'Your guess about ' + c.check}>{[true, false].map(v => <button type="button" key={String(v)} aria-pressed={s.guess.value[key(c)] === v} onClick={() => { s.guess.value = { ...s.guess.value, [key(c)]: v }; }}>{v ? 'holds' : 'breaks'}</button>)}</span></li>)}</ul>}
    <h3>3. Run</h3>
    <p class="row">{(e.variants.length ? e.variants.map(v => v.name) : ['']).map(v => <button type="button" key={v} class="primary" disabled={s.busy.value || s.view.value} onClick={() => { s.setup.value = { ...s.setup.value, variant: v }; void s.play(); }}>▶ {v || 'Play'}</button>)}</p>
    {e.variants.map(v => v.doc ? <p class="soft" key={v.name}><b>{v.name}</b>: {v.doc}</p> : null)}
    <h3>4. What happened</h3>
    {!result ? <p class="soft">Run it first.</p> : <>
      {result.variant ? <p>In <b>{result.variant}</b>:</p> : null}
      {guessed ? <p><b>You were right about {result.checks.filter(c => !c.notKnown && s.guess.value[key(c)] === c.pass).length} of {guessed}.</b></p> : null}
      <Checks list={result.checks} /><Why of={result} />
    </>}
    <h3>5. What to change</h3>
    <p class="soft">Change the file beside, and run again. {e.variants.length > 1 ? 'The other variants show what others change.' : ''}</p>
  </>;
}
