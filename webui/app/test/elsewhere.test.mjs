// What other programs do to a system that the page watches or plays.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { World, browser, looking, open, quiet, sample, accessible, until } from './world.mjs';

let b;
before(async () => { b = await browser(); });
after(async () => { await b.close(); });

/** Runs a command of another terminal, and fails if it does. */
async function command(w, ...args) {
  const c = w.start(...args);
  assert.equal(await c.over, 0, c.talk);
}
const shot = async (page, name) => { if (process.env.SHOTS) await page.screenshot({ path: join(process.env.SHOTS, name + '.png') }); };
/** Waits until the chart of rates says so. */
const charted = (page, text) => page.waitForFunction(text => new RegExp(text).test(document.querySelector('[data-chart=rate] .legend')?.textContent ?? ''), text.source, { timeout: 15000 });
const news = page => page.locator('[data-part=news]');

test('a watched system is drawn as others change it, and what the user writes stays', async t => {
  const w = new World();
  t.after(async () => { await w.start('down', '--all', '--on', 'local').over; await w.close(); });
  const write = (name, text) => writeFileSync(join(w.dir, name), text);
  write('two.yaml', sample);
  write('more.yaml', sample.replace('calls: [db]}', 'calls: [db, cache], replicas: 3}').replace('  - {name: db,', '  - {name: cache}\n  - {name: db,'));
  await command(w, 'up', '-f', 'two.yaml', '--on', 'local', '--detach');
  const page = await open(b, (await w.ui('--system', 'two', '--on', 'local')).address);
  t.after(() => page.context().close());
  await page.waitForSelector('[data-part=scrubber]');
  assert.equal(await news(page).count(), 0);

  await command(w, 'up', '-f', 'more.yaml', '--on', 'local', '--update');
  const began = Date.now();
  await page.waitForSelector('.node[data-node=cache]');
  const took = Date.now() - began;
  if (process.env.SHOTS) console.log(`drawn ${took} ms after the command had ended`);
  await page.locator('.node[data-node=web]').getByText('×3').waitFor();
  await news(page).getByText('Not done on this page: web: call of cache added, replicas 1 to 3; cache is added.').waitFor();
  await page.locator('[data-part=changes]').getByText('by another program').waitFor();
  await accessible(page);
  await shot(page, 'elsewhere');
  // Its charts have the new service, too.
  await page.click('[data-node=cache]');
  await page.locator('dl.figures').getByText('1 of 1').waitFor();

  await command(w, 'fault', 'add', 'error', '--target', 'db', '--on', 'local', '--name', 'theirs');
  await news(page).getByText(/Not done on this page: fault .* was added\./).waitFor();
  await page.waitForSelector('.node[data-node=db] .badges .fault');
  await command(w, 'fault', 'clear', '--all', '--on', 'local');
  await news(page).getByText(/fault .* has ended\./).waitFor();
  await news(page).getByRole('button', { name: 'Close this message' }).click();

  // What this page does itself is no news.
  await page.click('[data-node=db]');
  await page.getByRole('button', { name: 'Add the fault' }).click();
  await page.waitForSelector('[data-fault=by-hand-latency-db].acts');
  await page.getByRole('button', { name: 'Take back' }).click();
  await page.waitForSelector('[data-fault=by-hand-latency-db]:not(.acts)');

  // A field that is being filled, and a text that is being written, stay.
  const name = page.locator('[data-part=edit-service]').getByLabel('name', { exact: true });
  await name.fill('dbx');
  await command(w, 'up', '-f', 'two.yaml', '--on', 'local', '--update');
  await news(page).getByText('cache is removed').waitFor();
  await page.locator('.node[data-node=cache]').waitFor({ state: 'detached' });
  assert.equal(await name.inputValue(), 'dbx');
  assert.ok(await name.evaluate(e => e === document.activeElement));
  await page.keyboard.press('Escape');
  await page.click('#tab-file');
  const editor = page.locator('[data-part=editor] .cm-content');
  await editor.click();
  await page.keyboard.press('Control+Home');
  await page.keyboard.insertText('# mine\n');
  await command(w, 'up', '-f', 'more.yaml', '--on', 'local', '--update');
  await news(page).getByText('Your text, which is not applied, stays as it is.').waitFor();
  const lines = async () => (await editor.locator('.cm-line').allInnerTexts()).map(l => l.trim());
  assert.equal((await lines())[0], '# mine');
  assert.ok(!(await lines()).includes('- name: cache'));
  await accessible(page);
  await news(page).getByRole('button', { name: 'Take what runs' }).click();
  await until(async () => (await lines()).includes('- name: cache') && !(await lines()).includes('# mine'), true);
  await page.waitForSelector('.node[data-node=cache]');
  assert.equal(await page.locator('.dirty').count(), 0);
  await page.getByRole('button', { name: 'Undo' }).click();
  await until(async () => (await lines())[0], '# mine');
  quiet(page);
});

test('what others do to a run that the page plays is told and drawn, and the file stays', async t => {
  const { w, page } = await looking(t, b, ['-f', 'two.yaml', '--out', 'out'], undefined, sample.replace('20s', '5min'));
  await page.waitForSelector('[data-node=db]');
  await page.selectOption('[aria-label="Where to play"]', 'local');
  await page.getByRole('button', { name: '▶ Play' }).click();
  await page.waitForSelector('[data-state=running]', { timeout: 20000 });
  // A page that is loaded anew knows what runs.
  await page.reload();
  await page.waitForSelector('[data-state=running]');
  await page.waitForSelector('[data-part=scrubber]');
  assert.equal(await page.getByRole('button', { name: 'Apply to the running system' }).count(), 0);
  writeFileSync(join(w.dir, 'more.yaml'), sample.replace('calls: [db]}', 'calls: [db], replicas: 2}'));
  await command(w, 'up', '-f', 'more.yaml', '--on', 'local', '--update');
  await news(page).getByText('Not done on this page: web: replicas 1 to 2.').waitFor();
  await page.locator('.node[data-node=web]').getByText('×2').waitFor();
  await command(w, 'fault', 'add', 'error', '--target', 'db', '--on', 'local');
  await news(page).getByText(/fault .* was added/).waitFor();
  await page.locator('[data-part=faults]').getByText('by hand').waitFor();
  // The file, which nobody has changed, can be made what runs again.
  assert.equal(await page.locator('.dirty').count(), 0);
  await page.getByRole('button', { name: 'Apply to the running system' }).click();
  await page.getByText('The running system is what the text describes.').waitFor({ timeout: 20000 });
  await page.locator('[data-part=changes]').getByText('web: replicas 2 to 1, done after').waitFor();

  // A service that they add stands beside those of the file, with its figures, and can be broken.
  await command(w, 'fault', 'clear', '--all', '--on', 'local');
  writeFileSync(join(w.dir, 'more.yaml'), sample.replace('calls: [db]}', 'calls: [db, cache]}').replace('  - {name: db,', '  - {name: cache, replicas: 2}\n  - {name: db,'));
  await command(w, 'up', '-f', 'more.yaml', '--on', 'local', '--update');
  const badges = name => page.locator(`.node[data-node=${name}] .badges`);
  await badges('cache').getByText('added').waitFor();
  await badges('cache').getByText('×2').waitFor();
  await page.locator('.node[data-node=cache]').click();
  await page.getByText('It runs, and the file does not have it').waitFor();
  await page.locator('dl.figures').getByText('2 of 2').waitFor();
  await charted(page, /requests [1-9]/);
  assert.equal(await page.locator('[data-part=edit-service], .node.chosen .plug:visible').count(), 0);
  await page.getByRole('button', { name: 'Add the fault' }).click();
  await page.waitForSelector('[data-fault=by-hand-latency-cache].acts');
  await page.getByRole('button', { name: 'Take back' }).click();
  await page.waitForSelector('[data-fault=by-hand-latency-cache]:not(.acts)');
  await accessible(page);
  await shot(page, 'elsewhere-added');
  await page.getByRole('button', { name: 'web → cache' }).click();
  await page.getByText('What runs makes this call, and the file does not have it.').waitFor();
  await charted(page, /calls [1-9]/);
  // One that they remove stays, as the file has it.
  writeFileSync(join(w.dir, 'more.yaml'), sample.replace('calls: [db]}', 'calls: [cache]}').replace(/ {2}- .name: db.*/, '  - {name: cache, replicas: 2}'));
  await command(w, 'up', '-f', 'more.yaml', '--on', 'local', '--update');
  await badges('db').getByText('removed').waitFor();
  await page.locator('.node[data-node=db]').click();
  await page.getByText('The file has it, and what runs does not.').waitFor();
  await accessible(page);
  assert.equal(await page.locator('.dirty').count(), 0);
  await page.getByRole('button', { name: 'Apply to the running system' }).click();
  await badges('db').getByText('removed').waitFor({ state: 'detached', timeout: 20000 });
  await page.locator('.node[data-node=cache]').waitFor({ state: 'detached' });
  await page.getByRole('button', { name: '■ Stop' }).click();
  await page.waitForSelector('[aria-label="Play back"]', { timeout: 30000 });
  const { changes } = JSON.parse(readFileSync(join(w.dir, 'out/run-1/result.json'), 'utf8'));
  assert.deepEqual(changes.map(c => (c.elsewhere ? 'theirs: ' : 'ours: ') + c.what.join()), [
    'theirs: web: replicas 1 to 2', 'ours: web: replicas 2 to 1', 'theirs: web: call of cache added,cache is added',
    'theirs: web: call of db removed,db is removed', 'ours: web: call of cache removed, call of db added,db is added,cache is removed',
  ]);
  quiet(page);

  // The record has them, too, and each second of the clients.
  const again = await open(b, (await w.ui('--run', 'out/run-1')).address);
  t.after(() => again.context().close());
  await again.locator('.node[data-node=cache] .badges').getByText('added').waitFor();
  const second = again.locator('[aria-label=Second]');
  for (let n = Number(await second.getAttribute('min')), last = Number(await second.getAttribute('max')); n <= last; n++) {
    await second.fill(String(n));
    await until(() => second.inputValue(), String(n));
    assert.match(await again.locator('[data-chart=rate] .legend b').first().innerText(), /^\d/, `the clients of frame ${n}`);
  }
  quiet(again);
});

test('two pages of one running system tell each other', async t => {
  const w = new World();
  t.after(async () => { await w.start('down', '--all', '--on', 'local').over; await w.close(); });
  writeFileSync(join(w.dir, 'two.yaml'), sample);
  await command(w, 'up', '-f', 'two.yaml', '--on', 'local', '--detach');
  const { address } = await w.ui('--system', 'two', '--on', 'local');
  const [one, other] = [await open(b, address), await open(b, address)];
  t.after(() => Promise.all([one, other].map(p => p.context().close())));
  for (const p of [one, other]) await p.click('[data-node=web]');
  const replicas = one.locator('[data-part=edit-service]').getByLabel('replicas', { exact: true });
  await replicas.fill('2');
  await replicas.press('Enter');
  await one.getByRole('button', { name: 'Apply to the running system' }).click();
  await one.getByText('The running system is what the text describes.').waitFor({ timeout: 20000 });
  await news(other).getByText('Not done on this page: web: replicas 1 to 2.').waitFor();
  await other.locator('.node[data-node=web]').getByText('×2').waitFor();
  await other.getByRole('button', { name: 'Add the fault' }).click();
  await news(one).getByText(/fault .* was added/).waitFor();
  assert.equal(await news(one).count(), 1);
  assert.match(await news(other).innerText(), /replicas 1 to 2/);
  for (const p of [one, other]) quiet(p);
});
