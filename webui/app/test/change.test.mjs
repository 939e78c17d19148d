// What the panel changes: the file, a running system, and guesses about a lesson.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { browser, looking, open, quiet, sample, accessible, until } from './world.mjs';

let b;
before(async () => { b = await browser(); });
after(async () => { await b.close(); });
const shown = (t, ...rest) => looking(t, b, ...rest);
const shot = async (page, name) => { if (process.env.SHOTS) await page.screenshot({ path: join(process.env.SHOTS, name + '.png') }); };
/** The lines that a text has and another has not. */
const only = (a, other) => a.split('\n').filter(l => !other.split('\n').includes(l));
/** Opens a part of the panel, fills fields of it, and writes it. */
async function part(page, field, values, button) {
  const at = page.locator(`[data-field="${field}"]`);
  await at.locator('summary').click();
  for (const [name, value] of Object.entries(values)) {
    const input = at.getByLabel(name, { exact: true });
    if (await input.evaluate(e => e.tagName) === 'SELECT') await input.selectOption(value); else await input.fill(value);
  }
  await at.getByRole('button', { name: button, exact: true }).click();
}

/** What a hand does with a mouse: presses where something is in sight, drags the plug of a service, types where it has clicked. */
function mouse(page) {
  /** Where the middle of something is, once it stands still: boxes of the graph are put elsewhere, and made anew. */
  const middle = async at => {
    for (let before = null; ; await page.waitForTimeout(30)) {
      const b = await at.boundingBox();
      if (b && before && b.x === before.x && b.y === before.y) return { x: b.x + b.width / 2, y: b.y + b.height / 2 };
      before = b;
    }
  };
  const node = name => page.locator(`.node[data-node=${name}]`);
  const click = async at => { await at.waitFor(); await at.click({ trial: true }); const { x, y } = await middle(at); await page.mouse.click(x, y); };
  return {
    click,
    async type(at, text) { await click(at); await page.mouse.click(...Object.values(await middle(at)), { clickCount: 3 }); await page.keyboard.type(text); },
    /** Ends on a service, or at a point; a key that is pressed on the way gives it up. */
    async drag(from, to, key) {
      const start = await middle(node(from));
      await page.mouse.move(start.x, start.y);
      const plug = await middle(node(from).locator('.plug'));
      await page.mouse.move(plug.x, plug.y);
      await page.mouse.down();
      const end = typeof to === 'string' ? await middle(node(to)) : to;
      for (let n = 1; n <= 5; n++) await page.mouse.move(plug.x + (end.x - plug.x) * n / 5, plug.y + (end.y - plug.y) * n / 5);
      if (typeof to === 'string' && to !== from && !key) await page.waitForSelector(`.node[data-node=${to}].aim`);
      if (key) await page.keyboard.press(key);
      await page.mouse.up();
    },
  };
}

test('work, sizes, load, checks and faults are set in the panel, and only their lines change', async t => {
  const { page, file } = await shown(t, ['-f', 'two.yaml']);
  await page.click('[data-node=db]');
  await page.locator('[data-field=work] small').first().waitFor({ state: 'attached' });
  assert.match(await page.locator('[data-field=work]').innerText(), /sleep 3ms/);
  await part(page, 'work', { sleep: '7ms' }, 'Change');
  await page.locator('[data-field=work] summary').getByText('sleep 7ms').waitFor();
  await part(page, 'response', { size: '2Ki' }, 'Change');
  await page.locator('[data-field=response] summary').getByText('size 2Ki').waitFor();
  await page.locator('[data-part=edit-service]').getByLabel('onCancel').selectOption('stop');
  await until(async () => page.locator('[data-part=edit-service]').getByLabel('onCancel').inputValue(), 'stop');
  // What the checker refuses is said in its words, and can be mended.
  await part(page, 'shed', { queue: '4' }, 'Set');
  await page.locator('.bar.bad').getByText('workers').first().waitFor();
  await page.locator('[data-part=edit-service]').getByLabel('workers', { exact: true }).fill('2');
  await page.keyboard.press('Enter');
  await until(() => page.locator('.bar.bad').count(), 0);
  await page.locator('[data-field=shed]').getByRole('button', { name: 'Set' }).click();
  await page.locator('[data-field=shed] summary').getByText('queue 4').waitFor();
  await accessible(page);
  await shot(page, 'panel-service');

  // A fault is planned, changed and taken out.
  await page.getByRole('button', { name: 'Write it into the file' }).click();
  const planned = page.locator('[data-part=edit-faults]');
  await planned.getByRole('button', { name: /^Change / }).click();
  await page.getByRole('heading', { name: 'Change the fault of the file' }).waitFor();
  await page.locator('[data-part=break]').getByLabel('delay', { exact: true }).fill('40ms');
  await page.locator('[data-part=break]').getByLabel('for', { exact: true }).fill('6s');
  await page.getByRole('button', { name: 'Write it into the file' }).click();
  await planned.getByText('from 5 s to 11 s').waitFor();
  await page.getByRole('button', { name: 'Back to the whole system' }).click();

  // The load and the checks belong to the whole.
  await part(page, 'phase-0', { rate: '55' }, 'Change');
  await page.locator('[data-field=phase-0] summary').getByText('rate 55').waitFor();
  const checks = page.locator('[data-part=edit-checks]');
  await checks.getByLabel('check', { exact: true }).fill('p99 < fast');
  await checks.getByRole('button', { name: 'Add the check' }).click();
  await page.locator('.bar.bad').waitFor();
  await checks.getByLabel('check', { exact: true }).fill('p99 < 1s');
  await checks.locator('select').first().selectOption('db');
  await checks.getByRole('button', { name: 'Add the check' }).click();
  await checks.getByText('p99 < 1s').waitFor();
  await accessible(page);
  await checks.scrollIntoViewIfNeeded();
  await shot(page, 'panel-load');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Saved to two.yaml.').waitFor();
  const saved = readFileSync(file, 'utf8');
  assert.equal(only(sample, saved).length, 2, `changed were\n${only(sample, saved).join('\n')}\nin\n${saved}`);
  assert.match(saved, /- \{name: web, work: \{sleep: 2ms\}, calls: \[db\]\}\n/);
  assert.match(saved, /- \{name: db, .*sleep: 7ms.*\}   # so does this one\n/);
  assert.match(saved, /load: \{rate: 55, duration: 20s\}\n/);
  assert.match(saved, /delay: 40ms/);

  // All of it is undone, step by step, down to the first byte.
  const undo = page.getByRole('button', { name: 'Undo' });
  for (let n = 0; n < 20 && await undo.isEnabled(); n++) await undo.click();
  await page.getByRole('button', { name: 'Save' }).click();
  await until(() => readFileSync(file, 'utf8'), sample);
  // The console names the two refusals; nothing else may be there.
  assert.deepEqual(page.problems.filter(p => !p.includes('422')), []);
});

test('from nothing by keyboard alone: made, saved, played in virtual time and on this machine, broken and mended', async t => {
  const { page, w } = await shown(t, ['-f', 'new.yaml'], undefined, '');
  const press = async (at, key = 'Enter') => { await at.focus(); await page.keyboard.press(key); };
  const button = (name, within = page) => within.getByRole('button', { name, exact: true });
  await page.waitForSelector('[data-node=web]');
  await button('Save').waitFor();
  await press(button('Save'));
  const first = () => readFileSync(join(w.dir, 'new.yaml'), 'utf8');
  await page.getByText('Saved to new.yaml.').waitFor();
  const empty = first();
  await page.locator('[data-part=add-service]').getByLabel('name').focus();
  await page.keyboard.type('db');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.node[data-node=db].chosen');
  await press(page.locator('.node[data-node=web]'));
  await press(button('Draw a call from it'));
  await press(page.locator('.node[data-node=db]'));
  await page.getByRole('button', { name: 'web → db' }).waitFor();
  await press(button('Save'));
  await until(() => only(first(), empty).map(l => l.trim()), ['calls: [db]', '- name: db']);
  assert.deepEqual(only(empty, first()), []);

  await press(button('▶ Play'));
  await page.waitForSelector('[aria-label="Play back"], [aria-label=Pause]', { timeout: 30000 });
  await page.getByLabel('Where to play').focus();
  await page.keyboard.type('on this');
  await press(button('▶ Play'));
  await page.waitForSelector('[data-state=running]', { timeout: 20000 });
  await press(page.locator('.node[data-node=db]'));
  await page.locator('[data-part=break] select').focus();
  await page.keyboard.type('error');
  await press(button('Add the fault'));
  await page.waitForSelector('[data-fault=by-hand-error-db].acts');
  await page.waitForFunction(() => /errors 100%/.test(document.querySelector('[data-chart=errors] .legend')?.textContent ?? ''), null, { timeout: 15000 });
  assert.match(await page.locator('[data-fault=by-hand-error-db]').innerText(), /asked for at \d+\.\d s, in force since \d+\.\d s[\s\S]*errors .+ → \d+/);
  await press(button('Take back'));
  await page.waitForSelector('[data-fault=by-hand-error-db]:not(.acts)');
  await page.waitForFunction(() => /errors 0%/.test(document.querySelector('[data-chart=errors] .legend')?.textContent ?? ''), null, { timeout: 15000 });
  await press(button('■ Stop'));
  await page.waitForSelector('[aria-label="Play back"]', { timeout: 30000 });
  assert.equal(await page.locator('.dirty').count(), 0);
  quiet(page);
});

test('four services are drawn with keys on the graph alone', async t => {
  const { page, w } = await shown(t, ['-f', 'new.yaml'], undefined, '');
  const node = name => page.locator(`.node[data-node=${name}]`), focused = () => page.evaluate(() => document.activeElement?.dataset['node']);
  await node('web').focus();
  await page.getByText('By keyboard').waitFor();
  assert.ok(await node('web').locator('.plug').isVisible(), 'the dot that is dragged is not to be seen');
  /** Adds a service that the one with the keyboard calls, and names it. */
  const add = async name => {
    await page.keyboard.press('n');
    await page.waitForFunction(() => { const f = document.activeElement; return f?.closest('[data-part=edit-service]') && f.value === 'service' && f.selectionEnd === 7; });
    await page.keyboard.type(name);
    await page.keyboard.press('Enter');
    await until(focused, name);
  };
  await add('cart');
  await add('db');
  await node('web').focus();
  await add('stock');
  await page.keyboard.press('c');
  await page.getByText('is to call').waitFor();
  await node('db').focus();
  await page.keyboard.press('Enter');
  await until(() => page.getByText('is to call').count(), 0);
  await add('mistake');
  await page.keyboard.press('Delete');
  await node('mistake').waitFor({ state: 'detached' });
  // A key that is given up draws nothing, and the clients take none.
  await node('cart').focus();
  await page.keyboard.press('c');
  await page.keyboard.press('Escape');
  await until(() => page.getByText('is to call').count(), 0);
  await page.locator('.node.clients').focus();
  for (const key of ['n', 'c', 'Delete']) await page.keyboard.press(key);
  await page.getByRole('button', { name: 'Save' }).focus();
  await page.keyboard.press('Enter');
  await page.getByText('Saved to new.yaml.').waitFor();
  const calls = readFileSync(join(w.dir, 'new.yaml'), 'utf8').split('\n').filter(l => /name: (?!mine)|calls:/.test(l)).map(l => l.replace(/^[ -]+/, '').trim());
  assert.deepEqual(calls, ['name: web', 'calls: [cart, stock]', 'name: cart', 'calls: [db]', 'name: db', 'name: stock', 'calls: [db]']);
  quiet(page);
});

test('from nothing by mouse alone: drawn, set, played in virtual time and on this machine, broken and mended', async t => {
  const { page, w } = await shown(t, ['-f', 'new.yaml'], undefined, '');
  const { click, drag, type } = mouse(page);
  const button = (name, within = page) => within.getByRole('button', { name, exact: true });
  const saved = () => readFileSync(join(w.dir, 'new.yaml'), 'utf8');
  await page.waitForSelector('[data-node=web]');
  await page.locator('.first').getByText('This is a system of one service').waitFor();
  await click(button('Save'));
  await page.getByText('Saved to new.yaml.').waitFor();
  const empty = saved();

  // A service from the button, and one that comes with a call which ends where nothing is. A name is typed, the rest is the mouse.
  const renamed = async (was, name) => {
    await page.waitForSelector(`.node[data-node=${was}].chosen`);
    await page.waitForFunction(was => { const f = document.activeElement; return f?.closest('[data-part=edit-service]') && f.value === was && f.selectionStart === 0 && f.selectionEnd === was.length; }, was);
    await page.keyboard.type(name);
    await page.keyboard.press('Enter');
    await page.waitForSelector(`.node[data-node=${name}].chosen`);
  };
  await click(button('+ Service'));
  await renamed('service', 'db');
  const web = await page.locator('.node[data-node=web]').boundingBox();
  await drag('web', { x: web.x + web.width + 120, y: web.y + web.height + 160 });
  await renamed('service', 'cart');
  await drag('cart', 'db');
  await page.getByRole('heading', { name: 'cart → db' }).waitFor();
  // A call that ends on its own service, and one that is given up, draw nothing.
  await drag('cart', 'cart');
  await drag('web', 'db', 'Escape');

  // The fields of a call, of a service and of the load.
  await click(page.locator('[data-field=timeout] summary'));
  await type(page.locator('[data-field=timeout]').getByLabel('time', { exact: true }), '700ms');
  await click(page.locator('[data-field=timeout]').getByRole('button', { name: 'Set' }));
  await page.locator('[data-field=timeout] summary').getByText('700ms').waitFor();
  await click(page.locator('.node[data-node=db]'));
  await click(page.locator('[data-field=work] summary'));
  await type(page.locator('[data-field=work]').getByLabel('sleep', { exact: true }), '8ms');
  await click(page.locator('[data-field=work]').getByRole('button', { name: 'Change' }));
  await page.locator('[data-field=work] summary').getByText('sleep 8ms').waitFor();
  await click(button('Back to the whole system'));
  await click(page.locator('[data-field=phase-0] summary'));
  await type(page.locator('[data-field=phase-0]').getByLabel('rate', { exact: true }), '40');
  await click(page.locator('[data-field=phase-0]').getByRole('button', { name: 'Change' }));
  await page.locator('[data-field=phase-0] summary').getByText('rate 40').waitFor();
  await accessible(page);
  await shot(page, 'mouse');

  await click(button('▶ Play'));
  await page.waitForSelector('[aria-label="Play back"], [aria-label=Pause]', { timeout: 30000 });
  await page.selectOption('[aria-label="Where to play"]', 'local');
  await click(button('▶ Play'));
  await page.waitForSelector('[data-state=running]', { timeout: 20000 });
  await click(page.locator('.node[data-node=db]'));
  await page.locator('[data-part=break] select').selectOption('error');
  await click(button('Add the fault'));
  await page.waitForSelector('[data-fault=by-hand-error-db].acts');
  const legend = want => page.waitForFunction(text => document.querySelector('[data-chart=errors] .legend')?.textContent.includes(text), want, { timeout: 15000 });
  await legend('errors 100%');
  await page.locator('.node[data-node=db] .badges .fault').waitFor();
  await click(button('Take back'));
  await page.waitForSelector('[data-fault=by-hand-error-db]:not(.acts)');
  await legend('errors 0%');
  await click(button('■ Stop'));
  await page.waitForSelector('[aria-label="Play back"]', { timeout: 30000 });
  await click(button('Save'));
  await page.waitForFunction(() => !document.querySelector('.dirty'));

  // What was set is there, and of what was there before only the rate has another value.
  assert.deepEqual(only(saved(), empty), ['    calls: [cart]', '  - name: db', '    work: {sleep: 8ms}', '  - name: cart', '    calls: [{to: db, timeout: 700ms}]', '  rate: 40']);
  assert.deepEqual(only(empty, saved()), ['  rate: 20']);
  quiet(page);
});

test('a running system is changed: more replicas, a new service, a call, and none', async t => {
  const { w, page } = await shown(t, ['-f', 'two.yaml', '--out', 'out'], undefined, sample.replace('20s', '5min'));
  await page.waitForSelector('[data-node=db]');
  await page.selectOption('[aria-label="Where to play"]', 'local');
  await page.click('text=▶ Play');
  await page.waitForSelector('[data-state=running]', { timeout: 20000 });
  const apply = page.getByRole('button', { name: 'Apply to the running system' });
  const applied = async () => { await apply.click(); await page.getByText('The running system is what the text describes.').waitFor({ timeout: 20000 }); await page.getByLabel('Close this message').click(); };
  await page.click('[data-node=db]');
  await page.locator('[data-part=edit-service]').getByLabel('replicas', { exact: true }).fill('3');
  await page.keyboard.press('Enter');
  await applied();
  await page.waitForFunction(() => /3 of 3/.test(document.querySelector('#panel-details dl.figures')?.textContent ?? ''), null, { timeout: 15000 });
  await page.getByRole('button', { name: 'Back to the whole system' }).click();
  await page.locator('[data-part=add-service]').getByLabel('name').fill('cart');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.node[data-node=cart].chosen');
  await page.click('[data-node=web]');
  await page.getByRole('button', { name: 'Draw a call from it' }).click();
  await page.click('[data-node=cart]');
  await page.getByRole('button', { name: 'web → cart' }).waitFor();
  await applied();
  await page.getByRole('button', { name: 'web → cart' }).click();
  // The chart of the new call has its requests, and what was before it is not known.
  await page.waitForFunction(() => /calls [1-9]/.test(document.querySelector('[data-chart=rate] .legend')?.textContent ?? ''), null, { timeout: 15000 });
  await page.getByRole('button', { name: 'Remove the call' }).click();
  await applied();
  await page.locator('[data-part=changes] li').nth(2).waitFor();
  assert.match(await page.locator('[data-part=changes]').innerText(), /db: replicas 1 to 3[\s\S]*web: call of cart added; cart is added[\s\S]*web: call of cart removed/);
  await accessible(page);
  await shot(page, 'changed');
  await page.getByRole('button', { name: '■ Stop' }).click();
  await page.waitForSelector('[aria-label="Play back"]', { timeout: 30000 });
  const result = JSON.parse(readFileSync(join(w.dir, 'out/run-1/result.json'), 'utf8'));
  assert.deepEqual(result.changes.map(c => c.what.join()), ['db: replicas 1 to 3', 'web: call of cart added,cart is added', 'web: call of cart removed']);
  quiet(page);
});

test('a change that takes its time says what was asked for, and what is there of it', async t => {
  let healthy = false;
  const pay = createServer((request, response) => { response.statusCode = healthy ? 200 : 503; response.end(); }).listen(0, '127.0.0.1');
  await once(pay, 'listening');
  t.after(() => { pay.closeAllConnections(); pay.close(); });
  const { page, ui } = await shown(t, ['-f', 'two.yaml'], undefined, sample.replace('20s', '5min'));
  await page.waitForSelector('[data-node=db]');
  await page.selectOption('[aria-label="Where to play"]', 'local');
  await page.click('text=▶ Play');
  await page.waitForSelector('[data-state=running]', { timeout: 20000 });
  await page.click('#tab-file');
  await page.locator('[data-part=editor] .cm-line').filter({ hasText: 'name: db' }).click();
  await page.keyboard.press('End');
  await page.keyboard.insertText(`\n  - {name: pay, url: "http://127.0.0.1:${pay.address().port}", readiness: {path: /healthz, period: 1s}}`);
  await page.waitForSelector('.node[data-node=pay]');
  await page.click('[data-node=db]');
  await page.locator('[data-part=edit-service]').getByLabel('replicas', { exact: true }).fill('3');
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Apply to the running system' }).click();
  // Another tab is told, too.
  const other = await open(b, ui.address);
  t.after(() => other.context().close());
  for (const p of [page, other]) {
    await p.locator('[data-part=under-way]').getByText('db: 3 asked for, 3 answer').waitFor({ timeout: 20000 });
    await p.locator('[data-part=under-way]').getByText('pay: 1 asked for').waitFor();
  }
  await page.getByRole('button', { name: 'Changing it…' }).waitFor();
  await page.locator('.node[data-node=pay] .badges').getByText('1 asked for').waitFor();
  await page.locator('dl.figures').getByText('3 of 3').waitFor();
  await page.getByRole('button', { name: 'Back to the whole system' }).click();
  await page.locator('[data-part=changes]').getByText('db: replicas 1 to 3; pay is added, under way').waitFor();
  await accessible(page);
  await shot(page, 'under-way');
  healthy = true;
  await page.getByText('The running system is what the text describes.').waitFor({ timeout: 20000 });
  for (const p of [page, other]) await p.locator('[data-part=under-way]').waitFor({ state: 'detached' });
  await page.locator('[data-part=changes]').getByText('db: replicas 1 to 3; pay is added, done after').waitFor();
  quiet(page);
});

test('a system that is only watched is changed, too', async t => {
  const { w } = await shown(t, ['--view']);
  const up = w.start('up', '-f', 'two.yaml', '--on', 'local');
  await until(() => up.talk.includes('Control plane'), true);
  const page = await open(b, (await w.ui('--system', 'two', '--on', 'local')).address);
  t.after(() => page.context().close());
  await page.click('[data-node=db]');
  await page.locator('[data-part=edit-service]').getByLabel('replicas', { exact: true }).fill('2');
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Apply to the running system' }).click();
  await page.getByText('The running system is what the text describes.').waitFor({ timeout: 20000 });
  const status = w.start('status', 'two', '--on', 'local', '-o', 'json');
  await status.over;
  assert.equal(status.text.match(/"service": "db"/g)?.length, 2, status.text);
  await page.waitForFunction(() => !document.querySelector('.dirty'));
  quiet(page);
});

test('a lesson asks for a guess about each variant, and a link opens it as it was left', async t => {
  const { page } = await shown(t, []);
  await page.click('[data-example=lesson-13-metastable]');
  const retries = page.locator('[data-guess=retries]'), shedding = page.locator('[data-guess=shedding]');
  assert.match(await retries.innerText(), /retries[\s\S]*errors > 80%/);
  await retries.getByRole('group', { name: 'Your guess about errors > 80% in retries' }).getByRole('button', { name: 'holds' }).click();
  await shedding.getByRole('group', { name: 'Your guess about errors < 40% in shedding' }).getByRole('button', { name: 'breaks' }).click();
  await accessible(page);
  await shot(page, 'lesson-guess');
  await page.getByRole('button', { name: '▶ retries' }).click();
  await page.locator('[data-score=retries]').getByText('In retries, you were right about 1 of 1.').waitFor({ timeout: 30000 });
  await page.getByRole('button', { name: '▶ shedding' }).click();
  await page.locator('[data-score=shedding]').getByText('In shedding, you were right about 0 of 1.').waitFor({ timeout: 30000 });
  assert.equal(await page.locator('[data-score=retries]').count(), 1);
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.getByRole('button', { name: 'Link' }).click();
  await page.getByText('The link is copied').waitFor();
  const link = await page.evaluate(() => navigator.clipboard.readText());
  const other = await page.context().newPage();
  await other.goto(link);
  await other.locator('[data-guess=shedding]').waitFor();
  assert.equal(await other.locator('[aria-label=Variant]').inputValue(), 'shedding');
  quiet(page);
});

test('a data store is offered the faults of stores, and a service those of services', async t => {
  const { page } = await shown(t, ['lesson-37-failover']);
  const types = async name => {
    await page.click(`.node[data-node=${name}]`);
    await page.locator('[data-part=break] select').waitFor();
    await until(async () => page.locator('.heading h2').textContent(), name);
    return { chosen: await page.locator('[data-part=break] select').inputValue(), all: await page.locator('[data-part=break] option').allTextContents() };
  };
  const store = await types('db'), service = await types('web');
  assert.equal(store.chosen, 'slow-query');
  assert.equal(service.chosen, 'latency');
  for (const [type, ofStore, ofService] of [['slow-query', true, false], ['failover', true, false], ['latency', false, true], ['panic', false, true], ['kill', true, true], ['net-delay', true, true]]) {
    assert.equal(store.all.includes(type), ofStore, `${type} of a store`);
    assert.equal(service.all.includes(type), ofService, `${type} of a service`);
  }
});
