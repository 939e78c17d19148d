// Curves over time, in SVG at the size they are shown in. A chart is described
// once and drawn again when its width changes.

// Looks of curves: colour and dashes together, so that neither is needed alone.
const looks = {
  ok: { color: 'var(--c-blue)', dash: '' },
  http_error: { color: 'var(--c-red)', dash: '' },
  failed_hop: { color: 'var(--c-red)', dash: '8 3' },
  connection_error: { color: 'var(--c-purple)', dash: '7 4' },
  timeout: { color: 'var(--c-orange)', dash: '2 4' },
  breaker_open: { color: 'var(--c-green)', dash: '10 3 2 3' },
  rejected: { color: 'var(--c-sky)', dash: '5 2' },
  malformed: { color: 'var(--c-gray)', dash: '1 3' },
  dropped: { color: 'var(--ink)', dash: '4 4' },
  cancelled: { color: 'var(--c-gray)', dash: '' },
  p50: { color: 'var(--c-blue)', dash: '' },
  p90: { color: 'var(--c-green)', dash: '7 4' },
  p99: { color: 'var(--c-red)', dash: '2 4' },
};
const spareLooks = ['ok', 'http_error', 'breaker_open', 'connection_error', 'timeout', 'rejected'].map(name => looks[name]);
const lookOf = (name, i) => looks[name] || spareLooks[i % spareLooks.length];

// charts are all that are on the page now, to move their cross-hairs together.
const charts = new Set();

function swatch(look) {
  return s('svg', { viewBox: '0 0 28 10', 'aria-hidden': 'true' },
    s('line', { x1: 1, x2: 27, y1: 5, y2: 5, 'stroke-width': 3, 'stroke-dasharray': look.dash, stroke: look.color }));
}

// chart makes a figure of curves {name, values, look, fill}; values stand beside
// the times t. Bands {low, high, look} are drawn behind. Options: title, note,
// format, end (of the time axis), windows (faults), choice ([from, to]), top
// (the least upper end of the scale), least (between steps of the scale), unit
// (in which steps are round), height.
function chart(t, curves, options) {
  const figure = h('figure', { 'data-chart': options.id },
    h('figcaption', {}, h('b', {}, options.title), options.note ? h('span', {}, options.note) : null));
  if (options.legend !== false) {
    figure.append(h('div', { class: 'legend' }, curves.map(c => h('span', {}, swatch(c.look), c.name))));
  }
  if (!t || t.length === 0 || curves.length === 0) {
    figure.append(h('p', { class: 'empty' }, options.empty || 'nothing was seen'));
    return figure;
  }
  // The height is set here and not by drawing, so that drawing changes no sizes.
  const svg = s('svg', { class: 'chart', height: heightOf(options), tabindex: '0', role: 'img', 'aria-label': spoken(curves, options) });
  figure.append(svg, values(options.title, ['time', ...curves.map(c => c.name)], () => t.map((at, i) => [moment(at), ...curves.map(c => options.format(c.values[i]))])));
  const c = { svg, t, curves, options, bands: options.bands || [], draw: () => draw(c) };
  svg.addEventListener('pointermove', e => point(c, timeAt(c, e.clientX), e));
  svg.addEventListener('pointerleave', () => point(c, null));
  svg.addEventListener('blur', () => point(c, null));
  svg.addEventListener('keydown', e => step(c, e));
  charts.add(c);
  widths.observe(svg);
  svg.chart = c;
  return figure;
}

// values is what a drawing shows, as a table below it, made when it is opened. The rows
// are texts; the first of each names it.
function values(title, titles, rows) {
  const details = h('details', { class: 'values' }, h('summary', {}, 'Values', h('span', { class: 'hidden' }, ' of ' + title)));
  details.addEventListener('toggle', () => {
    if (!details.open || details.children.length > 1) return;
    details.append(h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'values of ' + title }, h('table', {},
      h('thead', {}, h('tr', {}, titles.map(t => h('th', { scope: 'col' }, t)))),
      h('tbody', {}, rows().map(([name, ...cells]) => h('tr', {}, h('th', { scope: 'row' }, name), cells.map(v => h('td', {}, v))))))));
  });
  return details;
}

const heightOf = options => options.height || 210;

const widths = new ResizeObserver(entries => { for (const e of entries) e.target.chart.draw(); });

// drawAll draws the charts that came to the page since the last time.
function drawAll() {
  for (const c of charts) if (!c.drawn && c.svg.isConnected) c.draw();
}

// forget lets go of the charts inside an element that is to be emptied.
function forget(element) {
  for (const c of charts) if (element.contains(c.svg)) { charts.delete(c); widths.unobserve(c.svg); }
}

function spoken(curves, options) {
  const most = curves.map(c => { const v = c.values.filter(known); return v.length ? `${c.name} up to ${options.format(Math.max(...v))}` : `${c.name} not known`; });
  return `${options.title}: ${most.join(', ')}. Arrow keys read the values.`;
}

// steps are round values from 0 up to at least the most, at least so far apart.
function steps(most, wanted, least) {
  const raw = Math.max(most / wanted, least || 0), power = 10 ** Math.floor(Math.log10(raw));
  const size = [1, 2, 2.5, 5, 10].map(f => f * power).find(v => v >= raw * 0.999);
  const values = [];
  for (let i = 0; i * size < most + size * 0.999; i++) values.push(i * size);
  return values;
}

function timeSteps(end, wanted) {
  const sizes = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600];
  const size = sizes.find(v => end / v <= wanted) || end / wanted;
  const values = [];
  for (let i = 0; i * size <= end * 1.0001; i++) values.push(i * size);
  return values;
}

// scales computes where values and times are in the drawing.
function scales(c) {
  const o = c.options, width = Math.max(120, c.svg.clientWidth), height = heightOf(o);
  const all = c.curves.flatMap(k => k.values).concat(c.bands.flatMap(b => b.high)).filter(known);
  const unit = o.unit || 1, ticks = steps((Math.max(o.top || 0, ...all) || 1) / unit, height > 150 ? 4 : 2, o.least).map(v => v * unit), most = ticks[ticks.length - 1];
  const letter = 0.6 * parseFloat(getComputedStyle(c.svg).fontSize) || 7.5;
  const left = 12 + letter * Math.max(...ticks.map(v => o.format(v).length)), right = 12, bottom = 24;
  const end = o.end || c.t[c.t.length - 1], x = v => left + (width - left - right) * v / end;
  const labels = labelsOf(o.windows || [], v => x(Math.min(Math.max(0, v), end)), left, width - 4, letter * 1.12); // bold
  const top = 10 + 16 * labels.rows;
  return Object.assign(c, {
    width, height, labels, left, right, top, bottom, ticks, end,
    x,
    y: v => height - bottom - (height - top - bottom) * v / most,
  });
}

// lone marks a value that has no neighbour, which no line would show.
const lone = 'm-2,0a2,2 0 1,0 4,0a2,2 0 1,0 -4,0';

// line is the path of values; a value that is not known parts it.
function line(c, values) {
  let d = '', pen = 'M', points = 0, alone = false;
  values.forEach((v, i) => {
    if (!known(v)) { if (alone) d += lone; pen = 'M'; alone = false; return; }
    d += pen + c.x(c.t[i]).toFixed(1) + ',' + c.y(v).toFixed(1);
    alone = pen === 'M'; pen = 'L'; points++;
  });
  return { d: alone ? d + lone : d, points };
}

function area(c, low, high) {
  let d = '', run = [];
  const close = () => {
    if (run.length > 1) {
      d += 'M' + run.map(i => c.x(c.t[i]).toFixed(1) + ',' + c.y(high[i]).toFixed(1)).join('L') + 'L' +
        run.slice().reverse().map(i => c.x(c.t[i]).toFixed(1) + ',' + c.y(low ? low[i] : 0).toFixed(1)).join('L') + 'Z';
    }
    run = [];
  };
  high.forEach((v, i) => (known(v) ? run.push(i) : close()));
  close();
  return d;
}

function draw(c) {
  if (c.svg.clientWidth === 0) return;
  scales(c);
  const { svg, width, height, left, right, top, bottom, options: o } = c, floor = height - bottom;
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  const parts = [];
  parts.push(windows(c));
  for (const v of c.ticks) {
    parts.push(s('line', { class: 'grid', x1: left, x2: width - right, y1: c.y(v), y2: c.y(v) }),
      s('text', { x: left - 7, y: c.y(v) + 4.5, 'text-anchor': 'end' }, o.format(v)));
  }
  const times = timeSteps(c.end, Math.max(2, (width - left) / 85));
  times.forEach(v => parts.push(s('line', { class: 'axis', x1: c.x(v), x2: c.x(v), y1: floor, y2: floor + 4 }),
    s('text', { x: c.x(v), y: height - 5, 'text-anchor': c.x(v) > width - 24 ? 'end' : 'middle' }, v === 0 ? '0' : moment(v))));
  parts.push(s('line', { class: 'axis', x1: left, x2: width - right, y1: floor, y2: floor }));
  if (o.choice) parts.push(s('line', { class: 'choice', x1: c.x(o.choice[0]), x2: c.x(Math.min(o.choice[1], c.end)), y1: floor, y2: floor }));
  for (const b of c.bands) parts.push(s('path', { class: 'fill', d: area(c, b.low, b.high), fill: b.look.color, 'data-band': b.name }));
  for (const k of c.curves) {
    if (k.fill) parts.push(s('path', { class: 'fill', d: area(c, null, k.values), fill: k.look.color }));
    const { d, points } = line(c, k.values);
    parts.push(s('path', { class: 'curve', d, stroke: k.look.color, 'stroke-dasharray': k.look.dash, 'stroke-width': k.thin ? 1.2 : null, opacity: k.thin ? 0.45 : null, 'data-curve': k.name, 'data-points': points }));
  }
  c.cross = s('g', {});
  c.drawn = true;
  svg.replaceChildren(...parts.flat(), c.cross);
}

// labelsOf are the names of windows, in as few rows as hold them, three at most.
// Windows that begin together have one label.
function labelsOf(windows, x, left, right, letter) {
  const all = [], ends = [];
  for (const w of windows.slice().sort((a, b) => a.from - b.from)) {
    const at = x(w.from), last = all[all.length - 1];
    if (!last || at > last.at + 6) all.push({ at, names: [w.label] });
    else if (!last.names.includes(w.label)) last.names.push(w.label);
  }
  for (const l of all) {
    const whole = l.names.join(' + '), from = Math.max(left, Math.min(l.at + 2, right - whole.length * letter)), fits = Math.floor((right - from) / letter);
    let row = ends.findIndex(end => end <= from);
    if (row < 0) row = ends.length;
    // What finds no room is told by the note at the cross-hair only.
    l.text = row > 2 ? '' : whole.length <= fits ? whole : whole.slice(0, Math.max(0, fits - 1)) + '…';
    if (row <= 2) ends[row] = from + l.text.length * letter + 6;
    Object.assign(l, { whole, from, row });
  }
  return { all, rows: ends.length };
}

// windows shades when faults acted.
function windows(c) {
  const parts = [], top = c.top - 4, floor = c.height - c.bottom;
  for (const w of c.options.windows || []) {
    const x1 = c.x(Math.min(Math.max(0, w.from), c.end)), x2 = c.x(Math.min(w.to, c.end));
    parts.push(s('rect', { class: 'window', x: x1, y: top, width: Math.max(1.5, x2 - x1), height: floor - top }, s('title', {}, w.label)),
      ...[...new Set([x1, x2])].map(x => s('line', { class: 'window-edge', x1: x, x2: x, y1: top, y2: floor })));
  }
  // A label further up has a line down to its window. The earliest is the
  // highest, so that lines and later labels do not cross.
  const shown = c.labels.all.filter(v => v.text), y = l => top - 5 - 16 * (c.labels.rows - 1 - l.row);
  for (const l of shown) parts.push(s('line', { class: 'window-edge', x1: l.at, x2: l.at, y1: y(l) - 8, y2: top }));
  for (const l of shown) parts.push(s('text', { class: 'window-label', x: l.from + 2, y: y(l) }, s('title', {}, l.whole), l.text));
  return parts;
}

function timeAt(c, clientX) {
  const box = c.svg.getBoundingClientRect();
  return (clientX - box.left - c.left) / (c.width - c.left - c.right) * c.end;
}

function nearest(t, at) {
  let low = 0, high = t.length - 1;
  while (high - low > 1) { const mid = (low + high) >> 1; if (t[mid] < at) low = mid; else high = mid; }
  return Math.abs(t[low] - at) <= Math.abs(t[high] - at) ? low : high;
}

// step moves the cross-hair with the keys.
function step(c, e) {
  const last = c.t.length - 1, now = c.at ?? -1;
  const to = { ArrowRight: Math.min(last, now + 1), ArrowLeft: Math.max(0, now < 0 ? last : now - 1), Home: 0, End: last, PageUp: Math.max(0, now - 10), PageDown: Math.min(last, now + 10) }[e.key];
  if (e.key === 'Escape') point(c, null);
  if (to === undefined) return;
  e.preventDefault();
  point(c, c.t[to]);
}

// point shows the values at a time in one chart, and the cross-hair in all.
function point(c, at, event) {
  for (const other of charts) if (other.cross && other.options.linked !== false) cross(other, at);
  if (at === null || !c.t.length) { c.at = null; tip(null); return; }
  c.at = nearest(c.t, at);
  const i = c.at, shown = c.curves.filter(k => !k.thin);
  const acting = (c.options.windows || []).filter(w => !w.change && w.from <= c.t[i] && c.t[i] <= w.to).map(w => w.label);
  const rows = shown.map(k => h('tr', {}, h('td', {}, swatch(k.look)), h('td', { class: 'left' }, k.name), h('td', {}, c.options.format(k.values[i]))));
  const box = c.svg.getBoundingClientRect();
  tip([h('b', {}, `${c.options.title}, at ${moment(c.t[i])}`), h('table', {}, h('tbody', {}, rows)), acting.length ? h('span', { class: 'soft' }, 'fault: ' + [...new Set(acting)].join(', ')) : null],
    event ? event.clientX : box.left + c.x(c.t[i]), event ? event.clientY : box.top + 30);
}

function cross(c, at) {
  if (at === null) { c.cross.replaceChildren(); return; }
  const i = nearest(c.t, at), x = c.x(c.t[i]);
  c.cross.replaceChildren(s('line', { class: 'cross', x1: x, x2: x, y1: c.top - 4, y2: c.height - c.bottom }),
    ...c.curves.filter(k => known(k.values[i]) && !k.thin).map(k => s('circle', { class: 'dot', cx: x, cy: c.y(k.values[i]), r: 4.5, fill: k.look.color })));
}

// tip shows a note beside a point of the window; null hides it.
function tip(content, x, y) {
  let box = document.getElementById('tip');
  if (!box) document.body.append(box = h('div', { class: 'tip', id: 'tip', role: 'status', hidden: true }));
  box.hidden = content === null;
  if (content === null) return;
  box.replaceChildren(...content.filter(Boolean));
  const { offsetWidth: w, offsetHeight: hgt } = box;
  box.style.left = Math.max(4, x + 18 + w > innerWidth ? x - w - 18 : x + 18) + 'px';
  box.style.top = Math.max(4, Math.min(y + 14, innerHeight - hgt - 4)) + 'px';
}

// spark is a small curve for a cell of a table.
function spark(t, values, look, end, windows, label, most) {
  const width = 150, height = 30, all = values.filter(known), top = Math.max(most || 0, ...all) || 1;
  const c = { t, x: v => 2 + (width - 4) * v / end, y: v => height - 3 - (height - 6) * v / top };
  const { d, points } = line(c, values);
  return s('svg', { class: 'chart spark', viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label },
    windows.map(w => s('rect', { class: 'window', x: c.x(Math.max(0, w.from)), width: Math.max(1, c.x(Math.min(w.to, end)) - c.x(Math.max(0, w.from))), y: 0, height })),
    s('path', { class: 'fill', d: area(c, null, values), fill: look.color }),
    s('path', { class: 'curve', d, stroke: look.color, 'stroke-width': 1.6, 'data-points': points }));
}

// bars draws a latency distribution on a logarithmic scale.
function bars(histogram, options) {
  const figure = h('figure', { 'data-chart': 'histogram' }), latency = histogram.latency;
  const svg = s('svg', { class: 'chart', height: options.height, role: 'img', tabindex: '0', 'aria-label': `Latency of ${histogram.name}: p50 ${seconds(latency.p50)}, p90 ${seconds(latency.p90)}, p99 ${seconds(latency.p99)}, longest ${seconds(latency.max)}` });
  const c = { svg, t: [], curves: [], bands: [], options: { linked: false } };
  c.draw = () => drawBars(c, histogram, options);
  const edge = i => seconds(10 ** ((histogram.first + i) / histogram.perDecade));
  figure.append(svg, values('latency of ' + histogram.name, ['latency', 'requests'], () => histogram.counts.flatMap((n, i) => (n ? [[`${edge(i)} to ${edge(i + 1)}`, count(n)]] : []))));
  svg.chart = c;
  charts.add(c);
  widths.observe(svg);
  return figure;
}

function drawBars(c, histogram, options) {
  const width = Math.max(120, c.svg.clientWidth), height = options.height, left = 52, right = 16, top = 62, bottom = 26;
  const { first, perDecade, counts, latency } = histogram, n = counts.length, floor = height - bottom;
  const total = counts.reduce((a, b) => a + b, 0), ticks = steps(Math.max(...counts), 3), most = ticks[ticks.length - 1];
  const padded = Math.max(n + 2, 8), begin = first - Math.floor((padded - n) / 2);
  const x = v => left + (width - left - right) * (Math.log10(v) * perDecade - begin) / padded, y = v => floor - (floor - top) * v / most;
  const parts = ticks.map(v => [s('line', { class: 'grid', x1: left, x2: width - right, y1: y(v), y2: y(v) }), s('text', { x: left - 7, y: y(v) + 4.5, 'text-anchor': 'end' }, number(v))]);
  const edge = i => 10 ** ((first + i) / perDecade);
  counts.forEach((v, i) => {
    if (!v) return;
    const bar = s('rect', { class: 'bar', x: x(edge(i)) + 0.5, width: Math.max(1, x(edge(i + 1)) - x(edge(i)) - 1), y: Math.min(y(v), floor - 1.5), height: Math.max(1.5, floor - y(v)), 'data-count': v });
    const lines = [h('b', {}, `${seconds(edge(i))} to ${seconds(edge(i + 1))}`), `${count(v)} requests, ${share(v / total)}`];
    bar.addEventListener('pointermove', e => tip(lines, e.clientX, e.clientY));
    bar.addEventListener('pointerleave', () => tip(null));
    parts.push(bar);
  });
  const crowded = (x(10) - x(1)) < 330, marks = crowded ? [1] : [1, 2, 5];
  for (let power = Math.floor(begin / perDecade); power <= Math.ceil((begin + padded) / perDecade); power++) {
    for (const m of marks) {
      const v = m * 10 ** power;
      if (x(v) < left || x(v) > width - right - 10) continue;
      parts.push(s('line', { class: 'axis', x1: x(v), x2: x(v), y1: floor, y2: floor + 4 }), s('text', { x: x(v), y: height - 6, 'text-anchor': 'middle' }, seconds(v)));
    }
  }
  parts.push(s('line', { class: 'axis', x1: left, x2: width - right, y1: floor, y2: floor }));
  [['p50', latency.p50], ['p90', latency.p90], ['p99', latency.p99]].forEach(([name, v], i) => {
    const at = x(v), up = 14 + i * 16, flip = at > width * 0.7;
    parts.push(s('line', { class: 'tick', x1: at, x2: at, y1: up - 10, y2: floor }), s('text', { class: 'strong', x: at + (flip ? -5 : 5), y: up, 'text-anchor': flip ? 'end' : 'start' }, `${name} ${seconds(v)}`));
  });
  c.svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  c.svg.replaceChildren(...parts.flat());
  c.drawn = true;
}
