// What is done to a system, and to its load, while it runs, and clusters that go away.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { World, browser, looking, open, quiet, sample, accessible, until } from './world.mjs';

let b;
before(async () => { b = await browser(); });
after(async () => { await b.close(); });

test('the load is changed while it is sent: the charts mark it, and the ground truth has it', async t => {
  const { page, w } = await looking(t, b, ['-f', 'two.yaml', '--out', 'out'], undefined, sample.replace('20s', '5min'));
  await page.waitForSelector('[data-node=db]');
  await page.selectOption('[aria-label="Where to play"]', 'local');
  await page.getByRole('button', { name: '▶ Play' }).click();
  await page.waitForSelector('[data-state=running]', { timeout: 20000 });
  const ended = () => page.locator('[data-chart=rate] .legend b').first().innerText().then(parseFloat);
  const rate = async (low, high) => until(async () => { const v = await ended(); return v >= low && v <= high ? 'as wanted' : v; }, 'as wanted', 400);
  await rate(25, 55);
  const load = page.locator('[data-part=live-load]');
  await load.getByLabel('load ×').fill('2000');
  await load.getByRole('button').click();
  assert.equal(await page.locator('[data-part=changes]').count(), 0, 'a factor that is not possible was sent');
  await load.getByLabel('load ×').fill('3');
  await load.getByRole('button').click();
  await page.locator('[data-part=changes]').getByText('load × 1 to × 3').waitFor();
  await rate(100, 140);
  assert.match(await page.locator('[data-chart=rate] .plot').getAttribute('aria-label'), /; at \d+ s: load × 1 to × 3/);
  await page.locator('.scrubber').getByText('changed', { exact: true }).waitFor();
  await load.getByLabel('load ×').fill('0');
  await page.keyboard.press('Enter');
  await page.locator('[data-part=changes]').getByText('load × 3 to × 0').waitFor();
  await rate(0, 0);
  await accessible(page);
  await page.getByRole('button', { name: '■ Stop' }).click();
  await page.waitForSelector('[aria-label="Play back"]', { timeout: 30000 });
  assert.equal(await load.count(), 0);
  const { changes } = JSON.parse(readFileSync(join(w.dir, 'out/run-1/result.json'), 'utf8'));
  assert.deepEqual(changes.map(c => c.load), [{ from: 1, to: 3 }, { from: 3, to: 0 }]);
  assert.ok(changes.every(c => c.done - c.asked < 1), JSON.stringify(changes));
  quiet(page);
});

test('a system of this machine that stops answering is waited for', async t => {
  const w = new World();
  t.after(() => w.close());
  writeFileSync(join(w.dir, 'two.yaml'), sample);
  const up = w.start('up', '-f', 'two.yaml', '--on', 'local');
  await until(() => up.talk.includes('Control plane'), true, 400);
  const page = await open(b, (await w.ui('--system', 'two', '--on', 'local')).address);
  t.after(() => page.context().close());
  await page.waitForSelector('[data-part=scrubber]');
  up.kill('SIGSTOP');
  t.after(() => up.kill('SIGCONT'));
  await page.locator('[data-part=unreachable]').getByText(/No answer from system two for \d+ s: .*What was seen of it stays here/).waitFor({ timeout: 30000 });
  assert.equal(await page.locator('.node').count(), 3);
  up.kill('SIGCONT');
  await page.getByText('it answers again, after').waitFor({ timeout: 30000 });
  assert.equal(await page.locator('[data-part=unreachable]').count(), 0);
});

/** An API server with one system, which can be away. */
class Cluster {
  sockets = new Set();
  gone = false;
  system = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'microsim-two', namespace: 'two', uid: 'one', labels: { 'app.kubernetes.io/managed-by': 'microsim', 'microsim.dev/system': 'two' } }, data: { seed: '1', 'system.yaml': 'apiVersion: microsim.dev/v1alpha1\nkind: System\nname: two\nservices:\n- {name: web, calls: [db]}\n- {name: db}\n' } };

  async come(port = 0) {
    this.server = createServer((request, response) => this.answer(new URL(request.url, 'http://api'), response));
    this.server.on('connection', s => { this.sockets.add(s); s.on('close', () => this.sockets.delete(s)); });
    this.server.listen(port, '127.0.0.1');
    await once(this.server, 'listening');
    this.port = this.server.address().port;
  }
  async go() {
    const closed = once(this.server, 'close');
    this.server.close();
    for (const s of this.sockets) s.destroy();
    await closed;
  }
  answer(url, response) {
    const say = (status, body) => { response.writeHead(status, { 'Content-Type': 'application/json' }); response.end(JSON.stringify(body)); };
    if (url.searchParams.get('watch')) { response.writeHead(200, { 'Content-Type': 'application/json' }); response.flushHeaders(); return; }
    const list = (kind, items) => say(200, { apiVersion: 'v1', kind, metadata: { resourceVersion: '1' }, items });
    if (url.pathname === '/api/v1/configmaps') return list('ConfigMapList', this.gone ? [] : [this.system]);
    if (url.pathname.endsWith('/pods')) return list('PodList', []);
    return say(404, { apiVersion: 'v1', kind: 'Status', status: 'Failure', reason: 'NotFound', code: 404, message: 'not found' });
  }
}

test('a cluster that goes away: the page says so, keeps what it has seen, and goes on when it is back', async t => {
  const w = new World(), api = new Cluster();
  t.after(async () => { await w.close(); await api.go(); });
  await api.come();
  const config = { apiVersion: 'v1', kind: 'Config', 'current-context': 'c', clusters: [{ name: 'c', cluster: { server: `http://127.0.0.1:${api.port}` } }], users: [{ name: 'u', user: {} }], contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }] };
  writeFileSync(join(w.dir, 'kubeconfig'), JSON.stringify(config));
  const page = await open(b, (await w.ui('--system', 'two', '--on', 'cluster', '--kubeconfig', 'kubeconfig')).address);
  t.after(() => page.context().close());
  await page.waitForSelector('[data-part=scrubber]');
  const seen = Number(await page.locator('.scrubber input').getAttribute('max'));
  await api.go();
  const bar = page.locator('[data-part=unreachable]');
  await bar.getByText(/No answer from system two for \d+ s: .*connection refused/).waitFor({ timeout: 30000 });
  await page.getByText('does not answer', { exact: true }).waitFor();
  await accessible(page);
  assert.equal(await page.locator('.node').count(), 3);
  assert.ok(Number(await page.locator('.scrubber input').getAttribute('max')) >= seen);
  // What is asked for meanwhile is refused in words.
  await page.click('[data-node=db]');
  await page.getByRole('button', { name: 'Add the fault' }).click();
  await page.locator('.bar.bad').getByText('connection refused').nth(1).waitFor({ timeout: 20000 });

  await api.come(api.port);
  await page.getByText('it answers again, after').waitFor({ timeout: 30000 });
  assert.equal(await bar.count(), 0);
  await page.getByText('runs on the cluster').waitFor();
  await page.waitForFunction(n => Number(document.querySelector('.scrubber input')?.max) > n, seen + 2, { timeout: 20000 });
  api.gone = true;
  await page.locator('.bar.bad, .note.bad').getByText('the system has ended').first().waitFor({ timeout: 30000 });
  await page.getByRole('button', { name: 'Watch again' }).waitFor();
  assert.equal(await page.locator('.node').count(), 3);
});
