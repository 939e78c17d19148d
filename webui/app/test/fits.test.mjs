// Nothing leaves its place: no page is wider than its window, and no label or badge of
// a graph lies over a box or another label, in the report and the page of every example.
import { test, after, before } from 'node:test';
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { World, browser, open, quiet, accessible, until } from './world.mjs';

let b, w, names;
const phone = { width: 390, height: 844 }, desk = { width: 1280, height: 800 };
const long = n => 'a-service-whose-name-takes-all-the-letters-that-a-name-may-have-' .slice(0, 60 - n.length) + n;
/** Calls in circles and to themselves, names of 60 letters, titles in other scripts, large figures. */
const hard = `apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: hard
title: "注文サービスの負荷試験 اختبار تحميل 🚀 averylongwordwithoutanyplaceatwhichitcouldbebrokenintotwolines"
system:
  name: hard
  services:
  - {name: web, work: {sleep: 1ms}, replicas: 12, calls: [${long('a')}, ${long('b')}]}
  - {name: ${long('a')}, work: {sleep: 1ms}, calls: [{to: ${long('c')}, retry: {attempts: 3}}, {to: ${long('a')}, probability: 0.1}]}
  - {name: ${long('b')}, work: {sleep: 1ms}, calls: [${long('c')}]}
  - {name: ${long('c')}, work: {sleep: 1ms}, calls: [{to: ${long('b')}, probability: 0.1}]}
load: {rate: 1500, duration: 12s}
faults:
- {type: error, target: {service: ${long('c')}}, probability: 0.3, start: 3s, duration: 4s}
- {type: latency, target: {service: ${long('c')}}, args: {delay: 20ms}, start: 3s, duration: 4s}
- {type: kill, target: {service: ${long('b')}}, start: 5s}
checks: [{check: errors < 1%}]
`;
before(async () => {
  b = await browser();
  w = new World();
  const list = w.start('examples', '-o', 'json');
  assert.equal(await list.over, 0, list.talk);
  const kinds = new Set(['Experiment', 'System', 'Simulation']);
  names = JSON.parse(list.text).items.filter(i => kinds.has(i.kind)).map(i => i.name);
  writeFileSync(join(w.dir, 'hard.yaml'), hard);
});
after(async () => { await b.close(); await w.close(); });

/** How much wider than its window the page is, and which labels lie over what. Parts that scroll are no wider themselves. */
const faults = page => page.evaluate(() => {
  const found = [], rects = selector => [...document.querySelectorAll(selector)].map(e => ({ e, r: e.getBoundingClientRect() })).filter(v => v.r.width > 0);
  const cut = (p, q) => Math.min(p.right, q.right) - Math.max(p.left, q.left) > 1 && Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 1;
  const wide = document.documentElement.scrollWidth - innerWidth;
  if (wide > 0) found.push(`the page is ${wide} too wide`);
  const boxes = rects('.node rect.body, button.node'), labels = rects('.edge-label rect'), badges = rects('.badge rect, .badges i'), owner = v => v.e.closest('.node');
  const say = (p, q) => `${p.e.parentElement.textContent} lies over ${owner(q)?.textContent ?? q.e.parentElement.textContent}`;
  labels.forEach((l, i) => { for (const q of [...boxes, ...badges, ...labels.slice(0, i)]) if (cut(l.r, q.r)) found.push(say(l, q)); });
  badges.forEach((l, i) => { for (const q of [...boxes.filter(v => owner(v) !== owner(l)), ...badges.slice(0, i)]) if (cut(l.r, q.r)) found.push(say(l, q)); });
  for (const t of rects('.node text, .node b span, .node .figures')) {
    const box = boxes.find(v => owner(v) === owner(t)).r;
    if (t.r.left < box.left - 1 || t.r.right > box.right + 1) found.push(`${t.e.textContent} leaves its box`);
  }
  return found;
});

test('the reports of all examples, at each size and segment', async () => {
  let seen = 0, told = 0;
  for (const name of [...names, 'hard']) {
    const run = w.start('run', ...(name === 'hard' ? ['-f', 'hard.yaml'] : [name]), '--on', 'virtual', '--report', name + '.html');
    // A few examples need what is not here.
    if (![0, 10].includes(await run.over)) continue;
    seen++;
    for (const size of [phone, desk]) {
      const page = await open(b, 'file://' + join(w.dir, name + '.html'), size);
      await page.waitForSelector('[data-ready]', { state: 'attached' });
      for (const key of ['1', '2', '3', '4']) {
        await page.keyboard.press(key);
        assert.deepEqual(await faults(page), [], `${name} at ${size.width}, segment ${key}`);
      }
      told += await page.locator('.edge-label').count();
      if (size === phone && name === 'shop') await accessible(page);
      quiet(page);
      await page.context().close();
    }
  }
  assert.ok(seen >= 20 && told >= 20, `${seen} reports with ${told} labels were looked at`);
});

test('the graphs of all examples on the page', async () => {
  for (const size of [phone, desk]) {
    const page = await open(b, (await w.ui()).address, size);
    await page.locator('[data-example]').first().waitFor();
    const shown = await page.locator('[data-example]').evaluateAll(list => list.map(e => e.dataset.example));
    assert.ok(shown.length >= 20);
    for (const name of shown) {
      await page.locator(`[data-example=${name}]`).click();
      // A lesson opens with its text, which a telephone shows alone.
      await page.waitForSelector('[data-part=graph]', { state: 'attached' });
      if (size === phone) for (const pane of ['Details', 'Charts', 'Graph']) {
        await page.getByRole('button', { name: pane, exact: true }).click();
        assert.deepEqual(await faults(page), [], `${name}, ${pane}`);
      }
      await page.waitForSelector('.node');
      const play = page.locator('header.top').getByRole('button', { name: '▶ Play', exact: true });
      await play.click();
      await page.waitForSelector('[aria-label="Play back"], [aria-label=Pause], .bar.bad, .note.bad', { timeout: 60000 }).catch(e => { throw new Error(name + ': ' + e.message); });
      await page.click('[aria-label=Pause]', { timeout: 500 }).catch(() => {});
      const second = page.locator('[aria-label=Second]');
      if (await second.count()) for (const part of [0.25, 0.5, 0.8]) {
        await second.evaluate((e, p) => { e.value = String(Math.floor(Number(e.max) * p)); e.dispatchEvent(new Event('input', { bubbles: true })); }, part);
        await page.evaluate(() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done))));
        assert.deepEqual(await faults(page), [], `${name} at ${size.width}`);
      }
      await page.getByRole('button', { name: 'MicroSim' }).click();
    }
    await page.context().close();
  }
});
