import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { large } from './large.mjs';
import { World, browser, open } from './world.mjs';

let b;
before(async () => { b = await browser(); });
after(async () => { await b.close(); });
const median = list => list.sort((a, b) => a - b)[Math.floor(list.length / 2)];
const shot = async (page, name) => { if (process.env.SHOTS) await page.screenshot({ path: join(process.env.SHOTS, name + '.png') }); };

/** Moves the graph with the mouse for about a second, and returns the times between frames, and what the page works for each. */
async function pan(page) {
  const at = await page.locator('[data-part=graph]').boundingBox();
  await page.evaluate(() => {
    globalThis.gaps = [];
    globalThis.works = [];
    const later = requestAnimationFrame.bind(globalThis);
    globalThis.requestAnimationFrame = draw => later(now => { const began = performance.now(); draw(now); globalThis.works.push(performance.now() - began); });
    globalThis.restore = () => { globalThis.requestAnimationFrame = later; };
    let last = performance.now();
    const frame = now => { globalThis.gaps.push(now - last); last = now; globalThis.asked = later(frame); };
    later(frame);
  });
  // Where no box is: the lower left corner.
  const x = at.x + 30, y = at.y + at.height - 60;
  await page.mouse.move(x, y);
  await page.mouse.down();
  for (let n = 0; n < 60; n++) await page.mouse.move(x + 4 * n, y - 2 * n);
  await page.mouse.up();
  return page.evaluate(() => { cancelAnimationFrame(globalThis.asked); globalThis.restore(); return { gaps: globalThis.gaps.slice(2), works: globalThis.works }; });
}

/** Seconds of processor time that a process has used. */
const processor = pid => { const f = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' '); return (Number(f[11]) + Number(f[12])) / 100; };

test('a thousand services: opened, moved, played, grouped, found, narrowed', async t => {
  const w = new World();
  t.after(() => w.close());
  writeFileSync(join(w.dir, 'large.yaml'), large());
  const ui = await w.ui('-f', 'large.yaml');
  const page = await open(b, ui.address);
  t.after(() => page.context().close());
  await page.waitForSelector('.node');
  const [first, paint] = await page.evaluate(() => [performance.getEntriesByName('first-contentful-paint')[0].startTime, performance.now()]);
  const boxes = await page.locator('.node').count();
  assert.ok(boxes > 20 && boxes <= 60, `${boxes} boxes stand`);
  await page.waitForSelector('.node[data-node=store-3]'); // it is under fault, so it stands alone
  await shot(page, 'large');
  const frames = await pan(page);

  await page.click('text=▶ Play');
  await page.getByText('The check held').waitFor({ timeout: 30000 });
  await page.click('[aria-label=Pause]', { timeout: 2000 }).catch(() => {});
  await page.locator('[aria-label=Second]').fill('9');
  await shot(page, 'large-played');
  const moving = await pan(page);
  const client = await page.context().newCDPSession(page);
  await client.send('HeapProfiler.collectGarbage');
  const { usedSize } = await client.send('Runtime.getHeapUsage');

  // A group opens by a second click, and closes again.
  const group = page.locator('.node.group').first(), name = await group.getAttribute('data-node');
  await group.click();
  await page.getByText('taken together in the graph').waitFor();
  await page.getByRole('button', { name: 'Open the group' }).click();
  await page.waitForFunction(n => document.querySelectorAll('.node').length !== n, boxes);
  await page.getByRole('button', { name: 'As at first' }).click();
  await page.waitForSelector(`.node.group[data-node="${name}"]`);

  // Found by a condition, and narrowed to that and to what is around one.
  const find = page.getByPlaceholder('Find: cart');
  await find.fill('callee=store-3');
  await page.getByRole('button', { name: 'Hide the others' }).click();
  await page.waitForFunction(() => document.querySelectorAll('.node').length < 40 && !document.querySelector('.node.group'));
  await page.getByRole('button', { name: 'Show all' }).click();
  await find.fill('latency>3');
  await page.getByText('is no condition').waitFor();
  await find.fill('store-3');
  await page.keyboard.press('Enter');
  await page.getByLabel('In the graph').selectOption('1');
  await page.waitForFunction(() => document.querySelector('.node[data-node=store-3]') && document.querySelectorAll('.node').length < 40);
  await shot(page, 'large-around');

  // A field that is set needs one answer, which says what the text describes, too.
  const asked = [], note = r => { if (r.method() === 'POST') asked.push(new URL(r.url()).pathname); };
  page.on('request', note);
  await page.locator('[data-part=edit-service]').getByLabel('replicas', { exact: true }).fill('3');
  await page.keyboard.press('Enter');
  await page.locator('.node[data-node=store-3]').getByText('×3').waitFor();
  await page.waitForTimeout(300);
  page.off('request', note);
  assert.deepEqual(asked, ['/api/edit']);

  await page.getByRole('button', { name: 'Show all' }).click();
  await page.getByRole('button', { name: 'No groups' }).click();
  await page.waitForTimeout(300);
  await shot(page, 'large-all');
  const all = await pan(page);

  // The server tells of a second each second.
  await page.getByRole('button', { name: 'Load', exact: false }).first().click();
  await page.getByLabel('Pace').selectOption('1');
  await page.getByRole('button', { name: 'Done' }).click();
  await page.click('text=▶ Play');
  await page.waitForSelector('[data-state=running]');
  await page.waitForTimeout(500);
  const used = processor(ui.pid), began = performance.now();
  await page.waitForTimeout(3000);
  const share = (processor(ui.pid) - used) / (performance.now() - began) * 1000;
  const mb = usedSize / 2 ** 20;
  t.diagnostic(`1000 services: first paint after ${first.toFixed(0)} ms, first boxes after ${paint.toFixed(0)} ms; a frame each ${median(frames.gaps).toFixed(1)} ms, after a run ${median(moving.gaps).toFixed(1)}, without groups ${median(all.gaps).toFixed(1)}, of which drawing takes ${median(frames.works).toFixed(1)}, ${median(moving.works).toFixed(1)} and ${median(all.works).toFixed(1)}; heap ${mb.toFixed(0)} MB; server ${(100 * share).toFixed(1)} % of a core, with the simulation at real pace`);
  // A busy machine is slower; what is wrong by a factor shows all the same.
  assert.ok(first < 3000, `the first paint comes after ${first} ms`);
  assert.ok(paint < 6000, `the first boxes come after ${paint} ms`);
  assert.ok(median(frames.gaps) < 50 && median(moving.gaps) < 50, 'moving the graph is not smooth');
  assert.ok(Math.min(frames.works.length, moving.works.length, all.works.length) > 5, 'moving the graph draws nothing');
  assert.ok(mb < 150, `the page holds ${mb} MB`);
  assert.ok(share < 0.3, `the server takes ${100 * share} % of a core`);
  assert.deepEqual(page.problems, []);
});
