// What a page looks like on paper.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { browser, looking, quiet, until } from './world.mjs';

let b;
before(async () => { b = await browser(); });
after(async () => { await b.close(); });

/** Lays the page out for paper, or for the screen again, as printing does. */
const lay = (page, event) => page.evaluate(e => { dispatchEvent(new Event(e)); }, event);
/** Buttons and fields that are to be seen, beside those that are content. */
const pressable = page => page.locator('button, input, select, textarea').evaluateAll(list => list.filter(e => e.checkVisibility() && !e.matches('.node, .plain, .doors button')).map(e => e.outerHTML.slice(0, 80)));
/** How much of a canvas has colour: 0 is blank. */
const drawn = (page, selector) => page.locator(selector).first().evaluate(c => {
  const { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height);
  let n = 0;
  for (let i = 3; i < data.length; i += 4) if (data[i]) n++;
  return [c.width / c.clientWidth, n > 300];
});

for (const width of [1280, 390]) test(`a dark page of ${width} px is light on paper, whole, and without anything to press`, async t => {
  const { page } = await looking(t, b, ['lesson-13-metastable'], { colorScheme: 'dark', width, height: 800 });
  await page.waitForSelector('[data-node=api]', { state: 'attached' });
  await page.getByRole('button', { name: '▶ Play' }).click();
  await page.waitForSelector('[aria-label="Play back"], [aria-label=Pause]', { timeout: 30000, state: 'attached' });
  await page.click('[aria-label=Pause]', { timeout: 2000 }).catch(() => {});
  await page.click('[data-node=api]');
  if (width > 1000) { await page.click('[aria-label=Nearer]'); await page.click('[aria-label=Nearer]'); }
  await page.evaluate(() => new Promise(done => { requestAnimationFrame(() => requestAnimationFrame(done)); }));
  const view = () => page.locator('.boxes').getAttribute('style'), before = await view(), colour = () => page.evaluate(() => getComputedStyle(document.documentElement).getPropertyValue('color-scheme'));
  await lay(page, 'beforeprint');
  assert.equal(await colour(), 'light');
  assert.deepEqual(await pressable(page), []);
  assert.deepEqual(await drawn(page, '.graph canvas'), [3, true]);
  assert.deepEqual(await drawn(page, '[data-chart=latency] canvas'), [3, true]);
  // All boxes lie in the field of the graph, and nothing is cut off at the side.
  const outside = await page.locator('.node').evaluateAll(list => { const f = document.querySelector('.graph').getBoundingClientRect(); return list.filter(e => { const r = e.getBoundingClientRect(); return r.left < f.left || r.right > f.right || r.top < f.top || r.bottom > f.bottom; }).map(e => e.dataset.node); });
  assert.deepEqual(outside, []);
  assert.deepEqual(await page.locator('#app *').evaluateAll(list => list.filter(e => e.checkVisibility() && !e.closest('.graph') && e.scrollWidth > 682 && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== 'visible').map(e => e.className)), []);
  await lay(page, 'afterprint');
  assert.equal(await colour(), 'light dark');
  await until(view, before);
  // Chromium prints it, on as many sheets as it has parts.
  const pdf = (await page.pdf({ format: 'A4', printBackground: true })).toString('latin1');
  assert.ok(/\/Count [1-4]\b/.test(pdf), 'the document has no sheets, or too many');
  await until(view, before);
  quiet(page);
});

test('the file is printed whole when it is shown, and a dialog without what lies behind it', async t => {
  const { page } = await looking(t, b, ['shop']);
  await page.waitForSelector('[data-node=pricing]');
  await page.click('#tab-file');
  await lay(page, 'beforeprint');
  const paper = await page.locator('pre.paper').innerText();
  assert.ok(paper.startsWith('#') && paper.includes('name: mail') && paper.split('\n').length > 60, paper);
  await lay(page, 'afterprint');
  assert.equal(await page.locator('pre.paper').innerText(), '');
  await page.click('#tab-details');
  await page.click('text=▶ Play');
  await page.getByText('All 7 checks held').waitFor({ timeout: 30000 });
  await page.click('[data-node=pricing]');
  await page.getByText('Single requests through it').click();
  await page.locator('[data-part=requests] [data-request]').first().click();
  await page.locator('[data-part=waterfall] tbody tr').first().waitFor();
  await lay(page, 'beforeprint');
  assert.equal(await page.locator('.work').isVisible(), false);
  assert.equal(await page.locator('[data-part=waterfall] tbody tr').last().isVisible(), true);
  assert.deepEqual(await pressable(page), []);
  await lay(page, 'afterprint');
  assert.equal(await page.locator('.work').isVisible(), true);
  quiet(page);
});
