// What the page says when something goes wrong around it, and that nothing is lost.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { World, browser, looking, open, sample, until } from './world.mjs';

let b;
before(async () => { b = await browser(); });
after(async () => { await b.close(); });
const shown = (t, ...rest) => looking(t, b, ...rest);

/** Writes a line at the beginning of the text. */
async function write(page, what) {
  await page.click('#tab-file');
  await page.locator('[data-part=editor] .cm-content').click();
  await page.keyboard.press('Control+Home');
  await page.keyboard.insertText(what + '\n');
}

test('a machine that sleeps: the page says that nobody answers, and goes on afterwards', async t => {
  const { ui, page, file } = await shown(t, ['-f', 'two.yaml']);
  await page.waitForSelector('[data-node=db]');
  await write(page, '# mine');
  ui.kill('SIGSTOP');
  t.after(() => ui.kill('SIGCONT'));
  await page.locator('.bar.bad').getByText('has ended, or cannot be reached').first().waitFor({ timeout: 30000 });
  await page.getByRole('button', { name: 'Download the text' }).waitFor();
  ui.kill('SIGCONT');
  await page.locator('.bar.bad').waitFor({ state: 'detached', timeout: 30000 });
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Saved to two.yaml.').waitFor();
  assert.equal(readFileSync(file, 'utf8'), '# mine\n' + sample);
});

test('a stale tab: the program is started again, and the text can still be had', async t => {
  const { w, ui, page } = await shown(t, ['-f', 'two.yaml']);
  await page.waitForSelector('[data-node=db]');
  await write(page, '# mine');
  const port = new URL(ui.address).port;
  await w.end(ui);
  await page.locator('.bar.bad').getByText('has ended, or cannot be reached').first().waitFor({ timeout: 30000 });
  // Another start at the same port has another token.
  await w.ui('-f', 'two.yaml', '--port', port);
  await page.locator('.bar.bad').getByText('open the address that').first().waitFor({ timeout: 30000 });
  const download = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Download the text' }).click();
  assert.equal(readFileSync(await (await download).path(), 'utf8'), '# mine\n' + sample);
});

test('a file of 10 MB is shown, changed and saved; a larger one is refused in words', async t => {
  const w = new World();
  t.after(() => w.close());
  const many = sample + Array.from({ length: 140_000 }, (_, i) => `# ${'a comment that makes the file large '.repeat(2)}${i}\n`).join('');
  const file = join(w.dir, 'large.yaml');
  const size = 10_300_000;
  writeFileSync(file, many.slice(0, size));
  const page = await open(b, (await w.ui('-f', 'large.yaml')).address);
  t.after(() => page.context().close());
  await page.waitForSelector('[data-node=db]', { timeout: 30000 });
  await page.click('[data-node=db]');
  await page.locator('[data-part=edit-service]').getByLabel('replicas', { exact: true }).fill('3');
  await page.keyboard.press('Enter');
  await page.locator('.node[data-node=db]').getByText('×3').waitFor({ timeout: 30000 });
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Saved to large.yaml.').waitFor({ timeout: 30000 });
  assert.equal(readFileSync(file, 'utf8').length, size + ', replicas: 3'.length);
  writeFileSync(file, many + many);
  const refused = w.start('ui', '--no-open', '-f', 'large.yaml');
  assert.equal(await refused.over, 1);
  assert.match(refused.talk, /larger than 16Mi/);
  assert.deepEqual(page.problems, []);
});

test('a system that ends while its faults act leaves what was seen of it, and its tab says so', async t => {
  const w = new World();
  t.after(async () => { await w.start('down', '--all', '--on', 'local').over; await w.close(); });
  writeFileSync(join(w.dir, 'two.yaml'), sample);
  assert.equal(await w.start('up', '-f', 'two.yaml', '--on', 'local', '--detach').over, 0);
  const page = await open(b, (await w.ui('--system', 'two', '--on', 'local')).address);
  t.after(() => page.context().close());
  await page.click('[data-node=web]');
  await page.getByRole('button', { name: 'Add the fault' }).click();
  await page.waitForSelector('[data-fault=by-hand-latency-web].acts');
  await page.waitForSelector('[data-part=scrubber]');
  await page.locator('[data-part=edit-service]').getByLabel('replicas', { exact: true }).fill('2');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.dirty');
  const down = w.start('down', 'two', '--on', 'local');
  await down.over;
  await page.locator('.bar.bad').getByText('the system has ended').first().waitFor({ timeout: 30000 });
  await until(() => page.locator('[data-part=scrubber]').count(), 1);
  // What was changed and not applied is not lost, and is not left unasked.
  const download = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Download', exact: true }).click();
  assert.match(readFileSync(await (await download).path(), 'utf8'), /replicas: 2/);
  page.once('dialog', d => void d.accept());
  await page.getByRole('button', { name: 'Watch again' }).click();
  await page.locator('.bar.bad').getByText('no system').first().waitFor();
  assert.equal(await page.locator('.node').count(), 3);
});
