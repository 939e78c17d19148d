'use strict';
// Making elements and writing figures. Text from the data only ever becomes a
// text node or an attribute, never markup.

const SVG = 'http://www.w3.org/2000/svg';

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== undefined && child !== null && child !== false) node.append(child);
  }
  return node;
}

// h makes an element of HTML, s one of SVG.
function h(name, attributes, ...children) { return fill(document.createElement(name), attributes, children); }
function s(name, attributes, ...children) { return fill(document.createElementNS(SVG, name), attributes, children); }

const unknown = '–';
const known = v => v !== null && v !== undefined;

function trimmed(v, digits) {
  const text = v.toPrecision(digits);
  return text.includes('e') ? String(Math.round(v)) : text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}

// seconds writes a latency with the unit that fits: 412 µs, 3.21 ms, 1.5 s.
function seconds(v) {
  if (!known(v)) return unknown;
  if (v === 0) return '0';
  if (v >= 0.9995) return trimmed(v, 3) + ' s';
  if (v >= 0.0009995) return trimmed(v * 1e3, 3) + ' ms';
  return trimmed(v * 1e6, 3) + ' µs';
}

// quantile writes a quantile of a service or a call, of which only two bounds
// may be known: 3.21 ms, 250 ms to 500 ms, > 25 s.
function quantile(latency, name) {
  const range = latency && latency.between && latency.between[name];
  if (!range) return seconds(latency && latency[name]);
  return known(range.high) ? `${seconds(range.low)} to ${seconds(range.high)}` : '> ' + seconds(range.low);
}

// moment writes a time since the load began: 6.0 s, 2:05.
function moment(v) {
  if (!known(v)) return unknown;
  if (v < 120) return (Math.round(v * 10) / 10) + ' s';
  const total = Math.round(v), minutes = Math.floor(total / 60), two = n => String(n).padStart(2, '0');
  return minutes < 60 ? minutes + ':' + two(total % 60) : Math.floor(minutes / 60) + ':' + two(minutes % 60) + ':' + two(total % 60);
}

function number(v) {
  if (!known(v)) return unknown;
  if (v === 0) return '0';
  if (v >= 1e6) return trimmed(v / 1e6, 3) + ' M';
  if (v >= 1e4) return trimmed(v / 1e3, 3) + ' k';
  return v >= 1000 ? String(Math.round(v)) : trimmed(v, 3);
}

function count(v) { return known(v) ? String(v).replace(/\B(?=(\d{3})+$)/g, '\u202f') : unknown; }

// share writes a part of 1 in percents; a little is never shown as nothing, nor
// nearly all as all.
function share(v) {
  if (!known(v)) return unknown;
  if (v > 0 && v < 0.0001) return '<0.01%';
  if (v < 1 && v > 0.9999) return '>99.99%';
  return trimmed(v * 100, 3) + '%';
}

function bytes(v) {
  if (!known(v)) return unknown;
  for (const [unit, size] of [['GiB', 2 ** 30], ['MiB', 2 ** 20], ['KiB', 2 ** 10]]) if (v >= size) return trimmed(v / size, 3) + ' ' + unit;
  return v + ' B';
}

const words = text => String(text).replaceAll('_', ' ');
const ratio = (part, whole) => (whole > 0 ? part / whole : null);

function table(head, rows, attributes) {
  return h('div', { class: 'scroll' + (attributes && attributes.cards ? ' cards' : ''), tabindex: '0', role: 'region', 'aria-label': attributes && attributes.label },
    h('table', {}, h('thead', {}, h('tr', {}, head.map(c => (c instanceof Node ? c : h('th', { scope: 'col', class: c.left ? 'left' : null }, c.text ?? c))))),
      h('tbody', {}, rows)));
}

// choices is a group of radio buttons: arrow keys move between them.
function choices(legend, name, options, value, change) {
  return h('fieldset', { class: 'choices' }, h('legend', {}, legend), options.map(o => h('label', {},
    h('input', { type: 'radio', name, value: o.value, checked: o.value === value, onchange: () => change(o.value) }),
    h('span', {}, o.text, o.small ? h('small', {}, o.small) : null))));
}

function picker(label, options, value, change) {
  const select = h('select', { onchange: () => change(select.value) }, options.map(o => h('option', { value: o.value, selected: o.value === value }, o.text)));
  return h('label', { class: 'field' }, h('span', { class: 'soft' }, label), select);
}
