// The page: what is chosen, and the parts that show it.

function start() {
  const data = JSON.parse(document.getElementById('data').textContent);
  const page = new Page(data, Object.assign({ histogram: 0, group: -1, sort: { key: '', way: 1 } }, asked(data)));
  page.build();
  addEventListener('hashchange', () => page.follow());
  document.documentElement.dataset.ready = 'true';
}

// asked is what the address chooses. Whatever it says, the page opens: what does
// not exist is as if it were not said.
function asked(data) {
  const p = new URLSearchParams(location.hash.slice(1)), among = (name, values, usual) => (values.includes(p.get(name)) ? p.get(name) : usual);
  const run = Number(among('run', data.runs.map((_, i) => String(i)), '0'));
  return {
    run, segment: among('segment', data.runs[run].segments.map(v => v.key), 'run'), service: among('service', data.runs[run].drawing.nodes.map(n => n.name), ''),
    by: among('by', ['errors', 'latency'], 'errors'), theme: among('theme', ['auto', 'dark', 'light'], stored() || 'auto'), curve: among('curve', overlaid.map(m => m.key), tellingCurve(data)),
  };
}

// tellingCurve is the curve that variants are first compared by: what is ranked,
// or their errors, or if nothing failed their good answers.
function tellingCurve(data) {
  const { ranking } = data.story;
  return ranking && ranking.curve ? ranking.curve : data.overlays.some(o => o.curves.errors.high.some(v => v > 0)) ? 'errors' : 'good';
}

// A file's page may not be allowed to keep anything.
function stored() { try { return ['dark', 'light'].find(v => v === localStorage.getItem('theme')); } catch { return null; } }
function store(theme) { try { localStorage.setItem('theme', theme); } catch { /* the choice lasts as long as the page */ } }

// windowsOf are the times that curves have shaded. What is over in a moment, as a
// kill, is a line.
function windowsOf(faults) { return faults.filter(f => f.applied && f.victim !== 'nobody').map(f => ({ from: f.from, to: f.to, label: f.label + (f.victim && !f.label.includes(f.victim) ? ' ' + f.victim : '') })); }
// changesOf are the moments at which something was changed by hand.
function changesOf(run) { return (run.changes || []).filter(c => !c.error).map(c => ({ from: c.at, to: c.at, label: c.what, change: true })); }

// outagesOf are the times in which replicas of a service could not answer.
function outagesOf(run, service) {
  return run.recoveries.filter(r => r.service === service).map(r => ({ from: r.downAt, to: r.ready ? r.downAt + r.took : run.length, label: '▼ ' + r.replica + ' down' }));
}

// A phase without a name is called by its number.
const phaseName = name => (/^\d*$/.test(name) ? 'phase ' + (name || '1') : name);
function segmentName(v) { return v.kind === 'run' ? 'whole run' : v.kind === 'phase' ? phaseName(v.name) : v.name; }
function longName(v) { return v.kind === 'part' ? v.name + ' the faults' : v.kind === 'phase' ? (/^\d*$/.test(v.name) ? phaseName(v.name) : 'phase ' + v.name) : v.kind === 'tail' ? 'tail after the load' : 'whole run'; }

// endOf is the end of the time axis: that of the load, or of the last sample.
function endOf(run) {
  return Math.max(run.length, run.clients.t.length ? run.clients.t[run.clients.t.length - 1] : 0, ...Object.values(run.services).map(c => c.t[c.t.length - 1] || 0));
}

// most is how many services are listed.
const most = 300;

// verdictOf is what the checks of one run say.
function verdictOf(r) { const failed = r.checks.filter(c => !c.pass).length; return r.incomplete ? ' (◐ incomplete)' : !r.checks.length ? '' : failed ? ` (✕ ${failed} of ${r.checks.length} checks failed)` : ' (✓ passed)'; }

const fact = (name, value) => (value ? h('div', {}, h('dt', {}, name), h('dd', {}, value)) : null);

class Page {
  constructor(data, state) { this.data = data; this.state = state; this.parts = {}; }

  get run() { return this.data.runs[this.state.run]; }
  get segment() { return this.run.segments.find(v => v.key === this.state.segment) || this.run.segments[0]; }
  // shown are the segments to choose from: a single phase is the whole run.
  get shown() { const phases = this.run.segments.filter(v => v.kind === 'phase').length; return this.run.segments.filter(v => v.kind !== 'phase' || phases > 1); }
  get choice() { return this.segment && this.segment.kind !== 'run' ? [this.segment.from, this.segment.to] : null; }
  get services() { return this.run.drawing.nodes.filter(n => n.name).map(n => n.name); }

  build() {
    const names = ['head', 'ranked', 'told', 'bar', 'figures', 'judged', 'explained', 'predicted', 'compare', 'processes', 'system', 'clients', 'windows', 'service', 'table', 'latency', 'events', 'alerts', 'repeat', 'inputs', 'foot'];
    for (const name of names) this.parts[name] = h(name === 'bar' ? 'nav' : name === 'foot' ? 'footer' : 'div', { 'data-part': name, class: name === 'bar' ? 'bar' : null, 'aria-label': name === 'bar' ? 'What is shown' : null });
    document.getElementById('page').append(h('a', { class: 'skip', href: '#charts' }, 'Skip to the curves'), ...Object.values(this.parts));
    this.theme(this.state.theme);
    addEventListener('keydown', e => this.key(e));
    narrow.addEventListener('change', () => this.show(['system']));
    this.show(names);
  }

  // show draws parts again, and keeps the focus where it was.
  show(names) {
    tip(null);
    for (const name of names) {
      const part = this.parts[name], focused = part.contains(document.activeElement) ? mark(document.activeElement) : null;
      forget(part);
      const content = this[name]();
      part.replaceChildren(...(Array.isArray(content) ? content : [content]).filter(Boolean));
      if (focused) part.querySelector(focused)?.focus({ preventScroll: true });
    }
    drawAll();
    this.address();
  }

  // follow shows what the address has come to say.
  follow() {
    Object.assign(this.state, asked(this.data));
    this.show(Object.keys(this.parts));
    this.theme(this.state.theme);
  }

  address() {
    const { run, segment, service, by, theme, curve } = this.state, p = new URLSearchParams();
    for (const [name, value, usual] of [['run', run, 0], ['segment', segment, 'run'], ['service', service, ''], ['by', by, 'errors'], ['theme', theme, 'auto'], ['curve', curve, tellingCurve(this.data)]]) if (value !== usual) p.set(name, value);
    try { history.replaceState(null, '', p.size ? '#' + p : location.pathname); } catch { /* not allowed for some files */ }
  }

  key(e) {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target instanceof HTMLSelectElement) return;
    const i = '123456789'.indexOf(e.key), to = e.key.length === 1 && i >= 0 && this.shown[i];
    if (to) this.chooseSegment(to.key, true);
    if (e.key === 't') this.theme(this.dark() ? 'light' : 'dark');
  }

  chooseSegment(key, byKey) {
    this.state.segment = key;
    this.show(byKey ? ['bar', 'figures', 'compare', 'system', 'clients', 'service', 'table'] : ['figures', 'compare', 'system', 'clients', 'service', 'table']);
  }

  chooseService(name) {
    this.state.service = name === this.state.service ? '' : name; // the clients have no name
    const at = this.run.drawing.boxes.findIndex(b => b.members.length > 1 && b.members.some(i => this.run.drawing.nodes[i].name === this.state.service));
    if (at >= 0) this.state.group = at;
    this.show(['system', 'service', 'table']);
  }

  chooseGroup(i) {
    this.state.group = i === this.state.group ? -1 : i;
    this.show(['system']);
  }

  chooseRun(i) {
    this.state.run = Number(i);
    if (!this.run.segments.some(v => v.key === this.state.segment)) this.state.segment = 'run';
    this.state.histogram = 0;
    this.state.group = -1;
    this.show(Object.keys(this.parts).filter(name => name !== 'compare'));
  }

  dark() { return this.state.theme === 'dark' || (this.state.theme === 'auto' && matchMedia('(prefers-color-scheme: dark)').matches); }

  theme(theme) {
    this.state.theme = theme;
    if (theme === 'auto') delete document.documentElement.dataset.theme; else { document.documentElement.dataset.theme = theme; store(theme); }
    if (this.parts.bar.firstChild) this.show(['bar']);
  }

  head() {
    const r = this.run, { runs, story } = this.data, checked = runs.some(v => v.checks.length);
    return [h('header', { class: 'top' },
      h('div', { class: 'title' }, h('h1', {}, story.heading || this.data.title || r.name), verdictMark(story.verdict)),
      r.incomplete ? h('p', { class: 'banner', role: 'alert' }, h('b', {}, 'INCOMPLETE. '), 'The run shown stopped early', r.why ? ': ' + r.why : '', '. What is shown is what was seen until then.') : null,
      r.standstill ? h('p', { class: 'banner', role: 'alert' }, h('b', {}, 'NOTE. '), `In the run shown, ${r.standstill}.`) : null,
      broken(r),
      h('dl', { class: 'facts' }, fact('runs', runs.length > 1 ? `${runs.length}, of ${count(new Set(runs.map(v => v.variant)).size)} variant${new Set(runs.map(v => v.variant)).size === 1 ? '' : 's'}${checked ? `, ${runs.filter(v => v.passed).length} passed` : ''}` : ''), fact('experiment', story.heading !== this.data.title ? this.data.title : ''), fact(runs.length > 1 ? 'run shown below' : 'variant', runs.length > 1 ? variantName(r.variant) + verdictOf(r) : r.variant), fact('started', r.started.replace('T', ' ').replace(/(\.\d+)?Z$/, ' UTC')), fact('until the last answer', moment(r.length)), fact('on', r.target), fact('seed', r.seed)))];
  }

  // repeat is what somebody needs who runs it again.
  repeat() {
    const r = this.run;
    const command = h('code', {}, r.command), copy = h('button', { type: 'button', onclick: () => {
      getSelection().selectAllChildren(command); // to be copied by hand where the browser does not let us
      navigator.clipboard?.writeText(r.command).then(() => { copy.textContent = 'Copied'; }, () => { copy.textContent = 'Selected'; });
    } }, 'Copy');
    return h('section', { class: 'sheet' }, h('h2', {}, 'How it was run'),
      r.command ? h('div', { class: 'command' }, h('span', { class: 'soft' }, 'Repeat it with'), command, copy) : null,
      h('dl', { class: 'facts' }, Object.entries(r.versions || {}).map(([name, v]) => fact(name, v)), fact('machine', [r.environment.os === 'virtual' ? 'simulated' : `${r.environment.os}/${r.environment.arch}`, `${r.environment.cpus} CPUs`, r.environment.go].filter(Boolean).join(', '))));
  }

  ranked() { return outcome(this.data.story); }

  told() { return lesson(this.data.story); }

  windows() { return windowTable(this.run); }

  bar() {
    const { runs } = this.data;
    const pick = runs.length > 1 ? picker('Run', runs.map((r, i) => ({ value: String(i), text: `${variantName(r.variant)}, seed ${r.seed}${r.incomplete ? ', incomplete' : ''}` })), String(this.state.run), i => this.chooseRun(i)) : null;
    const segments = choices('Show', 'segment', this.shown.map(v => ({ value: v.key, text: segmentName(v), small: moment(v.to - v.from) })), this.segment && this.segment.key, key => this.chooseSegment(key));
    return [pick, segments, h('button', { type: 'button', class: 'push', 'data-theme-button': '', onclick: () => this.theme(this.dark() ? 'light' : 'dark') }, this.dark() ? '☀ Light' : '☾ Dark')];
  }

  // figures are those of the parts beside each other, or of the phases.
  figures() {
    const { segments } = this.run, parts = segments.filter(v => v.kind === 'part');
    const phases = segments.filter(v => v.kind === 'phase');
    const shown = parts.length > 1 ? parts : phases.length > 1 ? phases.slice(0, 6) : segments.filter(v => v.kind === 'run');
    return h('div', { class: 'figures' }, shown.map(v => {
      const c = v.clients, one = (name, text, worse) => h('div', {}, h('dt', {}, name), h('dd', { class: worse ? 'fail' : null }, text));
      return h('div', { class: 'card' + (v.key === this.state.segment ? ' chosen' : ''), 'data-segment': v.key },
        h('h2', {}, h('span', {}, longName(v)), h('span', {}, `${moment(v.from)} to ${moment(v.to)}`)),
        h('dl', { class: 'big' }, one('offered, per s', number(c.offeredRate)), one('ended, per s', number(c.rate)), one('goodput, per s', number(c.goodput)), one('errors, of requests', share(ratio(c.errors, c.requests)), c.errors > 0), c.degraded ? one('degraded, of requests', share(ratio(c.degraded, c.requests)), true) : null, one('latency p50', seconds(c.latency && c.latency.p50)), one('latency p99', seconds(c.latency && c.latency.p99))));
    }));
  }

  compare() {
    if (this.data.overlays.length === 0) return null;
    const { data, state } = this, several = data.comparison.some(c => c.rows.some(r => r.runs > 1));
    const again = () => this.show(['compare']);
    return h('section', { class: 'sheet long' }, h('div', { class: 'row' }, h('h2', {}, 'Variants, ' + longName(this.segment)), h('span', { class: 'soft' }, several ? `mean of the runs, of times the geometric one; below it and as a bar the ${share(data.confidence)} interval` : 'one run each: nothing is known of the spread')),
      variantTable(data, this.segment.key, several, state.sort, sort => { state.sort = sort; again(); }),
      h('div', { class: 'row' }, choices('Curves', 'curve', overlaid.map(m => ({ value: m.key, text: m.text })), state.curve, key => { state.curve = key; again(); }), h('span', { class: 'soft' }, 'one scale for all; thin lines are the other variants' + (several ? ', the shade what the runs spread over' : ''))),
      variantCharts(data, state.curve, this.choice));
  }

  processes() {
    const rows = this.data.processes || [];
    if (!rows.length) return null;
    const several = rows.some(r => Object.values(r.figures).some(f => f.values.length > 1)), services = new Set(rows.map(r => r.service)).size > 1;
    const row = r => h('tr', { 'data-process': r.variant }, h('th', { scope: 'row', class: 'left wrap' }, variantName(r.variant)), services ? h('td', { class: 'left' }, r.service) : null, h('td', { class: 'left' }, r.runtime),
      [['cpu', seconds], ['peak', bytes], ['memory', bytes], ['address', seconds], ['ready', seconds], ['image', bytes]].map(([key, format]) => h('td', {}, figureCell(r.figures[key], format))));
    return h('section', { class: 'sheet long' }, h('div', { class: 'row' }, h('h2', {}, services ? 'Processes of services' : 'Processes of ' + rows[0].service), h('span', { class: 'soft' }, 'whole run' + (several ? `; mean of the runs, of times the geometric one; below it the ${share(this.data.confidence)} interval` : ''))),
      table([{ text: 'variant', left: true }, ...(services ? [{ text: 'service', left: true }] : []), { text: 'runtime', left: true }, 'processor time per request', 'most memory', 'memory at the end', 'address after', 'ready after', 'image'], rows.map(row), { label: 'Processes' }),
      h('p', { class: 'soft' }, 'Processor time is that of user and system during the load, by the requests that the service counted. Memory is resident; the most is since the start of the process. The address and the first answer that it is ready are counted from the start of the process, while the other services start, too. The image is what a kind sandbox would load, unpacked.'));
  }

  system() {
    if (!this.segment) return null;
    const { state } = this;
    return h('section', { class: 'sheet' }, h('div', { class: 'row' }, h('h2', {}, 'The system, ' + longName(this.segment)), choices('Colour by', 'by', [{ value: 'errors', text: 'errors' }, { value: 'latency', text: 'latency' }], state.by, by => { state.by = by; this.show(['system']); })),
      drawSystem(this.run, this.segment, state.by, { service: state.service, choose: name => this.chooseService(name), group: state.group, chooseGroup: i => this.chooseGroup(i) }), scaleOf(this.run, state.by));
  }

  options(id, title, format, more) {
    return Object.assign({ id, title, format, end: endOf(this.run), windows: [...windowsOf(this.run.faults), ...changesOf(this.run)], choice: this.choice }, more);
  }

  latencyChart(options, c) {
    return chart(c.t, ['p50', 'p90', 'p99'].map(name => ({ name, values: c[name], look: looks[name] })), options);
  }

  classCurves(c, wanted) {
    return this.data.classes.filter(name => name in c.classes && wanted(name)).map(name => ({ name: words(name), values: c.classes[name], look: looks[name] }));
  }

  clients() {
    const c = this.run.clients, note = c.merged > 1 ? `each point is ${c.merged} s; a quantile is their mean` : 'offered, errors and latency by the second in which a request was to start; ended and goodput by the second of the end';
    const good = c.good || c.t.map(() => 0);
    return h('section', { class: 'sheet', id: 'charts' }, h('div', { class: 'row' }, h('h2', {}, 'What the clients saw'), h('span', { class: 'soft' }, note)),
      h('div', { class: 'charts' },
        chart(c.t, [{ name: 'offered', values: c.offered || [], look: { color: 'var(--c-gray)', dash: '6 4' } }, { name: 'ended', values: c.rate, look: looks.breaker_open }, { name: 'goodput', values: good, look: looks.ok, fill: true }], this.options('clients:rate', 'Requests per second', number)),
        chart(c.t, [...this.classCurves(c, name => name !== 'ok'), ...(c.degraded ? [{ name: 'degraded', values: c.degraded, look: looks.rejected }] : [])], this.options('clients:errors', c.degraded ? 'Errors and degraded answers per second' : 'Errors per second', number, { empty: 'no errors in the whole run, and nothing degraded' })),
        this.latencyChart(this.options('clients:latency', 'Latency', seconds), c)));
  }

  service() {
    const { run } = this, name = this.state.service || this.guess(), c = run.services[name];
    const pick = picker('Service', this.services.map(v => ({ value: v, text: v })), name, v => { this.state.service = v; this.show(['system', 'service', 'table']); });
    const head = h('div', { class: 'row' }, h('h2', {}, 'Service ' + name), pick);
    const outages = outagesOf(run, name), options = (id, title, format, more) => { const o = this.options(id, title, format, more); o.windows = o.windows.concat(outages).sort((a, b) => a.from - b.from); return o; };
    if (!name) return null;
    if (!c) return h('section', { class: 'sheet' }, head, h('p', { class: 'empty' }, run.withoutCurves ? `The page has curves of ${count(Object.keys(run.services).length)} services of this run, those in most trouble; timeline.csv has all.` : 'No samples of this service were taken.'));
    const whole = run.segments[0]?.services.find(v => v.service === name), degraded = whole && whole.degraded > 0 ? share(ratio(whole.degraded, whole.requests)) : '';
    const noErrors = degraded ? `no errors, but ${degraded} of the answers were degraded` : 'no errors in the whole run';
    const codes = Object.keys(c.codes || {}).sort(), held = Object.keys(c.held || {}).sort();
    const named = (keys, from, text) => keys.map((k, i) => ({ name: text(k), values: from[k], look: lookOf('', i + 1) }));
    const figures = [
      chart(c.t, [{ name: 'requests', values: c.rate, look: looks.ok, fill: true }], options('service:rate', 'Requests per second', number)),
      chart(c.t, named(codes, c.codes || {}, k => (/^\d+$/.test(k) ? 'status ' + k : words(k))), options('service:errors', 'Errors it answered with, per second', number, { empty: noErrors })),
      this.latencyChart(options('service:latency', 'Latency', seconds), c),
      chart(c.t, [{ name: 'in flight', values: c.inFlight, look: looks.ok }, { name: 'waiting', values: c.queue, look: looks.timeout }], options('service:queue', 'In flight and queue', number, { top: 1, least: 1 })),
    ];
    const failed = this.classCurves(c, v => v !== 'ok');
    if (failed.length) figures.push(chart(c.t, failed, options('service:calls', 'Its calls that went wrong, per second', number)));
    if (c.lag) {
      figures.push(chart(c.t, [{ name: 'messages', values: c.lag, look: looks.timeout, fill: true }], options('service:lag', 'Lag: messages not consumed yet', number, { top: 1, least: 1 })));
      figures.push(chart(c.t, [{ name: 'age', values: c.lagAge, look: looks.timeout }], options('service:lag-age', 'Age of the oldest message not consumed', seconds)));
    }
    if (held.length) figures.push(chart(c.t, named(held, c.held, k => 'to ' + k), options('service:breaker', 'Breakers: share of calls held back', share, { top: 1 })));
    if (c.up.some((v, i) => v < c.replicas[i])) figures.push(chart(c.t, [{ name: 'replicas that answer', values: c.up, look: looks.ok }, { name: 'replicas', values: c.replicas, look: { color: 'var(--c-gray)', dash: '6 4' } }], options('service:up', 'Replicas', number, { top: 1, least: 1 })));
    if (c.cpu && c.cpu.length) figures.push(chart(c.t, [{ name: 'cores', values: c.cpu, look: looks.breaker_open }], options('service:cpu', 'Processors in use', number)));
    if (c.memory && c.memory.length) figures.push(chart(c.t, [{ name: 'memory', values: c.memory, look: looks.connection_error }], options('service:memory', 'Memory', bytes, { unit: 2 ** 20 })));
    return h('section', { class: 'sheet' }, head, c.merged > 1 ? h('p', { class: 'soft' }, `Each point stands for up to ${c.merged} samples.`) : null, h('div', { class: 'charts' }, figures), this.callTable(name));
  }

  // guess is the service that is most worth a look: where the first fault acted.
  guess() {
    const f = this.run.faults.find(v => v.applied && this.services.includes(v.service));
    return f ? f.service : this.services[0] || '';
  }

  callTable(name) {
    const calls = this.segment.edges.filter(e => e.caller === name || e.callee === name);
    if (!calls.length) return null;
    const classes = this.data.classes.filter(k => k !== 'ok' && calls.some(e => (e.outcomes || {})[k]));
    const row = e => h('tr', {}, h('td', { class: 'left' }, e.caller === name ? 'to ' + e.callee : 'from ' + e.caller), h('td', {}, count(e.calls)), h('td', {}, number(e.rate)), h('td', { class: 'mark' + (e.errors ? ' worse' : '') }, share(ratio(e.errors, e.calls))),
      classes.map(k => h('td', {}, count((e.outcomes || {})[k] || 0))), h('td', {}, quantile(e.latency, 'p50')), h('td', {}, quantile(e.latency, 'p99')));
    return [h('h3', {}, `Calls of ${name}, ${longName(this.segment)}`), table([{ text: 'call', left: true }, 'calls', 'per s', 'errors', ...classes.map(words), 'p50', 'p99'], calls.map(row), { label: 'Calls of ' + name })];
  }

  // worst are the services that are listed: all in their order or, of many, those
  // that did worst.
  worst(stats) {
    if (this.services.length <= most) return this.services;
    const harm = name => { const v = stats.get(name); return v ? [ratio(v.errors, v.requests) || 0, 1 - v.availability, ratio(v.degraded, v.requests) || 0, (v.latency && v.latency.p99) || 0] : [0, 0, 0, 0]; };
    const ranked = this.services.map(name => [name, harm(name)]);
    ranked.sort(([, a], [, b]) => { const i = a.findIndex((v, j) => v !== b[j]); return i < 0 ? 0 : b[i] - a[i]; });
    return ranked.slice(0, most).map(([name]) => name);
  }

  table() {
    const { run, segment } = this, windows = windowsOf(run.faults), end = endOf(run);
    if (!segment) return null;
    const stats = new Map(segment.services.map(v => [v.service, v]));
    const row = name => {
      const v = stats.get(name), c = run.services[name], l = v && v.latency;
      const curve = (values, look, label) => h('td', { class: 'chartcell' }, c ? spark(c.t, values, look, end, windows, `${label} of ${name}`) : null);
      return h('tr', { class: name === this.state.service ? 'chosen' : null, 'data-service': name },
        h('th', { scope: 'row', class: 'left' }, h('button', { type: 'button', 'data-pick': name, title: 'show ' + name, onclick: () => this.chooseService(name) }, name)),
        run.environment.runtimes ? h('td', { class: 'left' }, run.environment.runtimes[name] || '') : null,
        h('td', {}, number(v && v.rate)), c ? curve(c.rate, looks.ok, 'requests') : h('td', {}),
        h('td', { class: 'mark' + (v && v.errors ? ' worse' : '') }, share(v ? ratio(v.errors, v.requests) : null)), c ? curve(c.errors, looks.http_error, 'errors') : h('td', {}),
        h('td', {}, quantile(l, 'p50')), h('td', {}, quantile(l, 'p99')), c ? curve(c.p99, looks.p99, 'p99') : h('td', {}),
        h('td', {}, count(v && v.maxInFlight)), h('td', {}, count(v && v.maxQueueLength)), h('td', { class: v && v.availability < 0.995 ? 'fail' : null }, share(v && v.availability)));
    };
    const wide = text => h('th', { scope: 'colgroup', colspan: 2 }, text), runtimes = run.environment.runtimes;
    return h('section', { class: 'sheet long' }, h('div', { class: 'row' }, h('h2', {}, 'Every service, ' + longName(segment)), h('span', { class: 'soft' }, `figures of ${moment(segment.from)} to ${moment(segment.to)}, curves of the whole run, each on its own scale`)),
      table([{ text: 'service', left: true }, ...(runtimes ? [{ text: 'runtime', left: true }] : []), wide('requests per second'), wide('errors'), 'p50', wide('p99'), 'most in flight', 'most waiting', 'up'], this.worst(stats).map(row), { label: 'Every service' }),
      this.services.length > most ? h('p', { class: 'soft' }, `The ${most} services that did worst are listed, of ${this.services.length}; pick the others above.`) : null);
  }

  latency() {
    const all = this.run.histograms;
    if (!all.length) return null;
    const now = all[this.state.histogram] || all[0], l = now.latency;
    return h('section', { class: 'sheet' }, h('div', { class: 'row' }, h('h2', {}, 'Latency of the clients, whole run'), all.length > 1 ? picker('Of', all.map((v, i) => ({ value: String(i), text: v.name })), String(this.state.histogram), i => { this.state.histogram = Number(i); this.show(['latency']); }) : null),
      bars(now, { height: 260 }), h('p', { class: 'soft' }, `From the intended start, so that waiting for a late start counts. Least ${seconds(l.min)}, mean ${seconds(l.mean)}, p99.9 ${seconds(l.p999)}, longest ${seconds(l.max)}. The scale is logarithmic.`));
  }

  judged() {
    const { run } = this;
    const failed = c => (c.pass ? 1 : 0), checks = run.checks.slice().sort((a, b) => failed(a) - failed(b)).map(c => h('tr', {}, h('td', { class: 'left ' + (c.pass ? 'pass' : 'fail') }, h('b', {}, c.pass ? '✓ PASS' : '✕ FAIL')), h('td', { class: 'left mono' }, c.check), h('td', { class: 'left' }, c.subject + (c.phase ? ', ' + c.phase : '')), h('td', { class: 'left wrap' }, c.why)));
    return h('section', { class: 'sheet' }, h('h2', {}, 'Checks'), checks.length ? table([{ text: 'result', left: true }, { text: 'check', left: true }, { text: 'of', left: true }, { text: 'found', left: true }], checks, { label: 'Checks', cards: true }) : h('p', { class: 'empty' }, 'The experiment has no checks.'));
  }

  predicted() {
    const p = this.run.prediction;
    if (!p) return null;
    const rows = p.rows.map(([name, ...values]) => h('tr', {}, h('td', { class: 'left' }, name), values.map(v => h('td', {}, v))));
    return h('section', { class: 'sheet' }, h('h2', {}, 'Predicted in virtual time'), table([{ text: 'clients', left: true }, 'real', 'predicted', 'error'], rows, { label: 'Predicted in virtual time' }),
      h('p', { class: 'soft' }, `${count(p.alike)} of ${count(p.both)} requests were answered as predicted; ${p.costs}.`));
  }

  explained() {
    const x = this.run.explanation, soon = 8;
    if (!x) return null;
    const row = (l, i, all) => h('tr', {}, h('td', { class: 'left soft' }, i && moment(all[i - 1].at) === moment(l.at) ? '' : moment(l.at)), h('td', { class: 'left wrap' }, l.text));
    const lines = (list, label) => table([{ text: 'at', left: true }, { text: 'what the record shows', left: true }], list.map(row), { label });
    const rest = x.lines.slice(soon + 2 >= x.lines.length ? x.lines.length : soon);
    return h('section', { class: 'sheet' }, h('h2', {}, 'Why'), x.trouble ? lines(x.lines.slice(0, x.lines.length - rest.length), 'Why') : h('p', {}, x.lines.map(l => l.text).join(' ')),
      x.trouble && rest.length ? h('details', { class: 'more' }, h('summary', {}, `What followed: ${rest.length} more lines`), lines(rest, 'What followed')) : null);
  }

  events() {
    const { run } = this, cell = (text, more) => h('td', { class: 'left ' + (more || '') }, text);
    const when = f => (f.error ? 'failed: ' + f.error : !f.applied ? 'did not act' : f.moment ? 'at ' + moment(f.from) : moment(f.from) + (f.cleared ? ' to ' + moment(f.to) : ' to the end') + (f.gaps.length ? ', not all the time: ' + f.gaps.join('; ') : ''));
    const hits = f => (!f.applied || f.hits < 0 ? '' : count(f.hits));
    const faults = run.faults.map(f => h('tr', {}, cell(f.label + (f.round ? `, round ${f.round}` : ''), 'wrap'), cell(when(f), f.error || !f.applied || f.gaps.length ? 'fail wrap' : ''), cell(`${moment(f.plannedFrom)} to ${moment(f.plannedTo)}`, 'soft'), cell(f.replicas.length > 4 ? f.replicas.length + ' replicas' : f.replicas.join(', ') || f.victim, 'wrap'), h('td', {}, hits(f))));
    const changes = (run.changes || []).map(c => h('tr', {}, cell(c.what, 'wrap'), cell(c.error ? 'failed: ' + c.error : moment(c.at), c.error ? 'fail wrap' : '')));
    const outages = run.recoveries.map(r => h('tr', {}, cell(r.replica), cell(r.fault || 'by itself', 'soft'), h('td', {}, moment(r.downAt)), h('td', {}, r.detected ? seconds(r.detection) : 'not seen'), h('td', { class: r.ready ? '' : 'fail' }, r.ready ? seconds(r.took) : 'not ready again')));
    return h('div', { class: 'pair' },
      h('section', { class: 'sheet' }, h('h2', {}, 'Faults that acted'), faults.length ? table([{ text: 'fault', left: true }, { text: 'acted', left: true }, { text: 'planned', left: true }, { text: 'on', left: true }, 'requests hit'], faults, { label: 'Faults' }) : h('p', { class: 'empty' }, 'No fault was asked for.'), changes.length ? [h('h3', {}, 'Changed by hand while it ran'), table([{ text: 'what', left: true }, { text: 'since', left: true }], changes, { label: 'Changes by hand' })] : null),
      h('section', { class: 'sheet' }, h('h2', {}, 'Replica outages'), outages.length ? table([{ text: 'replica', left: true }, { text: 'because of', left: true }, 'down at', 'seen after', 'ready after'], outages, { label: 'Replica outages' }) : h('p', { class: 'empty' }, 'No replica was down.')));
  }

  alerts() {
    const a = this.run.alerts, cell = (text, more) => h('td', { class: 'left ' + (more || '') }, text);
    if (!a) return null;
    const rows = a.fired.map(f => h('tr', {}, cell(f.alert, 'wrap'), cell(f.service), cell(moment(f.from) + (f.resolved ? ' to ' + moment(f.last) : ' to the end')), h('td', { class: 'left soft' }, f.fault ? `${seconds(f.after)} after ${f.fault}` : '')));
    return h('section', { class: 'sheet' }, h('h2', {}, 'Alerts'),
      rows.length ? table([{ text: 'alert', left: true }, { text: 'service', left: true }, { text: 'fired', left: true }, { text: 'detected', left: true }], rows, { label: 'Alerts' }) : h('p', { class: 'empty' }, `None of ${count(a.evaluated)} alerts fired.`),
      a.left ? h('p', { class: 'soft' }, `${count(a.left)} more fired; result.json has them.`) : null, a.trouble ? h('p', { class: 'fail' }, 'Not all is known: ' + a.trouble) : null);
  }

  inputs() {
    if (!this.data.inputs) return null;
    return h('section', { class: 'sheet long' }, h('details', {}, h('summary', {}, 'The experiment, as it was run'), h('pre', { tabindex: '0' }, h('code', {}, this.data.inputs))));
  }

  foot() {
    return [h('p', { class: 'keys' }, 'Keys: ', h('kbd', {}, '1'), ' to ', h('kbd', {}, String(Math.min(9, this.shown.length))), ' choose a segment, ', h('kbd', {}, 'Tab'), ' goes from service to service and from chart to chart, ', h('kbd', {}, 'Enter'), ' picks a service, ', h('kbd', {}, '←'), ' and ', h('kbd', {}, '→'), ' read a chart, ', h('kbd', {}, 't'), ' changes dark and light.')];
  }
}

// mark is a selector that finds an element again after it was drawn anew.
function mark(e) {
  for (const name of ['data-node', 'data-pick', 'data-sort', 'data-theme-button']) if (e.hasAttribute(name)) return `[${name}="${CSS.escape(e.getAttribute(name))}"]`;
  if (e.matches('input[type=radio]')) return `input[name="${e.name}"]:checked`;
  return e.tagName === 'SELECT' ? 'select' : null;
}

start();
