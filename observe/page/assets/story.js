// What the experiment is about and how it ended: before any figure.

const marks = { pass: ['pass', '✓ '], fail: ['fail', '✕ '], incomplete: ['fail', '◐ '], none: ['soft', ''] };

function verdictMark(v) { return h('span', { class: 'verdict ' + marks[v.state][0] }, marks[v.state][1] + v.text); }

// paragraphs writes a text: an empty line parts paragraphs, an indented line stays
// a line of its own.
function paragraphs(text) {
  return text.trim().split(/\n\s*\n/).filter(Boolean).map(p => (/^\s/.test(p) || /\n\s/.test(p) ? h('pre', { class: 'plain' }, p) : h('p', {}, p.replace(/\n/g, ' '))));
}

// broken is what failed and what was broken: the checks of the run that is shown, and
// the faults that acted, each with its time.
function broken(run) {
  const most = 4, failed = run.checks.filter(c => !c.pass), acted = windowsOf(run.faults);
  const some = (list, show) => [...list.slice(0, most).map(show), list.length > most ? h('li', {}, h('span', { class: 'sign' }, '…'), h('span', { class: 'soft' }, `${list.length - most} more below`)) : null];
  const when = w => (w.to > w.from ? `${moment(w.from)} to ${moment(w.to)}` : 'at ' + moment(w.from));
  return failed.length + acted.length ? h('ul', { class: 'broken', 'aria-label': 'What failed, and what was broken' },
    some(failed, c => h('li', { class: 'fail' }, h('span', { class: 'sign' }, '✕'), h('b', { class: 'mono' }, c.check), h('span', { class: 'soft' }, c.subject + (c.phase ? ', ' + c.phase : '')), h('span', {}, c.why))),
    some(acted, w => h('li', { class: 'acted' }, h('span', { class: 'sign' }, '⚡'), h('b', {}, w.label), h('span', { class: 'soft' }, when(w))))) : null;
}

// lesson is the text of the experiment and of its variants.
function lesson(story) {
  const told = story.variants.filter(v => v.doc);
  if (!story.doc && !told.length) return null;
  return h('section', { class: 'lesson', 'aria-label': 'What this shows' }, story.doc ? paragraphs(story.doc) : null,
    told.length ? h('dl', {}, told.map(v => h('div', {}, h('dt', {}, variantName(v.name)), h('dd', {}, v.doc)))) : null);
}

// outcome is the ranking beside the differences, each where there is one.
function outcome(story) {
  const { ranking, differences } = story, sheets = [];
  if (ranking) {
    const values = ranking.rows.some(r => r.interval), p99 = ranking.rows.some(r => r.p99);
    const rows = ranking.rows.map(r => h('tr', {}, h('td', {}, r.place + '.'), h('th', { scope: 'row', class: 'left wrap' }, variantName(r.variant)), h('td', {}, r.value || unknown),
      values ? h('td', { class: 'soft' }, r.interval) : null, p99 ? h('td', {}, r.p99 || unknown) : null));
    sheets.push(h('section', { class: 'sheet', 'data-sheet': 'ranking' }, h('h2', {}, 'Ranking by ' + ranking.by),
      table(['place', { text: 'variant', left: true }, 'value', values ? 'interval' : null, p99 ? 'p99' : null].filter(Boolean), rows, { label: 'Ranking' })));
  }
  if (differences.length) {
    const rows = differences.map((d, i) => h('tr', {}, h('th', { scope: 'row', class: 'left wrap' }, i && differences[i - 1].variant === d.variant ? '' : variantName(d.variant)),
      h('td', { class: 'left' }, d.figure), h('td', { class: 'left wrap' + (d.seen ? '' : ' soft') }, d.text)));
    sheets.push(h('section', { class: 'sheet', 'data-sheet': 'differences' }, h('h2', {}, `Against ${variantName(story.against)}, ${story.seeds} seeds; whole run unless named`),
      table([{ text: 'variant', left: true }, { text: 'figure', left: true }, { text: 'difference, seed by seed', left: true }], rows, { label: 'Differences' })));
  } else if (ranking && story.seeds === 1) {
    sheets[0].append(h('p', { class: 'soft' }, 'One seed does not show what is chance: differences are told with --seeds 3 or more.'));
  }
  return sheets.length ? h('div', { class: 'pair' }, sheets) : null;
}

// windowTable has what was counted in the run's equal stretches.
function windowTable(run) {
  const w = run.windows, t = run.tail;
  const text = t ? (t.idle ? `The system was idle ${moment(t.length)} after the load.` : `The system was still busy ${moment(t.length)} after the load, when watching ended.`) : null;
  if (!w && !text) return null;
  const degraded = w && w.rows.some(r => r.degraded);
  return h('section', { class: 'sheet', 'data-sheet': 'windows' }, h('div', { class: 'row' }, h('h2', {}, w ? 'Counts over time, and the tail' : 'The tail'), w ? h('span', { class: 'soft' }, 'requests by their end, dropped ones by their intended start') : null),
    text ? h('p', {}, text) : null,
    w ? table([{ text: 'window', left: true }, 'clients: requests', ...w.classes.map(words), ...(degraded ? ['degraded'] : []), ...w.services.map(n => n + ': requests')],
      w.rows.map(r => h('tr', {}, h('td', { class: 'left' }, `${moment(r.from)} to ${moment(r.to)}`), h('td', {}, count(r.requests)), r.classes.map((n, i) => h('td', { class: n && w.classes[i] !== 'ok' ? 'fail' : null }, count(n))), degraded ? h('td', { class: r.degraded ? 'fail' : null }, count(r.degraded)) : null, r.services.map(n => h('td', {}, count(n))))),
      { label: 'Counts over time' }) : null);
}
