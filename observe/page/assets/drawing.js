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

// narrow windows have the calls lead downwards.
const narrow = matchMedia('(max-width: 600px)');

// sizes are those of the letters in a drawing; a narrow one is shown at half its size.
const sizes = { name: 15, line: 12, label: 11.5, badge: 12 }, narrowSizes = { name: 24, line: 20.5, label: 20, badge: 18 };

// placed is a drawing with the places that fit the window.
function placed(d) {
  if (!narrow.matches) return { ...d, sizes };
  const { boxes, edges, ...size } = d.narrow;
  return { ...d, ...size, down: true, sizes: narrowSizes, boxes: d.boxes.map((b, i) => ({ ...b, x: boxes[2 * i], y: boxes[2 * i + 1] })), edges: d.edges.map((e, i) => ({ ...e, points: edges[i] })) };
}

const pen = document.createElement('canvas').getContext('2d');
// widthOf is how wide a text is in the letters of the page.
function widthOf(text, size, weight) { pen.font = `${weight || 400} ${size}px ${getComputedStyle(document.body).fontFamily}`; return pen.measureText(text).width; }

// fit shortens a text in its middle until it is so wide: names differ at both ends.
function fit(text, width, size, weight) {
  if (widthOf(text, size, weight) <= width) return text;
  const letters = [...text];
  for (let n = letters.length - 1; n > 2; n--) {
    const tail = Math.floor(n * 0.4), short = letters.slice(0, n - tail).join('') + '…' + letters.slice(letters.length - tail).join('');
    if (widthOf(short, size, weight) <= width) return short;
  }
  return letters[0] + '…';
}

function graph(run, segment, now, levels, pick) {
  const d = placed(run.drawing), margin = d.down ? 6 : 16;
  const busiest = Math.max(1e-9, ...d.edges.map(e => (e.from === 0 ? 0 : (callStats(d, e, now) || { rate: 0 }).rate)));
  const svg = s('svg', { viewBox: `${-margin} ${-margin - 4} ${d.width + 2 * margin} ${d.height + 2 * margin + 12}`, role: 'group', 'aria-label': 'The system: ' + count(d.nodes.length - 1) + ' services' },
    s('defs', {}, s('marker', { id: 'arrow', viewBox: '0 0 8 8', refX: 7, refY: 4, markerWidth: 8, markerHeight: 8, markerUnits: 'userSpaceOnUse', orient: 'auto' }, s('path', { d: 'M0,0.5 L8,4 L0,7.5 z' }))));
  for (const [name, size] of Object.entries(d.sizes)) svg.style.setProperty('--size-' + name, size + 'px');
  const natural = d.width + 2 * margin;
  svg.style.width = '100%';
  svg.style.minWidth = d.down ? '0' : Math.min(natural, Math.max(360, natural * 0.72)) + 'px';
  // What is small may grow, as long as a screen holds it.
  svg.style.maxWidth = natural * (d.down ? 1 : Math.min(1.35, Math.max(1, 560 / d.height))) + 'px';
  const taken = [];
  for (const e of d.edges) svg.append(edgeOf(d, e, now, levels, busiest, pick.service));
  d.boxes.forEach((box, i) => {
    taken.push({ x: box.x - 3, y: box.y - 3, w: d.nodeWidth + 6, h: d.nodeHeight + 6 });
    svg.append(box.members.length > 1 ? groupOf(run, segment, d, box, i, now, levels, pick, taken) : nodeOf(run, segment, d, { ...box, ...d.nodes[box.members[0]] }, now, levels, pick, taken));
  });
  svg.append(...labels(d, now, taken));
  return h('div', { class: 'drawing' + (d.down ? ' narrow' : ''), tabindex: '-1' }, svg);
}

// partsOf are the parts of a call's way, each the four points of a Bézier curve. A
// call of a service to itself is a loop at its corner.
function partsOf(d, e) {
  const p = e.points, n = p.length, at = d.down ? 1 : 0, box = d.boxes[e.from];
  if (e.from === e.to) {
    const x = box.x + d.nodeWidth, y = box.y + d.nodeHeight;
    return [[x, y - 16, x + 34, y - 16, x - 18, y + 34, x - 18, y + 1]];
  }
  const parts = [];
  for (let i = 2; i < n; i += 2) {
    const [x0, y0, x1, y1] = p.slice(i - 2, i + 2), mid = d.down ? (y0 + y1) / 2 : (x0 + x1) / 2;
    parts.push(d.down ? [x0, y0, x0, mid, x1, mid, x1, y1] : [x0, y0, mid, y0, mid, y1, x1, y1]);
  }
  const [out, run, home] = parts;
  // A run that leads back is reached, and left, in a turn.
  if (parts.length === 3 && run[6 + at] < run[at]) for (const [c, first, then] of [[out, 44, 40], [home, -40, -44]]) {
    c[2 + at] = c[at] + first; c[4 + at] = c[6 + at] + then; c[3 - at] = c[1 - at]; c[5 - at] = c[7 - at];
  }
  return parts;
}

const wayOf = (d, e) => partsOf(d, e).map((c, i) => (i ? '' : `M${c[0]},${c[1]}`) + `C${c[2]},${c[3]} ${c[4]},${c[5]} ${c[6]},${c[7]}`).join('');

function edgeOf(d, e, now, levels, busiest, chosen) {
  const from = d.boxes[e.from].name, to = d.boxes[e.to].name, way = wayOf(d, e), one = e.calls.length === 1;
  const stats = callStats(d, e, now), level = e.from === 0 ? (stats ? levels.node(d.nodes[0]) : null) : highest(e.calls.map(([a, b]) => levels.edge(d.nodes[a].name, d.nodes[b].name)));
  const near = chosen && e.calls.some(c => c.some(v => d.nodes[v].name === chosen));
  const wide = stats ? 1.4 + (d.nodeHeight < 60 ? 2 : 4) * Math.sqrt(Math.min(1, stats.rate / busiest)) : 1.4;
  const lines = e.from === 0 && !stats ? [h('b', {}, 'clients to ' + to)] : callLines(from || 'clients', to, stats);
  return s('g', { class: `edge level${level ?? 0} ${stats || e.from === 0 ? '' : 'idle'} ${chosen && !near ? 'faded' : ''}`, 'data-edge': one ? d.nodes[e.calls[0][0]].name + '->' + d.nodes[e.calls[0][1]].name : null },
    s('path', { class: 'line', d: way, 'stroke-width': wide.toFixed(2), 'marker-end': 'url(#arrow)' }),
    s('path', { class: 'hit', d: way, onpointermove: ev => tip(lines, ev.clientX, ev.clientY), onpointerleave: () => tip(null) }));
}

// labels say at their lines which share of the calls went wrong, the worst first. One
// stands where it cuts no box and no other label, as near to the middle of its line as
// it can; without such a place, the note at the line tells it.
function labels(d, now, taken) {
  const bad = d.edges.map(e => ({ e, stats: callStats(d, e, now) })).filter(v => v.stats && v.stats.errors > 0).sort((a, b) => b.stats.errors / b.stats.calls - a.stats.errors / a.stats.calls);
  const size = d.sizes.label, tall = size * 1.35;
  return bad.flatMap(({ e, stats }) => {
    const text = '✕ ' + about(stats.errors / stats.calls), w = widthOf(text, size, 700) + 6, points = pointsOf(partsOf(d, e));
    const at = points.map(([x, y]) => ({ x: x - w / 2, y: y - tall / 2, w, h: tall })).find(r => !taken.some(t => cuts(r, t)));
    if (!at) return [];
    taken.push(at);
    return [s('g', { class: 'edge-label' }, s('rect', { x: at.x, y: at.y + 1, width: w, height: tall - 2, rx: 4 }), s('text', { x: at.x + w / 2, y: at.y + tall * 0.77 }, text))];
  });
}

const cuts = (a, b) => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;

// pointsOf are points along a way, from its middle to its ends.
function pointsOf(parts) {
  const points = parts.flatMap(c => Array.from({ length: 15 }, (_, i) => {
    const t = (i + 1) / 16, u = 1 - t, of = k => u * u * u * c[k] + 3 * u * u * t * c[2 + k] + 3 * u * t * t * c[4 + k] + t * t * t * c[6 + k];
    return [of(0), of(1)];
  }));
  const middle = (points.length - 1) / 2;
  return points.map((p, i) => [p, Math.abs(i - middle)]).sort((a, b) => a[1] - b[1]).map(([p]) => p);
}

// about is a share in two digits, for a label.
const about = v => (v < 0.001 ? '<0.1%' : v < 1 && v > 0.99 ? '>99%' : trimmed(v * 100, 2) + '%');

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

// linesOf are what a box has room for.
function linesOf(d, stats) {
  if (d.down) return stats && stats.requests ? [stats.errors ? '✕ ' + about(stats.errors / stats.requests) : number(stats.rate) + '/s', 'p99 ' + quantile(stats.latency, 'p99')] : ['no requests'];
  return d.nodeHeight < 60 ? [shortLine(stats)] : figureLines(stats);
}

// nameAndLines are the texts of a box, below each other in its middle.
function nameAndLines(d, title, lines) {
  const { nodeWidth: w, nodeHeight: hgt, sizes: { name, line } } = d, step = line * 1.18, top = d.down ? (hgt - name - lines.length * step) / 2 + name * 0.88 : 22, room = w - 12;
  return [s('g', { 'aria-hidden': 'true' }, s('text', { class: 'name', x: w / 2, y: top, 'text-anchor': 'middle' }, title),
    lines.map((text, i) => s('text', { class: 'figures-line', x: w / 2, y: d.down ? top + step * (i + 1) : 40 + 16 * i, 'text-anchor': 'middle' }, fit(text, room, line))))];
}

function nodeOf(run, segment, d, n, now, levels, { service: chosen, choose }, taken) {
  const { nodeWidth: w, nodeHeight: hgt } = d, stats = n.name ? now.services.get(n.name) : now.clients;
  const level = levels.node(n), [one, two] = figureLines(stats), faults = n.name ? faultsOn(run, n.name, segment) : [];
  const down = stats && n.name && stats.availability < 0.995, name = n.name || 'clients', times = n.replicas > 1 ? ' ×' + n.replicas : '';
  const title = fit(name, w - 14 - widthOf(times, d.sizes.name, 650), d.sizes.name, 650) + times;
  const label = `${name}: ${one}, ${two}${down ? ', answered ' + share(stats.availability) + ' of the time' : ''}${faults.length ? ', fault ' + faults.map(f => f.label).join(', ') : ''}`;
  const pick = () => choose(n.name);
  return s('g', { class: `node ${level === null ? 'nodata' : 'level' + level} ${down && stats.availability < 0.5 ? 'down' : ''} ${n.name && n.name === chosen ? 'chosen' : ''}`, transform: `translate(${n.x},${n.y})` },
    s('rect', { class: 'halo', x: -4, y: -4, width: w + 8, height: hgt + 8, rx: n.name ? 12 : 28 }),
    s('rect', { class: 'body', width: w, height: hgt, rx: n.name ? 9 : 24 }),
    nameAndLines(d, title, linesOf(d, stats)),
    badges(d, n, [...new Set(faults.map(f => f.label.split(' ')[0]))].join(', '), down ? 'up ' + share(stats.availability) : '', taken),
    touch(d, label, pick, { 'aria-pressed': n.name ? String(n.name === chosen) : null, 'data-node': n.name, 'data-level': level ?? '' }));
}

// touch is what is pressed of a box. Its name says more than the box shows.
function touch(d, label, pick, more) {
  return s('rect', { class: 'touch', width: d.nodeWidth, height: d.nodeHeight, rx: 9, tabindex: '0', role: 'button', 'aria-label': label, ...more,
    onclick: pick, onkeydown: e => { if (e.key === 'Enter' || e.key === ' ') { e.preventDefault(); pick(); } } }, s('title', {}, label));
}

// badges stand on the upper side of a box: its faults, and that it was down. They are
// no wider than the box.
function badges(d, box, fault, down, taken) {
  const size = d.sizes.badge, tall = size * 1.45, out = [];
  const badge = (text, x, room) => {
    const short = fit(text, room - size, size, 700), w = widthOf(short, size, 700) + size;
    taken.push({ x: box.x + x, y: box.y - tall * 0.68, w, h: tall });
    out.push(s('g', { class: 'badge', 'aria-hidden': 'true', transform: `translate(${x.toFixed(1)},${(-tall * 0.68).toFixed(1)})` }, s('rect', { width: w, height: tall, rx: tall / 2 }), s('text', { x: size / 2, y: tall * 0.73 }, short)));
    return x + w + 4;
  };
  const reserve = down ? widthOf('▼ ' + down, size, 700) + size + 8 : 0;
  const next = fault ? badge('⚡ ' + fault, 8, d.nodeWidth - 16 - reserve) : 8;
  if (down) badge('▼ ' + down, next, d.nodeWidth - next - 8);
  return out;
}

// groupOf is a box that stands for some services: how many, and how the worst did.
function groupOf(run, segment, d, box, i, now, levels, { group, chooseGroup }, taken) {
  const { nodeWidth: w, nodeHeight: hgt } = d, members = box.members.map(v => d.nodes[v]);
  const level = highest(members.map(levels.node)), stats = members.map(n => now.services.get(n.name)).filter(v => v && v.requests);
  const errors = highest(stats.map(v => v.errors / v.requests)), slow = highest(stats.map(v => (v.latency && known(v.latency.p99) ? v.latency.p99 : null)));
  const faults = new Set(members.flatMap(n => faultsOn(run, n.name, segment).map(f => f.label)));
  const worst = stats.length ? `worst ${errors ? '✕ ' + share(errors) : 'no errors'} · p99 ${seconds(slow)}` : 'no requests';
  const many = `${members.length} services`, lines = d.down ? [many, errors ? '✕ ' + about(errors) : 'p99 ' + seconds(slow)] : hgt < 60 ? [`${members.length} · ${errors ? '✕ ' + share(errors) : '0%'} · p99 ${seconds(slow)}`] : [many, worst];
  const label = `${box.name}: ${many}, ${box.why}; ${worst}`, pick = () => chooseGroup(i);
  return s('g', { class: `node group ${level === null ? 'nodata' : 'level' + level} ${i === group ? 'chosen' : ''}`, transform: `translate(${box.x},${box.y})` },
    s('rect', { class: 'body', x: 5, y: 5, width: w, height: hgt, rx: 9 }),
    s('rect', { class: 'halo', x: -4, y: -4, width: w + 8, height: hgt + 8, rx: 12 }),
    s('rect', { class: 'body', width: w, height: hgt, rx: 9 }),
    nameAndLines(d, fit(box.name, w - 14, d.sizes.name, 650), lines),
    badges(d, box, faults.size === 0 ? '' : faults.size === 1 ? [...faults][0].split(' ')[0] : count(faults.size), '', taken),
    touch(d, label, pick, { 'aria-expanded': String(i === group), 'data-group': i, 'data-level': level ?? '' }));
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
