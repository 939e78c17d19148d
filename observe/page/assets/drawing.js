// The system, drawn: services as boxes, calls as lines, coloured by how they
// did in the chosen segment.

const levelNames = {
  errors: ['no errors', 'under 1%', 'under 5%', 'under 25%', '25% and more'],
  relative: ['as before', '1.5 times as slow', '3 times', '6 times', '15 times and more'],
  absolute: ['p90 under 10 ms', 'under 50 ms', 'under 200 ms', 'under 1 s', '1 s and more'],
};
const within = (v, bounds) => bounds.filter(b => v >= b).length;

// levelOf is 0 for well to 4 for very bad, or null where nothing is known. The
// latency is measured against that before the faults, where there is such.
function levelOf(stats, before, by) {
  if (!stats) return null;
  const requests = stats.requests ?? stats.calls;
  if (by === 'errors') return requests > 0 ? (stats.errors > 0 ? 1 : 0) + within(stats.errors / requests, [0.01, 0.05, 0.25]) : null;
  if (!stats.latency || !stats.latency.p90) return null;
  if (before === undefined) return within(stats.latency.p90, [0.01, 0.05, 0.2, 1]);
  return before && before.latency && before.latency.p90 > 0 ? within(stats.latency.p90 / before.latency.p90, [1.5, 3, 6, 15]) : null;
}

// A view is what a segment says, by name of service and of call.
function viewOf(segment) {
  return {
    services: new Map(segment.services.map(v => [v.service, v])),
    edges: new Map(segment.edges.map(v => [v.caller + '\n' + v.callee, v])),
    clients: segment.clients,
  };
}

function clip(text, length) { return text.length > length ? text.slice(0, length - 1) + '…' : text; }

// faultsOn are those that acted on a service while the segment lasted.
function faultsOn(run, service, segment) {
  return run.faults.filter(f => f.applied && f.service === service && f.from < segment.to && f.to >= segment.from);
}

// drawSystem draws what is to be seen, and below it the group that is open.
function drawSystem(run, segment, by, pick) {
  const now = viewOf(segment), first = run.segments.find(v => v.key === 'part:before'), before = first && viewOf(first);
  const levels = {
    node: n => (n.name ? levelOf(now.services.get(n.name), before && (before.services.get(n.name) || null), by)
      : levelOf(now.clients, before && before.clients, by)),
    edge: (from, to) => levelOf(edgeStats(now, from, to), before && (edgeStats(before, from, to) || null), by),
  };
  return [graph(run, segment, now, levels, pick), groupList(run, now, levels, pick)];
}

function edgeStats(view, from, to) { return view.edges.get(from + '\n' + to); }
const highest = list => list.reduce((a, b) => (b === null || a !== null && a >= b ? a : b), null);

// callStats are those of a line. What the clients call is known as a whole only,
// so it is told where they call one service.
function callStats(d, e, view) {
  if (e.from === 0) return d.edges.filter(v => v.from === 0).length === 1 ? { ...view.clients, calls: view.clients.requests } : undefined;
  const all = e.calls.map(([from, to]) => edgeStats(view, d.nodes[from].name, d.nodes[to].name)).filter(Boolean);
  if (all.length < 2) return all[0];
  const sum = name => all.reduce((n, v) => n + v[name], 0);
  return { calls: sum('calls'), errors: sum('errors'), rate: sum('rate'), kinds: e.calls.length, slowest: highest(all.map(v => (v.latency && known(v.latency.p99) ? v.latency.p99 : null))) };
}

function graph(run, segment, now, levels, pick) {
  const d = run.drawing, margin = 16;
  const busiest = Math.max(1e-9, ...d.edges.map(e => (e.from === 0 ? 0 : (callStats(d, e, now) || { rate: 0 }).rate)));
  const svg = s('svg', { viewBox: `${-margin} ${-margin - 4} ${d.width + 2 * margin} ${d.height + 2 * margin + 4}`, role: 'group', 'aria-label': 'The system: ' + count(d.nodes.length - 1) + ' services' },
    s('defs', {}, s('marker', { id: 'arrow', viewBox: '0 0 8 8', refX: 7, refY: 4, markerWidth: 8, markerHeight: 8, markerUnits: 'userSpaceOnUse', orient: 'auto' }, s('path', { d: 'M0,0.5 L8,4 L0,7.5 z' }))));
  const natural = d.width + 2 * margin;
  svg.style.width = '100%';
  svg.style.minWidth = Math.min(natural, Math.max(360, natural * 0.72)) + 'px';
  // What is small may grow, as long as a screen holds it.
  svg.style.maxWidth = natural * Math.min(1.35, Math.max(1, 560 / d.height)) + 'px';
  for (const e of d.edges) svg.append(edgeOf(d, e, now, levels, busiest, pick.service));
  d.boxes.forEach((box, i) => svg.append(box.members.length > 1 ? groupOf(run, segment, box, i, now, levels, pick) : nodeOf(run, segment, { ...box, ...d.nodes[box.members[0]] }, now, levels, pick)));
  for (const e of d.edges) svg.append(labelOf(d, e, now) || '');
  return h('div', { class: 'drawing', tabindex: '-1' }, svg);
}

// wayOf is the curve through the points of a call. One that leads back to the
// left, or to itself, goes around below.
function wayOf(d, e) {
  const p = e.points, n = p.length;
  if (n === 4 && p[n - 2] <= p[0]) {
    const low = Math.max(p[1], p[n - 1]) + d.nodeHeight / 2 + 22;
    return { d: `M${p[0]},${p[1]}C${p[0] + 50},${low} ${p[n - 2] - 50},${low} ${p[n - 2]},${p[n - 1]}`, x: (p[0] + p[n - 2]) / 2, y: low - 12 };
  }
  let path = `M${p[0]},${p[1]}`, label = null;
  for (let i = 2; i < n; i += 2) {
    const [x0, y0, x1, y1] = [p[i - 2], p[i - 1], p[i], p[i + 1]], mid = (x0 + x1) / 2;
    path += y0 === y1 && i % 4 === 0 ? `L${x1},${y1}` : `C${mid},${y0} ${mid},${y1} ${x1},${y1}`;
    label = label || { x: x0 + (x1 - x0) * 0.5, y: y0 + (y1 - y0) * 0.5 };
  }
  if (n > 4) label = { x: (p[2] + p[4]) / 2, y: p[3] };
  return { d: path, x: label.x, y: label.y };
}

function edgeOf(d, e, now, levels, busiest, chosen) {
  const from = d.boxes[e.from].name, to = d.boxes[e.to].name, way = wayOf(d, e), one = e.calls.length === 1;
  const stats = callStats(d, e, now), level = e.from === 0 ? (stats ? levels.node(d.nodes[0]) : null) : highest(e.calls.map(([a, b]) => levels.edge(d.nodes[a].name, d.nodes[b].name)));
  const near = chosen && e.calls.some(c => c.some(v => d.nodes[v].name === chosen));
  const wide = stats ? 1.4 + (d.nodeHeight < 60 ? 2 : 4) * Math.sqrt(Math.min(1, stats.rate / busiest)) : 1.4;
  const lines = e.from === 0 && !stats ? [h('b', {}, 'clients to ' + to)] : callLines(from || 'clients', to, stats);
  return s('g', { class: `edge level${level ?? 0} ${stats || e.from === 0 ? '' : 'idle'} ${chosen && !near ? 'faded' : ''}`, 'data-edge': one ? d.nodes[e.calls[0][0]].name + '->' + d.nodes[e.calls[0][1]].name : null },
    s('path', { class: 'line', d: way.d, 'stroke-width': wide.toFixed(2), 'marker-end': 'url(#arrow)' }),
    s('path', { class: 'hit', d: way.d, onpointermove: ev => tip(lines, ev.clientX, ev.clientY), onpointerleave: () => tip(null) }));
}

// labelOf says how many calls went wrong; it stands above the boxes.
function labelOf(d, e, now) {
  const stats = callStats(d, e, now), part = stats ? ratio(stats.errors, stats.calls) : null, way = part > 0 && wayOf(d, e);
  return way ? s('g', { class: 'edge-label' }, s('text', { x: way.x, y: way.y - 5 }, '✕ ' + share(part))) : null;
}

function callLines(from, to, v) {
  if (!v) return [h('b', {}, `${from} to ${to}`), 'not called in this segment'];
  if (v.kinds) return [h('b', {}, `${from} to ${to}`), `${v.kinds} kinds of calls: ${number(v.rate)}/s, ${share(ratio(v.errors, v.calls))} errors, worst p99 ${seconds(v.slowest)}`];
  const outcomes = Object.entries(v.outcomes || {}).filter(([, n]) => n > 0).map(([name, n]) => h('tr', {}, h('td', { class: 'left' }, words(name)), h('td', {}, count(n))));
  return [h('b', {}, `${from} to ${to}`), `${number(v.rate)}/s, ${share(ratio(v.errors, v.calls))} errors, p50 ${quantile(v.latency, 'p50')}, p99 ${quantile(v.latency, 'p99')}`, h('table', {}, h('tbody', {}, outcomes))];
}

// figureLines are what a box says under its name.
function figureLines(stats) {
  if (!stats || !stats.requests) return ['no requests', ''];
  const l = stats.latency;
  return [`${number(stats.rate)}/s · ${stats.errors ? '✕ ' + share(stats.errors / stats.requests) : stats.degraded ? '◐ ' + share(stats.degraded / stats.requests) + ' degraded' : 'no errors'}`, l ? `p50 ${quantile(l, 'p50')} · p99 ${quantile(l, 'p99')}` : ''];
}

// shortLine is what a low box says.
function shortLine(stats) {
  if (!stats || !stats.requests) return 'no requests';
  return `${stats.errors ? '✕ ' + share(stats.errors / stats.requests) : number(stats.rate) + '/s'} · p99 ${quantile(stats.latency, 'p99')}`;
}

function nodeOf(run, segment, n, now, levels, { service: chosen, choose }) {
  const { nodeWidth: w, nodeHeight: hgt } = run.drawing, stats = n.name ? now.services.get(n.name) : now.clients;
  const level = levels.node(n), [one, two] = figureLines(stats), faults = n.name ? faultsOn(run, n.name, segment) : [];
  const down = stats && n.name && stats.availability < 0.995, name = n.name || 'clients';
  const lines = hgt < 60 ? [shortLine(stats)] : [one, two];
  const title = clip(name, n.replicas > 1 ? 16 : 19) + (n.replicas > 1 ? ' ×' + n.replicas : '');
  const label = `${name}: ${one}, ${two}${down ? ', answered ' + share(stats.availability) + ' of the time' : ''}${faults.length ? ', fault ' + faults.map(f => f.label).join(', ') : ''}`;
  const pick = () => choose(n.name);
  const g = s('g', { class: `node ${level === null ? 'nodata' : 'level' + level} ${down && stats.availability < 0.5 ? 'down' : ''} ${n.name && n.name === chosen ? 'chosen' : ''}`, transform: `translate(${n.x},${n.y})`, tabindex: '0', role: 'button', 'aria-label': label, 'aria-pressed': n.name ? String(n.name === chosen) : null, 'data-node': n.name, 'data-level': level ?? '',
    onclick: pick, onkeydown: e => { if (e.key === 'Enter' || e.key === ' ') { e.preventDefault(); pick(); } } },
    s('title', {}, label),
    s('rect', { class: 'halo', x: -4, y: -4, width: w + 8, height: hgt + 8, rx: n.name ? 12 : 28 }),
    s('rect', { class: 'body', width: w, height: hgt, rx: n.name ? 9 : 24 }),
    s('text', { class: 'name', x: w / 2, y: 22, 'text-anchor': 'middle' }, title),
    lines.map((text, i) => s('text', { class: 'figures-line', x: w / 2, y: 40 + 16 * i, 'text-anchor': 'middle' }, text)));
  if (faults.length) g.append(badge(8, -15, '⚡ ' + clip([...new Set(faults.map(f => f.label.split(' ')[0]))].join(', '), 18)));
  if (down) g.append(badge(w - 92, hgt - 6, '▼ up ' + share(stats.availability)));
  return g;
}

function badge(x, y, text) {
  return s('g', { class: 'badge', transform: `translate(${x},${y})` }, s('rect', { width: 14 + text.length * 7.4, height: 19, rx: 9.5 }), s('text', { x: 7, y: 13.8 }, text));
}

// groupOf is a box that stands for some services: how many, and how the worst did.
function groupOf(run, segment, box, i, now, levels, { group, chooseGroup }) {
  const { nodeWidth: w, nodeHeight: hgt } = run.drawing, members = box.members.map(v => run.drawing.nodes[v]);
  const level = highest(members.map(levels.node)), stats = members.map(n => now.services.get(n.name)).filter(v => v && v.requests);
  const errors = highest(stats.map(v => v.errors / v.requests)), slow = highest(stats.map(v => (v.latency && known(v.latency.p99) ? v.latency.p99 : null)));
  const faults = new Set(members.flatMap(n => faultsOn(run, n.name, segment).map(f => f.label)));
  const worst = stats.length ? `worst ${errors ? '✕ ' + share(errors) : 'no errors'} · p99 ${seconds(slow)}` : 'no requests';
  const many = `${members.length} services`, lines = hgt < 60 ? [`${members.length} · ${errors ? '✕ ' + share(errors) : '0%'} · p99 ${seconds(slow)}`] : [many, worst];
  const label = `${box.name}: ${many}, ${box.why}; ${worst}`, pick = () => chooseGroup(i);
  return s('g', { class: `node group ${level === null ? 'nodata' : 'level' + level} ${i === group ? 'chosen' : ''}`, transform: `translate(${box.x},${box.y})`, tabindex: '0', role: 'button', 'aria-label': label, 'aria-expanded': String(i === group), 'data-group': i, 'data-level': level ?? '',
    onclick: pick, onkeydown: e => { if (e.key === 'Enter' || e.key === ' ') { e.preventDefault(); pick(); } } },
    s('title', {}, label),
    s('rect', { class: 'body', x: 5, y: 5, width: w, height: hgt, rx: 9 }),
    s('rect', { class: 'halo', x: -4, y: -4, width: w + 8, height: hgt + 8, rx: 12 }),
    s('rect', { class: 'body', width: w, height: hgt, rx: 9 }),
    s('text', { class: 'name', x: w / 2, y: 22, 'text-anchor': 'middle' }, clip(box.name, 19)),
    lines.map((text, n) => s('text', { class: 'figures-line', x: w / 2, y: 40 + 16 * n, 'text-anchor': 'middle' }, text)),
    faults.size ? badge(8, -15, '⚡ ' + (faults.size === 1 ? clip([...faults][0].split(' ')[0], 18) : count(faults.size))) : null);
}

// groupList are the services of the group that is open, the worst first; of a
// system without an open group, its worst calls.
function groupList(run, now, levels, { service: chosen, choose, group }) {
  const { boxes, nodes } = run.drawing, box = boxes[group];
  if (!box || box.members.length < 2) return boxes.some(b => b.members.length > 1) ? worstCalls(now) : null;
  const all = box.members.map(i => ({ n: nodes[i], i, level: levels.node(nodes[i]) }));
  all.sort((a, b) => (b.level ?? -1) - (a.level ?? -1) || a.i - b.i);
  return [h('h3', {}, `${box.name}: ${count(all.length)} services, the worst first (${box.why})`), h('div', { class: 'tiles', role: 'group', 'aria-label': 'Services of ' + box.name }, all.map(({ n, level }) => {
    const stats = now.services.get(n.name), part = stats && ratio(stats.errors, stats.requests);
    return h('button', { type: 'button', class: `${level === null ? 'nodata' : 'level' + level} ${n.name === chosen ? 'chosen' : ''}`, 'data-node': n.name, 'data-level': level ?? '', title: n.name + ': ' + figureLines(stats).join(', '), 'aria-pressed': String(n.name === chosen), onclick: () => choose(n.name) },
      h('span', {}, n.name), h('span', {}, part ? '✕ ' + share(part) : stats && stats.latency ? quantile(stats.latency, 'p90') : unknown));
  }))];
}

// worstCalls lists what a graph would show at its lines.
function worstCalls(now) {
  const bad = [...now.edges.values()].filter(e => e.errors > 0).sort((a, b) => b.errors / b.calls - a.errors / a.calls), most = 20;
  if (!bad.length) return h('p', { class: 'soft' }, `None of the ${count(now.edges.size)} kinds of calls went wrong.`);
  return [h('h3', {}, bad.length > most ? `The ${most} worst of ${count(bad.length)} kinds of calls that went wrong` : 'Calls that went wrong'),
    table([{ text: 'from', left: true }, { text: 'to', left: true }, 'per s', 'errors', 'p99'], bad.slice(0, most).map(e => h('tr', { 'data-edge': e.caller + '->' + e.callee },
      h('td', { class: 'left' }, e.caller), h('td', { class: 'left' }, e.callee), h('td', {}, number(e.rate)), h('td', { class: 'mark worse' }, '✕ ' + share(e.errors / e.calls)), h('td', {}, quantile(e.latency, 'p99')))), { label: 'Calls that went wrong' })];
}

function scaleOf(run, by) {
  const names = by === 'errors' ? levelNames.errors : run.segments.some(v => v.key === 'part:before') ? levelNames.relative : levelNames.absolute;
  return h('div', { class: 'scale' }, h('span', {}, by === 'errors' ? 'Share of errors:' : 'Latency (p90):'),
    names.map((name, i) => h('span', { class: 'chip level' + i }, h('i', {}), name)), h('span', { class: 'chip nodata' }, h('i', {}), 'no requests'),
    h('span', {}, 'A line is the wider the more calls it has; ⚡ marks a fault that acted.'));
}
