import type { CheckResult, CheckText } from './api';
import { Doc } from './doc';
import { Checks, Why, scopeOf } from './panel';
import * as s from './state';

/** A guess is about a check in a variant; '' is the experiment as it stands. */
const keyOf = (variant: string, c: CheckText): string => [variant, c.check, c.from, c.service, c.phase].join('|');

/** A lesson: what is going to happen, your guess, what happened. */
export function Lesson() {
  const e = s.sound.value?.experiment, d = s.detail.value, result = d?.ended && d.kind === 'played' ? d.result : undefined;
  if (!e) return null;
  const variants = e.variants.length ? e.variants : [{ name: '', checks: e.checks }], seen = s.outcomes.value;
  const judged = variants.filter(v => seen[v.name]);
  return <>
    <h2>{e.title ?? e.name}</h2>
    <h3 class="step">1. What is going to happen</h3>
    <Doc text={e.doc ?? ''} />
    <h3 class="step">2. Your guess</h3>
    {variants.every(v => v.checks.length === 0) ? <p class="soft">This lesson checks nothing; say aloud what you expect.</p> : variants.map(v => <section key={v.name} data-guess={v.name}>
      {v.name ? <h4>{v.name}{'doc' in v && v.doc ? <small>{v.doc}</small> : null}</h4> : null}
      <ul class="guesses">{v.checks.map(c => <Guess key={keyOf(v.name, c)} variant={v.name} check={c} />)}</ul></section>)}
    <h3 class="step">3. Run</h3>
    <p class="row">{variants.map(v => <button type="button" key={v.name} class="primary" disabled={s.busy.value || s.view.value} onClick={() => { s.setup.value = { ...s.setup.value, variant: v.name }; void s.play(); }}>▶ {v.name || 'Play'}</button>)}</p>
    <h3 class="step">4. What happened</h3>
    {judged.map(v => <Score key={v.name} variant={v.name} checks={seen[v.name]!} />)}
    {!result ? <p class="soft">Run it first.</p> : <>
      {result.variant ? <p>In <b>{result.variant}</b>:</p> : null}
      <Checks list={result.checks} /><Why of={result} />
    </>}
    <h3 class="step">5. What to change</h3>
    <p class="soft">Change the file beside, and run again. {e.variants.length > 1 ? 'The other variants show what others change.' : ''}</p>
  </>;
}

function Guess({ variant, check }: { variant: string; check: CheckText }) {
  const key = keyOf(variant, check);
  return <li><div><code>{check.check}</code> <small>{scopeOf(check)}</small></div>
    <span role="group" aria-label={'Your guess about ' + check.check + (variant ? ' in ' + variant : '')}>{[true, false].map(v => <button type="button" key={String(v)} aria-pressed={s.guess.value[key] === v} onClick={() => { s.guess.value = { ...s.guess.value, [key]: v }; }}>{v ? 'holds' : 'breaks'}</button>)}</span></li>;
}

/** How many guesses about a variant were right. What could not be judged counts neither way. */
function Score({ variant, checks }: { variant: string; checks: CheckResult[] }) {
  const known = checks.filter(c => !c.notKnown && keyOf(variant, c) in s.guess.value);
  if (!known.length) return null;
  const right = known.filter(c => s.guess.value[keyOf(variant, c)] === c.pass).length;
  return <p data-score={variant}><b>{variant ? `In ${variant}, you` : 'You'} were right about {right} of {known.length}.</b></p>;
}
