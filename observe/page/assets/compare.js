// Variants beside each other: figures with intervals, and their curves.

const compared = [
  { key: 'offered', text: 'offered/s', format: number, better: 1 },
  { key: 'good', text: 'goodput/s', format: number, better: 1 },
  { key: 'share', text: 'errors', format: share, better: -1 },
  { key: 'degraded', text: 'degraded', format: share, better: -1, optional: true },
  { key: 'p50', text: 'p50', format: seconds, better: -1 },
  { key: 'p99', text: 'p99', format: seconds, better: -1 },
];
const variantName = name => name || 'as it is';

function variantTable(data, key, several, sort, resort) {
  const comparison = data.comparison.find(c => c.key === key) || data.comparison[0], rows = comparison.rows.slice();
  const failed = data.classes.filter(name => comparison.rows.some(r => name in r.figures)).map(name => ({ key: name, text: words(name) + ', requests', format: number, better: -1 }));
  const any = c => comparison.rows.some(r => r.figures[c.key]?.mean > 0);
  const columns = [...compared.filter(c => !c.optional || any(c)), ...failed], column = columns.find(c => c.key === sort.key);
  if (column) rows.sort((a, b) => sort.way * ((a.figures[sort.key]?.mean ?? Infinity) - (b.figures[sort.key]?.mean ?? Infinity)));
  // Where nothing failed, the answers tell more than a column of noughts.
  const telling = comparison.rows.some(r => r.figures.share?.mean > 0) ? 'share' : 'good';
  const shown = columns.find(c => c.key === (column ? sort.key : telling));
  const most = Math.max(1e-12, ...comparison.rows.map(r => { const f = r.figures[shown.key]; return f ? Math.max(f.high ?? 0, ...f.values) : 0; }));
  const sorter = c => h('th', { scope: 'col', 'aria-sort': c === column ? (sort.way > 0 ? 'ascending' : 'descending') : null },
    h('button', { type: 'button', 'data-sort': c.key, title: 'sort by ' + c.text, onclick: () => resort({ key: c.key, way: c === column ? -sort.way : -c.better }) }, c.text + (c === column ? (sort.way > 0 ? ' ▲' : ' ▼') : ' ⇅')));
  const heads = [{ text: 'variant', left: true }, 'checks', { text: shown.text + (several ? ', each run' : ''), left: true }, ...columns.map(sorter)];
  return table(heads, rows.map(r => h('tr', { 'data-variant': r.variant },
    h('th', { scope: 'row', class: 'left wrap' }, variantName(r.variant), several || r.incomplete ? h('span', { class: 'interval' }, runsText(r)) : null),
    h('td', { class: r.passed < r.checks ? 'fail' : r.checks ? 'pass' : '' }, r.checks ? `${r.passed < r.checks ? '✕' : '✓'} ${r.passed} of ${r.checks}` : unknown),
    h('td', { class: 'left chartcell' }, intervalPlot(r.figures[shown.key], most, shown)),
    columns.map(c => h('td', {}, figureCell(r.figures[c.key], c.format))))), { label: 'Variants' });
}

function runsText(r) { return `${r.runs} run${r.runs === 1 ? '' : 's'}${r.incomplete ? `, ${r.incomplete} incomplete` : ''}`; }

function figureCell(f, format) {
  if (!f) return unknown;
  return [format(f.mean), known(f.low) && format(f.low) !== format(f.high) ? h('span', { class: 'interval' }, `${format(f.low)} to ${format(f.high)}`) : null];
}

// intervalPlot shows every run as a dot, the mean as a stroke and the interval
// as a bar.
function intervalPlot(f, most, column) {
  if (!f) return '';
  const width = 150, height = 28, x = v => 6 + (width - 12) * Math.min(1, v / most);
  return s('svg', { class: 'plot', width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': `${column.text}: mean ${column.format(f.mean)}` },
    s('line', { stroke: 'var(--line)', x1: 6, x2: width - 6, y1: 14, y2: 14 }),
    known(f.low) ? s('rect', { x: x(f.low), y: 8, width: Math.max(2, x(f.high) - x(f.low)), height: 12, rx: 3, fill: 'var(--c-blue)', opacity: 0.25 }) : null,
    f.values.map(v => s('circle', { cx: x(v), cy: 14, r: 3.5, fill: 'none', stroke: 'var(--c-blue)', 'stroke-width': 1.5 })),
    s('line', { x1: x(f.mean), x2: x(f.mean), y1: 4, y2: 24, stroke: 'var(--ink)', 'stroke-width': 2.5 }));
}

const overlaid = [
  { key: 'good', text: 'goodput per second', look: looks.ok, format: number },
  { key: 'offered', text: 'offered per second', look: { color: 'var(--c-gray)', dash: '' }, format: number },
  { key: 'errors', text: 'errors per second', look: looks.http_error, format: number },
  { key: 'degraded', text: 'degraded per second', look: looks.rejected, format: number },
  { key: 'p50', text: 'latency p50', look: looks.p50, format: seconds },
  { key: 'p99', text: 'latency p99', look: looks.p99, format: seconds },
];

// variantCharts are small multiples on one scale: each variant bold, with what
// its runs spread over, before the other variants thin.
function variantCharts(data, key, choice) {
  const metric = overlaid.find(m => m.key === key), all = data.overlays.filter(o => o.t.length);
  const end = Math.max(0, ...all.map(o => o.t[o.t.length - 1])) + 0.5, most = Math.max(0, ...all.flatMap(o => o.curves[key].high.filter(known)));
  return h('div', { class: 'charts small' }, all.map(o => {
    const mine = o.curves[key];
    const others = all.filter(x => x !== o && sameTimes(x.t, o.t)).map(x => ({ name: variantName(x.variant), values: x.curves[key].mean.slice(0, o.t.length), look: { color: 'var(--c-gray)', dash: '' }, thin: true }));
    return chart(o.t, [...others, { name: metric.text, values: mine.mean, look: metric.look }], {
      id: 'variant:' + o.variant, title: variantName(o.variant), format: metric.format, end, top: most, height: 150, choice,
      bands: [{ name: o.variant, low: mine.low, high: mine.high, look: metric.look }], windows: windowsOf(o.faults), legend: false,
    });
  }));
}

const sameTimes = (a, b) => a.length >= b.length && b.every((v, i) => Math.abs(a[i] - v) < 0.6);
