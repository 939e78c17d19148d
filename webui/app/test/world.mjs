// What the browser tests share: the program, and a browser that looks at it.
import { spawn } from 'node:child_process';
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { chromium } from 'playwright-core';

const program = process.env.MICROSIM ?? new URL('../../../bin/kubectl-microsim', import.meta.url).pathname;
const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
export const sample = `# A comment that stays.
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: two
system:
  name: two
  services:
  - {name: web, work: {sleep: 2ms}, calls: [db]}
  - {name: db, work: {sleep: 3ms}}   # so does this one
load: {rate: 40, duration: 20s}
checks:
- {check: errors < 1%}
`;

/** A directory and a registry of systems of a test's own; end() ends what it has started. */
export class World {
  dir = mkdtempSync(join(tmpdir(), 'microsim-webui-'));
  children = [];

  start(...args) {
    const child = spawn(program, args, { env: { ...process.env, MICROSIM_STATE_DIR: join(this.dir, 'state') }, cwd: this.dir, stdio: ['ignore', 'pipe', 'pipe'] });
    child.text = '';
    child.talk = '';
    child.stdout.on('data', d => { child.text += d; });
    child.stderr.on('data', d => { child.talk += d; });
    child.over = once(child, 'close').then(([code]) => code);
    this.children.push(child);
    return child;
  }
  /** Starts `ui`, and returns its process with its address. */
  async ui(...args) {
    const child = this.start('ui', '--no-open', ...args);
    for (let n = 0; n < 300 && !child.text.includes('\n'); n++) {
      if (child.exitCode !== null) throw new Error(`ui ended with ${child.exitCode}: ${child.talk}`);
      await new Promise(done => setTimeout(done, 50));
    }
    child.address = child.text.trim();
    return child;
  }
  async end(child) {
    if (child.exitCode === null) child.kill('SIGINT');
    return child.over;
  }
  async close() {
    for (const c of this.children) await this.end(c);
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export const browser = () => chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'] });

/** A page at a size, whose errors fail the test by being listed. */
export async function open(b, address, { width = 1280, height = 800, colorScheme = 'light' } = {}) {
  const context = await b.newContext({ viewport: { width, height }, colorScheme });
  const page = await context.newPage();
  page.problems = [];
  page.on('console', m => { if (['error', 'warning'].includes(m.type())) page.problems.push(m.text()); });
  page.on('pageerror', e => page.problems.push(String(e)));
  await page.goto(address);
  return page;
}

/** A world with a page, which is closed whatever happens; the page may say nothing on its console. */
export async function looking(t, b, args, size, write = sample) {
  const w = new World();
  t.after(() => w.close());
  const file = join(w.dir, 'two.yaml');
  if (write) writeFileSync(file, write);
  const ui = await w.ui(...args);
  const page = await open(b, ui.address, size);
  t.after(() => page.context().close());
  return { w, ui, page, file };
}
/** Waits until a value is what it should be; a page on a busy machine draws a moment later. */
export async function until(get, want, most = 100) {
  for (let n = 0; ; n++) {
    try { return assert.deepEqual(await get(), want); } catch (e) { if (n === most) throw e; }
    await new Promise(done => setTimeout(done, 50));
  }
}
export const quiet = page => assert.deepEqual(page.problems, []);
export const text = (page, selector) => page.locator(selector).innerText();
/** That axe finds nothing at all. */
export async function accessible(page) {
  // The page's policy keeps scripts out that are not its own; this one comes through the browser.
  await page.evaluate(readFileSync(axe, 'utf8'));
  const found = await page.evaluate(async () => (await globalThis.axe.run(document, { resultTypes: ['violations'] })).violations.map(v => v.id + ': ' + v.nodes.map(n => n.target.join(' ') + ' ' + n.failureSummary).join('; ')));
  assert.deepEqual(found, []);
}
