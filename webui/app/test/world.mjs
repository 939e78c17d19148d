// What the browser tests share: the program, and a browser that looks at it.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { chromium } from 'playwright-core';

const program = process.env.MICROSIM ?? new URL('../../../bin/kubectl-microsim', import.meta.url).pathname;

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
