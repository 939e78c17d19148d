import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { browser, looking, open, quiet, sample, accessible, text, until } from './world.mjs';

let b;
before(async () => { b = await browser(); });
after(async () => { await b.close(); });

const shown = (t, ...rest) => looking(t, b, ...rest);

test('the doors: an example, played in virtual time, and its seconds', async t => {
  const { page } = await shown(t, []);
  await page.getByText('What do you want to look at?').waitFor();
  await accessible(page);
  await page.click('[data-example=shop]');
  await page.waitForSelector('[data-node=pricing]');
  assert.equal(await page.locator('.node').count(), 11);
  await accessible(page);
  await page.click('text=▶ Play');
  await page.getByText('All 7 checks held').waitFor({ timeout: 30000 });
  await page.click('[aria-label=Pause]', { timeout: 2000 }).catch(() => {});
  const at = second => page.locator('[aria-label=Second]').fill(String(second));
  await at(9); // the tenth second, in which faults act
  await page.locator('[data-part=why]').scrollIntoViewIfNeeded();
  await page.click('[data-node=pricing]');
  await page.waitForFunction(() => document.querySelector('#panel-details').scrollTop === 0);
  await page.waitForSelector('.node[data-node=pricing] .badges .fault');
  const during = await text(page, '[data-chart=latency] .legend');
  await at(3);
  await page.locator('.node[data-node=pricing] .badges .fault').waitFor({ state: 'detached' });
  const before = await text(page, '[data-chart=latency] .legend');
  assert.match(during, /p50 1\d\d ms/);
  assert.match(before, /p50 [0-9.]+ ms/);
  assert.notEqual(before, during);
  await accessible(page);
  quiet(page);
});

test('a fault in the text changes the chart; saving keeps every other byte', async t => {
  const { page, file } = await shown(t, ['-f', 'two.yaml']);
  await page.waitForSelector('[data-node=db]');
  await page.click('text=▶ Play');
  await page.getByText('The check held').waitFor({ timeout: 30000 });
  await page.click('#tab-file');
  const editor = page.locator('[data-part=editor] .cm-content');
  await editor.click();
  await page.keyboard.press('Control+End');
  await page.keyboard.type('falts:\n');
  await page.locator('[data-part=mistakes]').getByText('two.yaml:13:1').first().waitFor();
  await page.getByText('2 mistakes', { exact: true }).waitFor();
  assert.equal(await page.locator('text=▶ Play').isDisabled(), true);
  for (let n = 0; n < 7; n++) await page.keyboard.press('Backspace');
  const added = 'faults: [{type: error, target: {service: db}, args: {status: 503}, start: 5s, duration: 5s}]\n';
  await page.keyboard.insertText(added);
  await page.getByText('No mistakes').waitFor();
  await page.click('text=▶ Play');
  await page.click('#tab-details');
  await page.getByText('1 of 1 checks did not hold').waitFor({ timeout: 30000 });
  await page.keyboard.press('Control+s').catch(() => {});
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Saved to two.yaml.').waitFor();
  assert.equal(readFileSync(file, 'utf8'), sample + added);
  quiet(page);
});

test('a file that changed on disk is compared, and CRLF stays', async t => {
  const crlf = sample.replaceAll('\n', '\r\n');
  const { page, file } = await shown(t, ['-f', 'two.yaml'], undefined, crlf);
  await page.click('#tab-file');
  await page.locator('[data-part=editor] .cm-content').click();
  await page.keyboard.press('Control+Home');
  await page.keyboard.type('# mine');
  await page.keyboard.press('Enter');
  writeFileSync(file, crlf + '# theirs\r\n');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('The file has changed on disk').waitFor();
  await accessible(page);
  assert.equal(readFileSync(file, 'utf8'), crlf + '# theirs\r\n');
  await page.getByText('Save yours over it').click();
  await page.getByText('Saved to two.yaml.').waitFor();
  assert.equal(readFileSync(file, 'utf8'), '# mine\r\n' + crlf);
  // The console names the refusal; nothing else may be there.
  assert.equal(page.problems.filter(p => !p.includes('409')).length, 0);
});

test('on this machine: a fault by click acts, is listed, and is taken back', async t => {
  const { w, page } = await shown(t, ['-f', 'two.yaml', '--out', 'out'], undefined, sample.replace('20s', '14s'));
  await page.waitForSelector('[data-node=db]');
  await page.selectOption('[aria-label="Where to play"]', 'local');
  await page.click('text=▶ Play');
  await page.waitForSelector('[data-state=running]', { timeout: 20000 });
  await page.click('[data-node=db]');
  await page.getByText('Break it').waitFor();
  await page.locator('[data-part=break] select').selectOption('error');
  await page.getByRole('button', { name: 'Add the fault' }).click();
  await page.waitForSelector('[data-fault=by-hand-error-db].acts');
  const list = w.start('fault', 'list', '--on', 'local', '-o', 'name');
  await list.over;
  assert.match(list.text, /fault\/by-hand-error-db/);
  await page.waitForFunction(() => /errors 100%/.test(document.querySelector('[data-chart=errors] .legend')?.textContent ?? ''), null, { timeout: 8000 });
  await page.waitForSelector('.node[data-node=db].level-4');
  await accessible(page);
  await page.getByText('Its log').click();
  await page.locator('[data-part=log] pre').getByText('fault applied').waitFor();
  await page.getByRole('button', { name: 'Take back' }).click();
  await page.waitForSelector('[data-fault=by-hand-error-db]:not(.acts)');
  await page.waitForFunction(() => /errors 0%/.test(document.querySelector('[data-chart=errors] .legend')?.textContent ?? ''), null, { timeout: 8000 });
  await page.waitForSelector('[aria-label="Play back"]', { timeout: 30000 });
  const truth = JSON.parse(readFileSync(join(w.dir, 'out/run-1/faults.jsonl'), 'utf8'));
  assert.equal(truth.id, 'by-hand-error-db');
  assert.ok(truth.to > truth.from && truth.from > 0 && truth.hits > 0, JSON.stringify(truth));
  quiet(page);
  // The record is played back.
  const again = await open(b, (await w.ui('--run', 'out/run-1')).address);
  await again.waitForSelector('.node[data-node=db]');
  await again.getByText('did not hold').first().waitFor();
  await again.getByText('Single requests', { exact: true }).click();
  await again.locator('[data-part=requests]').getByText('Failed, at any hop').waitFor();
  await again.locator('[data-part=requests] [data-request]').first().click();
  await again.locator('[data-part=waterfall]').getByText('fault by-hand-error-db acted').waitFor();
  await again.keyboard.press('Escape');
  quiet(again);
  await again.context().close();
});

test('a running system is watched, broken, and told of when it ends', async t => {
  const { w } = await shown(t, ['--view']);
  const up = w.start('up', '-f', 'two.yaml', '--on', 'local');
  for (let n = 0; n < 200 && !up.talk.includes('Control plane'); n++) await new Promise(done => setTimeout(done, 50));
  const ui = await w.ui('--system', 'two', '--on', 'local');
  const page = await open(b, ui.address);
  t.after(() => page.context().close());
  await page.click('[data-node=web]');
  await page.getByText('Break it').waitFor();
  await page.getByRole('button', { name: 'Add the fault' }).click();
  await page.waitForSelector('[data-fault=by-hand-latency-web].acts', { timeout: 5000 });
  await page.getByRole('button', { name: 'Take back' }).click();
  await page.waitForSelector('[data-fault=by-hand-latency-web]:not(.acts)', { timeout: 5000 });
  // The system is not ours: it goes on when the page's program ends.
  await w.end(ui);
  await page.getByText('The program that serves this page has ended').waitFor({ timeout: 8000 });
  assert.equal(up.exitCode, null);
  // When the system itself ends, what was seen of it stays, and nothing acts on it any more.
  const later = await open(b, (await w.ui('--system', 'two', '--on', 'local')).address);
  t.after(() => later.context().close());
  await later.click('[data-node=web]');
  await later.getByText('Break it').waitFor();
  await later.waitForSelector('[data-part=scrubber]');
  await w.end(up);
  await later.getByText('the system has ended').waitFor({ timeout: 20000 });
  await later.getByText('not watched any more').waitFor();
  await later.getByRole('heading', { name: 'Break it' }).waitFor({ state: 'detached' });
  assert.equal(await later.locator('[data-part=scrubber]').count(), 1);
  await later.getByRole('button', { name: 'Watch again' }).click();
  await later.locator('.bar.bad').getByText('no system').first().waitFor();
  assert.equal(await later.locator('.node').count(), 3);
});

test('two tabs of one file, and the way back to it', async t => {
  const { ui, page, file } = await shown(t, ['-f', 'two.yaml']);
  const other = await open(b, ui.address);
  t.after(() => other.context().close());
  const write = async (at, what) => { await at.click('#tab-file'); await at.locator('[data-part=editor] .cm-content').click(); await at.keyboard.press('Control+Home'); await at.keyboard.insertText(what + '\n'); };
  await write(page, '# first');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Saved to two.yaml.').waitFor();
  // What the one saves, the other shows, unless there is something to lose.
  await other.click('#tab-file');
  await other.locator('[data-part=editor] .cm-line').getByText('# first').waitFor();
  await write(other, '# mine');
  await write(page, '# second');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.waitForFunction(() => !document.querySelector('.dirty'));
  await other.getByText('Another tab has saved this file meanwhile.').waitFor();
  assert.equal(await page.getByText('Another tab').count(), 0);
  await other.getByRole('button', { name: 'Save' }).click();
  await other.getByText('The file has changed on disk').waitFor();
  assert.equal(readFileSync(file, 'utf8'), '# second\n# first\n' + sample);
  await other.getByText("Take the disk's").click();
  await other.waitForFunction(() => !document.querySelector('.dirty'));
  const mine = other.locator('[data-part=editor] .cm-line').getByText('# mine');
  await other.getByRole('button', { name: 'Undo' }).click();
  await mine.waitFor();
  await other.getByRole('button', { name: 'Redo' }).click();
  await mine.waitFor({ state: 'detached' });
  await other.waitForFunction(() => !document.querySelector('.dirty'));
  // The first goes elsewhere, where nothing of the file is left, and comes back.
  await page.click('.brand');
  await page.click('[data-example=lesson-13-metastable]');
  await page.getByRole('button', { name: '▶ retries' }).click();
  await page.getByText('In retries').waitFor({ timeout: 30000 });
  await page.locator('#panel-lesson [data-part=why]').getByText('the queue of api').waitFor();
  await page.click('.brand');
  await page.getByRole('button', { name: 'Back to two.yaml' }).click();
  await page.waitForSelector('.node[data-node=db]');
  assert.equal(await page.locator('[data-part=scrubber], [data-part=verdict]').count(), 0);
  await page.click('text=▶ Play');
  await page.getByText('The check held').waitFor({ timeout: 30000 });
  await other.waitForSelector('.node[data-node=db]');
  for (const p of [page, other]) assert.deepEqual(p.problems.filter(x => !x.includes('409')), []);
});

test('by keyboard alone: along the graph, selected, found', async t => {
  const { page } = await shown(t, ['shop']);
  await page.waitForSelector('[data-node=web]');
  await page.locator('.node').first().focus();
  const focused = () => page.evaluate(() => document.activeElement?.dataset['node']);
  await page.keyboard.press('ArrowRight');
  assert.equal(await focused(), 'web');
  await page.keyboard.press('ArrowRight');
  const next = await focused();
  assert.ok(['catalog', 'recommend', 'cart', 'checkout'].includes(next), next);
  await page.keyboard.press('Enter');
  assert.equal(await text(page, '#panel-details h2'), next);
  await page.getByPlaceholder('Find: cart').fill('pric');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelector('#panel-details h2')?.textContent === 'pricing');
  quiet(page);
});

test('a second user without the token, and a page of an older start', async t => {
  const { ui } = await shown(t, ['shop']);
  const page = await open(b, ui.address.replace(/#.*/, ''));
  await page.getByRole('alert').getByText('open the address that').waitFor();
  assert.equal(await page.locator('.node, button').count(), 0);
  await accessible(page);
  await page.context().close();
});

for (const colorScheme of ['light', 'dark']) {
  test(`${colorScheme}, at three sizes: nothing is cut off, and axe finds nothing`, async t => {
    const { page } = await shown(t, ['lesson-10-retry-amplification'], { colorScheme });
    await page.waitForSelector('.node');
    for (const size of [{ width: 1280, height: 800 }, { width: 1920, height: 1080 }, { width: 390, height: 844 }]) {
      await page.setViewportSize(size);
      await page.waitForFunction(width => document.querySelector('[data-part=graph] canvas').width <= width * devicePixelRatio, size.width);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `the page is ${wide} px too wide at ${size.width}`);
      await accessible(page);
      if (process.env.SHOTS) await page.screenshot({ path: join(process.env.SHOTS, `${size.width}-${colorScheme}.png`) });
    }
    quiet(page);
  });
}

test('a system is changed by keyboard alone: services, a call, a fault, undo, save', async t => {
  const { page, file } = await shown(t, ['-f', 'two.yaml']);
  await page.waitForSelector('[data-node=db]');
  const fill = async (label, value, within) => { await page.locator(within).getByLabel(label, { exact: true }).focus(); await page.keyboard.press('Control+a'); await page.keyboard.type(value); };
  await fill('name', 'cart', '[data-part=add-service]');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.node[data-node=cart].chosen');
  await page.getByRole('button', { name: 'Draw a call from it' }).focus();
  await page.keyboard.press('Enter');
  await page.getByText('is to call').waitFor();
  await page.locator('[data-node=db]').focus();
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'cart → db' }).waitFor();
  await page.getByRole('button', { name: 'Undo' }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'cart → db' }).waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Redo' }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'cart → db' }).focus();
  await page.keyboard.press('Enter');
  await page.locator('[data-field=timeout] summary').focus();
  await page.keyboard.press('Enter');
  await fill('time', '700ms', '[data-field=timeout]');
  await page.keyboard.press('Enter');
  await page.locator('[data-field=timeout] summary span').getByText('700ms').waitFor();
  await page.locator('[data-field=retry] summary').focus();
  await page.keyboard.press('Enter');
  await fill('budget.ratio', '0.2', '[data-field=retry]');
  await fill('budget.burst', '5', '[data-field=retry]');
  await page.keyboard.press('Enter');
  await page.locator('[data-field=retry] summary span').getByText('attempts 3').waitFor();
  if (process.env.SHOTS) { await page.locator('[data-field=retry] summary').click(); await page.screenshot({ path: join(process.env.SHOTS, 'policies.png') }); }
  // A name is written once, though Enter and the field that goes both leave it.
  await page.locator('[data-node=db]').focus();
  await page.keyboard.press('Enter');
  await fill('name', 'store', '[data-part=edit-service]');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.node[data-node=store].chosen');
  assert.equal(await page.locator('.bar').count(), 0);
  await page.getByRole('button', { name: 'Undo' }).click();
  await page.locator('[data-node=db]').focus();
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Write it into the file' }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Back to the whole system' }).focus();
  await page.keyboard.press('Enter');
  await page.getByText('planned from 5 s on').waitFor();
  await accessible(page);
  await page.getByRole('button', { name: 'Save' }).focus();
  await page.keyboard.press('Enter');
  await page.getByText('Saved to two.yaml.').waitFor();
  const saved = readFileSync(file, 'utf8');
  for (const line of sample.split('\n')) assert.ok(saved.includes(line), `the line ${line} is gone from\n${saved}`);
  for (const part of [/name: cart/, /timeout: 700ms/, /attempts: 3/, /ratio: 0.2/, /type: latency/]) assert.match(saved, part);
  if (process.env.SHOTS) { await page.click('[data-node=db]'); await page.waitForTimeout(300); await page.screenshot({ path: join(process.env.SHOTS, 'edit.png') }); console.log(saved); }
  quiet(page);
});

test('one request over all services, and two runs side by side', async t => {
  const { page } = await shown(t, ['shop']);
  await page.waitForSelector('[data-node=pricing]');
  await page.click('text=▶ Play');
  await page.getByText('All 7 checks held').waitFor({ timeout: 30000 });
  await page.click('[aria-label=Pause]', { timeout: 2000 }).catch(() => {});
  await page.click('[data-node=pricing]');
  await page.getByText('Single requests through it').click();
  await page.locator('[data-part=requests] [data-request]').first().click();
  const rows = page.locator('[data-part=waterfall] tbody tr');
  await rows.first().waitFor();
  const who = await rows.locator('th').allInnerTexts();
  assert.ok(who[0].startsWith('load') && who.some(w => w.startsWith('pricing/1')) && who.some(w => w.startsWith('→ ')), who.join('; '));
  // No bar leaves its track, and what is below began no earlier.
  const tracks = await page.locator('.track i').evaluateAll(bars => bars.map(b => [b.getBoundingClientRect().left, b.getBoundingClientRect().right, b.parentElement.getBoundingClientRect().left, b.parentElement.getBoundingClientRect().right]));
  for (const [left, right, from, to] of tracks) assert.ok(left >= from - 1 && right <= to + 3, `a bar from ${left} to ${right} in ${from} to ${to}`);
  await accessible(page);
  if (process.env.SHOTS) await page.screenshot({ path: join(process.env.SHOTS, 'waterfall.png') });
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: /^Load/ }).click();
  await page.getByLabel('Seed').fill('8');
  await page.getByRole('button', { name: 'Done' }).click();
  await page.click('text=▶ Play');
  await page.getByRole('button', { name: 'Compare…' }).waitFor({ timeout: 30000 });
  await page.click('[aria-label=Pause]', { timeout: 2000 }).catch(() => {});
  await page.getByRole('button', { name: 'Compare…' }).click();
  await page.locator('[data-part=compare]').getByText('goodput').waitFor();
  assert.match(await text(page, '[data-part=compare]'), /2: shop on virtual, seed 8/);
  assert.equal(await page.locator('[data-part=compare] .plot canvas').count(), 3);
  await accessible(page);
  if (process.env.SHOTS) await page.screenshot({ path: join(process.env.SHOTS, 'compare.png') });
  quiet(page);
});

test('the editor completes keys, choices and services', async t => {
  const { page } = await shown(t, ['-f', 'two.yaml']);
  await page.click('#tab-file');
  const editor = page.locator('[data-part=editor] .cm-content');
  await page.getByText('No mistakes').waitFor();
  await editor.click();
  const offered = async () => { await page.locator('.cm-tooltip-autocomplete li').first().waitFor(); const list = await page.locator('.cm-tooltip-autocomplete li').allInnerTexts(); await page.keyboard.press('Escape'); return list; };
  await page.keyboard.press('Control+End');
  await page.keyboard.type('se');
  assert.deepEqual((await offered()).filter(o => o === 'seed'), ['seed']);
  await page.keyboard.press('Backspace'); await page.keyboard.press('Backspace');
  // In braces: a fault, its types, and whom it hits.
  await page.keyboard.insertText('faults: [{type: ');
  await page.keyboard.type('lat');
  assert.equal((await offered())[0], 'latency');
  await page.keyboard.insertText('ency, target: {service: ');
  await page.keyboard.press('Control+Space');
  assert.deepEqual((await offered()).sort(), ['db', 'web']);
  await page.keyboard.insertText('db}, st');
  await page.keyboard.press('Control+Space');
  const more = await offered();
  assert.ok(more.includes('start') && !more.includes('type'), more.join());
  quiet(page);
});

test('a request with its own route: built by clicking and by keyboard, sent, answered', async t => {
  const { page } = await shown(t, ['-f', 'two.yaml'], undefined, sample.replace('20s', '5min'));
  await page.waitForSelector('[data-node=db]');
  await page.getByText('Send a request').click();
  await page.locator('[data-part=send]').getByText('virtual time takes none').waitFor();
  await page.getByRole('button', { name: 'Play on this machine' }).click();
  await page.waitForSelector('[data-state=running]', { timeout: 20000 });
  await page.getByRole('button', { name: 'Send a request…' }).click();
  const dialog = page.locator('[data-part=request]');
  await dialog.getByLabel('Service of web', { exact: true }).selectOption('web');
  await dialog.getByRole('button', { name: 'Add a route below web', exact: true }).click();
  await dialog.getByLabel('Service of web → db', { exact: true }).selectOption('db');
  await dialog.getByRole('button', { name: 'Add a fault before web → db' }).click();
  await dialog.getByLabel('Fault before web → db', { exact: true }).selectOption('error');
  await dialog.getByLabel('status of error before web → db').fill('418');
  await dialog.getByRole('button', { name: 'Add a fault after web', exact: true }).click();
  await dialog.getByLabel('delay of latency after web').fill('30');
  // A second passes, and the page is drawn anew; what was typed stays.
  const began = await page.locator('[data-state=running]').innerText();
  await page.waitForFunction(was => document.querySelector('[data-state=running]').innerText !== was, began);
  assert.equal(await dialog.getByLabel('delay of latency after web').inputValue(), '30');
  await dialog.getByLabel('delay of latency after web').press('Tab');
  const document = dialog.getByLabel('The request as JSON');
  await until(async () => JSON.parse(await document.inputValue()), {
    designation: 'web', faults: { after: [{ type: 'latency', args: { delay: 30 } }] },
    routes: [{ designation: 'db', faults: { before: [{ type: 'error', args: { status: 418 } }] } }],
  });
  await dialog.getByRole('button', { name: 'Send it' }).click();
  await dialog.getByText('not well at every hop: web -> db: it answered 418').waitFor();
  const rows = async () => (await dialog.locator('[data-part=answer] tbody tr').allInnerTexts()).map(r => r.replace(/\s+/g, ' '));
  const [web, db] = await rows();
  assert.match(web, /^web 200 \d+(\.\d+)? ms$/);
  assert.ok(Number(web.split(' ')[2]) >= 30, web);
  assert.match(db, /^db it answered 418 .* 418 \d+(\.\d+)? (ms|µs)$/);
  assert.equal(await dialog.locator('table').last().locator('tbody tr').count(), 4); // the client, web, its call, db
  await accessible(page);
  if (process.env.SHOTS) await page.screenshot({ path: join(process.env.SHOTS, 'request.png') });

  // By keyboard alone: the fault goes, the probability is 0, so that nothing is left of the route.
  const press = async (name, key = 'Enter') => { await dialog.getByRole('button', { name, exact: true }).focus(); await page.keyboard.press(key); };
  await press('Remove the fault error before web → db');
  await page.waitForFunction(() => globalThis.document.activeElement.closest('[data-part=request]'));
  await dialog.getByLabel('Probability of web → db in percent').focus();
  await page.keyboard.type('0');
  await page.keyboard.press('Tab');
  await press('Send it');
  await dialog.getByText('Every hop has answered well').waitFor();
  assert.equal((await rows()).length, 1);
  await dialog.getByText('1 service was left out').waitFor();

  // A document is pasted; what is wrong with it is said as on the command line.
  await document.fill('{"designation": "web", "rutes": []}');
  await press('Send it');
  await dialog.getByText('request:1:24: rutes: field "rutes" is not known (did you mean "routes"?)').waitFor();
  await document.fill('{"designation": ');
  await dialog.getByText('It cannot be drawn').waitFor();
  await accessible(page);
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  await page.waitForFunction(() => globalThis.document.activeElement.textContent === 'Send a request…');
  await page.getByRole('button', { name: '■ Stop' }).click();
  await page.waitForSelector('[aria-label="Play back"]', { timeout: 30000 });
  // The console names the refusal; nothing else may be there.
  assert.deepEqual(page.problems.filter(p => !p.includes('422')), []);
});

test('alerts are marked in the charts of a recorded run, beside the faults', async t => {
  const { w } = await shown(t, ['--view']);
  const run = w.start('run', 'shop', '--on', 'virtual', '--out', 'out');
  assert.equal(await run.over, 0, run.talk);
  const path = join(w.dir, 'out/result.json'), result = JSON.parse(readFileSync(path, 'utf8'));
  const fired = (alert, service, from, last) => ({ alert, labels: { service }, from, last, resolved: last + 1, resolvedAt: '2026-01-01T00:00:00Z', firedAt: '2026-01-01T00:00:00Z', lastAt: '2026-01-01T00:00:00Z' });
  result.alerts = { prometheus: 'http://localhost', version: '2.42', names: ['HighErrors', 'Slow'], until: 20, fired: [fired('HighErrors', 'pricing', 4, 9), fired('Slow', 'cart', 5, 7)] };
  writeFileSync(path, JSON.stringify(result));
  const page = await open(b, (await w.ui('--run', 'out')).address);
  t.after(() => page.context().close());
  await page.getByText('alerts fired').waitFor();
  const label = () => page.locator('[data-chart=errors] .plot').getAttribute('aria-label');
  assert.match(await label(), /alert HighErrors of pricing fired from 4 s to 9 s; alert Slow of cart fired from 5 s to 7 s/);
  /** How many points of the errors' chart have the colour of alerts. */
  const marked = () => page.evaluate(() => {
    const canvas = document.querySelector('[data-chart=errors] canvas'), { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, 40), probe = document.createElement('i');
    probe.className = 'alert';
    document.body.append(probe);
    const [r, g, b] = getComputedStyle(probe).backgroundColor.match(/\d+/g).map(Number);
    probe.remove();
    let n = 0;
    for (let i = 0; i < data.length; i += 4) if (data[i] === r && data[i + 1] === g && data[i + 2] === b) n++;
    return n;
  });
  await until(async () => await marked() > 100, true);
  if (process.env.SHOTS) await page.screenshot({ path: join(process.env.SHOTS, 'alerts.png') });
  await page.click('[data-node=stock]');
  await until(async () => (await label()).includes('alert'), false);
  await until(async () => await marked() > 0, false);
  await page.click('[data-node=pricing]');
  await until(async () => /pricing fired/.test(await label()) && !/cart/.test(await label()), true);
  await accessible(page);
  quiet(page);
});

test('the ways back and forward of the browser lead to the doors and back, and a link opens in the tab that is there', async t => {
  const { page } = await shown(t, []);
  await page.click('[data-example=shop]');
  await page.waitForSelector('[data-node=pricing]');
  await page.goBack();
  await page.getByText('What do you want to look at?').waitFor();
  await page.goForward();
  await page.waitForSelector('[data-node=pricing]');
  await page.click('.brand');
  await page.click('[data-example=lesson-13-metastable]');
  await page.waitForSelector('[data-node=api]');
  await page.reload();
  await page.waitForSelector('[data-node=api]');
  // What is not saved is asked about.
  await page.click('#tab-file');
  await page.locator('[data-part=editor] .cm-content').click();
  await page.keyboard.insertText('# mine\n');
  page.once('dialog', d => d.dismiss());
  await page.goBack();
  assert.equal(await page.locator('[data-node=api]').count(), 1);
  await page.waitForSelector('.dirty');
  page.once('dialog', d => d.accept());
  await page.goBack();
  await page.getByText('What do you want to look at?').waitFor();
  // What was changed in one file is not undone in another.
  await page.getByRole('button', { name: 'Start empty' }).click();
  await page.waitForSelector('[data-node=web]');
  assert.equal(await page.getByRole('button', { name: 'Undo' }).isDisabled(), true);
  await page.goBack();

  const packed = (await new Response(new Blob([sample]).stream().pipeThrough(new CompressionStream('deflate-raw'))).arrayBuffer());
  await page.evaluate(hash => { location.hash = hash; }, 'text=' + Buffer.from(packed).toString('base64url'));
  await page.waitForSelector('[data-node=db]');
  await page.goBack();
  await page.getByText('What do you want to look at?').waitFor();
  quiet(page);
});
