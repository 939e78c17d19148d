// Makes the pictures of README and docs, from the built program: node pictures.mjs
// Reduced to 256 colours afterwards, such as by pngquant, each is below 200 kB.
import { join } from 'node:path';
import { World, browser } from './test/world.mjs';

const out = new URL('../../docs/images/', import.meta.url).pathname;
const b = await browser(), w = new World();

/** A page in a small window, because GitHub shows it 838 pixels wide: its letters are to be read there, too. */
async function look(address, height = 720, width = 1120) {
  const context = await b.newContext({ viewport: { width, height }, deviceScaleFactor: 1.7, colorScheme: 'light' });
  const page = await context.newPage();
  await page.goto(address);
  return page;
}
const shot = (page, name) => page.screenshot({ path: join(out, name + '.png') });
const pause = page => page.click('[aria-label=Pause]', { timeout: 3000 }).catch(() => {});

try {
  const shop = await look((await w.ui('shop')).address);
  await shop.click('text=▶ Play');
  await shop.getByText('All 7 checks held').waitFor();
  await pause(shop);
  await shop.locator('[aria-label=Second]').fill('9');
  await shop.mouse.move(560, 500);
  await shot(shop, 'ui');
  await shop.click('[data-node=pricing]');
  await shop.getByText('Single requests through it').click();
  await shop.locator('[data-part=requests] [data-request]').first().click();
  await shop.locator('[data-part=waterfall] tbody tr').first().waitFor();
  await shot(shop, 'ui-request');

  const lesson = await look((await w.ui('lesson-13-metastable')).address);
  await lesson.click('#tab-lesson');
  await lesson.getByRole('group', { name: 'Your guess about errors > 80% in retries' }).getByRole('button', { name: 'holds' }).click();
  await lesson.getByRole('button', { name: '▶ retries' }).click();
  await lesson.getByText('In retries').first().waitFor();
  await pause(lesson);
  await lesson.locator('[aria-label=Second]').fill('7');
  await lesson.getByRole('button', { name: '▶ retries' }).evaluate(e => { const sheet = e.closest('.sheet'); sheet.scrollTop = e.offsetTop - sheet.offsetTop - 40; });
  await shot(lesson, 'ui-lesson');

  const run = w.start('run', 'shop', '--on', 'local', '--report', 'page.html');
  if (await run.over !== 0) throw new Error(run.talk);
  await shot(await look('file://' + join(w.dir, 'page.html'), 1200, 1000), 'report');
} finally {
  await b.close();
  await w.close();
}
