// The page on a telephone: fingers move the graph and choose in it, and a sheet shows what was chosen.
import { test, after, before } from 'node:test';
import assert from 'node:assert/strict';
import { World, browser, quiet, accessible, text, until } from './world.mjs';

let b;
before(async () => { b = await browser(); });
after(() => b.close());

/** The page of an example in the window of a telephone, with fingers that touch it at points. */
async function held(t, example) {
  const w = new World();
  t.after(() => w.close());
  const context = await b.newContext({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  t.after(() => context.close());
  const page = await context.newPage();
  page.problems = [];
  page.on('pageerror', e => page.problems.push(String(e)));
  await page.goto((await w.ui(example)).address);
  await page.waitForSelector('.node');
  const session = await context.newCDPSession(page);
  const touch = (type, ...points) => session.send('Input.dispatchTouchEvent', { type, touchPoints: points.map(([x, y], id) => ({ x, y, id })) });
  /** Where a box stands, once nothing moves any more. */
  const box = name => page.locator(`[data-node=${name}]`).boundingBox();
  return { page, touch, box };
}

test('the graph leads down and fits the width; one finger moves it, two bring it nearer', async t => {
  const { page, touch, box } = await held(t, 'shop');
  const all = await page.locator('.node').evaluateAll(list => list.map(e => { const r = e.getBoundingClientRect(); return [r.left, r.right, r.height]; }));
  for (const [left, right, height] of all) assert.ok(left >= 0 && right <= 390 && height >= 44, `a box from ${left} to ${right}, ${height} high`);
  const clients = await page.locator('.node.clients').boundingBox(), web = await box('web');
  assert.ok(web.y > clients.y + clients.height, 'web stands below the clients');

  // A finger that begins on a box moves the graph, and chooses nothing.
  const x = web.x + web.width / 2, y = web.y + web.height / 2;
  await touch('touchStart', [x, y]);
  for (const d of [20, 40, 60]) await touch('touchMove', [x + d / 2, y + d]);
  await touch('touchEnd');
  await until(async () => { const now = await box('web'); return [Math.round(now.x - web.x), Math.round(now.y - web.y)]; }, [30, 60]);
  assert.equal(await page.locator('.node.chosen').count(), 0);

  // Two fingers that part bring it nearer, about the point between them.
  const before = await box('web');
  await touch('touchStart', [150, 400], [250, 400]);
  for (const d of [10, 30, 50]) await touch('touchMove', [150 - d, 400], [250 + d, 400]);
  await touch('touchEnd');
  await until(async () => Math.round((await box('web')).width / before.width * 10) / 10, 2);
  await page.getByRole('button', { name: 'Fit' }).tap();
  await until(async () => Math.round((await box('web')).width), Math.round(web.width));
  quiet(page);
});

test('what is touched opens as a sheet, which is swiped up and down', async t => {
  const { page, touch, box } = await held(t, 'shop');
  await page.locator('[data-node=pricing]').tap();
  await until(() => text(page, '#panel-details h2'), 'pricing');
  const sheet = () => page.locator('.side').boundingBox();
  const half = await sheet();
  assert.ok(half.y > 300 && half.height > 250, `the sheet begins at ${half.y}`);
  // The graph has less room now, and moves what was chosen into it.
  await until(async () => { const chosen = await box('pricing'); return chosen.y + chosen.height <= half.y; }, true);
  await accessible(page);
  const grip = await page.locator('.grip').boundingBox(), swipe = async way => {
    const at = await page.locator('.grip').boundingBox(), y = at.y + at.height / 2;
    await touch('touchStart', [195, y]); await touch('touchMove', [195, y + way / 2]); await touch('touchMove', [195, y + way]); await touch('touchEnd');
  };
  assert.ok(grip.height >= 44);
  await swipe(-120);
  await until(async () => (await sheet()).y < 250, true);
  await swipe(120);
  await until(async () => (await sheet()).y, half.y);
  await swipe(120);
  await page.locator('.side').waitFor({ state: 'hidden' });
  await until(() => page.locator('.node.chosen').count(), 0);
  quiet(page);
});

test('buttons do to the sheet what swipes do', async t => {
  const { page } = await held(t, 'shop'), sheet = () => page.locator('.side').boundingBox();
  await page.locator('[data-node=web]').tap();
  await page.getByRole('button', { name: 'Larger' }).tap();
  await until(async () => (await sheet()).y < 250, true);
  await page.getByRole('button', { name: 'Close the details' }).tap();
  await page.locator('.side').waitFor({ state: 'hidden' });
  quiet(page);
});

test('what is pressed is as large as a fingertip', async t => {
  const { page } = await held(t, 'lesson-13-metastable');
  for (const pane of ['Details', 'Charts', 'Graph']) {
    await page.getByRole('button', { name: pane, exact: true }).tap();
    const small = await page.locator('button:visible, select:visible, summary:visible, input:not([type=checkbox]):visible').evaluateAll(list => list.filter(e => !e.closest('.cm-editor')).map(e => [e.textContent.slice(0, 30), e.getBoundingClientRect().height]).filter(([, h]) => h < 43.5));
    assert.deepEqual(small, [], pane);
  }
});

test('a run that cannot be played says why where the graph is', async t => {
  const { page } = await held(t, 'alerts');
  await page.locator('header.top').getByRole('button', { name: '▶ Play' }).tap();
  await page.locator('.bar.bad').waitFor({ timeout: 20000 });
  assert.ok((await text(page, '.bar.bad')).length > 20);
});
