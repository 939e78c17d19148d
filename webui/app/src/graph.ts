import type { Placed } from './api';
import type { Drawn } from './group';
import { printing } from './print';

/** What a box shows at a moment. */
export interface BoxLook { rate: string; detail: string; short?: string; level: number; badges: { text: string; title: string; tone: string }[]; dim: boolean }
/** What an edge shows: how many requests a second, how bad, and whether a breaker holds calls back. */
export interface EdgeLook { rate: number; errors: number; level: number; open: boolean; fault: boolean; dim: boolean; text: string }
export interface Looks { box(i: number): BoxLook; edge(i: number): EdgeLook; moving: boolean; perDot(k: number): void }
export interface Chosen { box(i: number): void; edge(i: number): void; none(): void; /** A call was drawn from a box to another, or to where no box is. */ link(from: number, to: number | null): void; /** A key was pressed on a box: n for a new service that it calls, c for a call, Delete. */ key(i: number, key: string): boolean }

const far = 0.42;

/** The graph: edges and dots on one canvas, boxes as elements when they are near, on the canvas when they are far. */
export class GraphView {
  private readonly canvas = document.createElement('canvas');
  private readonly layer = document.createElement('div');
  private readonly ink: CanvasRenderingContext2D;
  private drawn: Drawn = { boxes: [], edges: [] };
  private placed: Placed = { width: 1, height: 1, nodeWidth: 184, nodeHeight: 66, nodes: [], paths: [], boxes: [], edges: [] };
  private parts: Part[][] = [];
  private curves: Path2D[] = [];
  private bounds: [number, number, number, number][] = [];
  private lengths: { points: Float64Array; total: number }[] = [];
  private elements = new Map<number, HTMLButtonElement>();
  private scale = 1;
  private boxScale = 1;
  private x = 0;
  private y = 0;
  private frame = 0;
  /** Whether the user has moved the view, which then stays when the window changes. */
  private moved = false;
  private looks: Looks | null = null;
  /** Grows when boxes look different; elements that have seen it are as they should be. */
  private stamp = 0;
  private readonly seen = new Map<HTMLElement, number>();
  private chosenBox = -1;
  private chosenEdge = -1;
  /** Whether letters are for a projector. */
  big = false;
  private hover = -1;
  /** The call that is being drawn: from which box, to which, and where the pointer is. */
  private pulled: { from: number; to: number; x: number; y: number } | null = null;
  private colours: Record<string, string> = {};
  private readonly still = matchMedia('(prefers-reduced-motion: reduce)');

  constructor(private readonly host: HTMLElement, private readonly chosen: Chosen) {
    this.canvas.setAttribute('aria-hidden', 'true');
    this.layer.className = 'boxes';
    this.layer.setAttribute('role', 'group');
    this.layer.setAttribute('aria-label', 'Services. Arrow keys lead to the next one, Enter selects. N adds a service that it calls, C draws a call to another, Delete removes it.');
    this.host.append(this.canvas, this.layer);
    this.ink = this.canvas.getContext('2d')!;
    new ResizeObserver(() => { this.resize(); }).observe(host);
    this.host.addEventListener('wheel', e => this.wheel(e), { passive: false });
    this.host.addEventListener('pointerdown', e => this.press(e));
    this.host.addEventListener('pointermove', e => this.point(e));
    this.layer.addEventListener('keydown', e => this.key(e));
    this.repaint();
  }

  /** Shows another graph; its view stays if it has the same boxes. */
  show(drawn: Drawn, placed: Placed): void {
    const same = (placed.down ?? false) === (this.placed.down ?? false) && drawn.boxes.length === this.drawn.boxes.length && drawn.boxes.every((b, i) => b.id === this.drawn.boxes[i]!.id);
    const focused = this.focused();
    const id = focused >= 0 ? this.drawn.boxes[focused]?.id : undefined;
    this.drawn = drawn;
    this.placed = placed;
    this.host.classList.toggle('down', placed.down ?? false);
    for (const e of this.elements.values()) e.remove();
    this.elements.clear();
    this.seen.clear();
    this.bounds = placed.paths.map(p => {
      const x = p.filter((_, j) => j % 2 === 0), y = p.filter((_, j) => j % 2 === 1);
      return [Math.min(...x) - 60, Math.min(...y) - 60, Math.max(...x) + 60, Math.max(...y) + 60];
    });
    this.parts = placed.paths.map((p, i) => this.partsOf(p, drawn.edges[i]!));
    this.curves = this.parts.map(curve);
    this.lengths = this.parts.map(measured);
    // The same boxes may stand elsewhere; a view that nobody has moved shows all of them.
    if (!same || !this.moved) this.fit();
    this.render();
    if (id !== undefined) this.focus(drawn.boxes.findIndex(b => b.id === id));
  }
  look(looks: Looks): void { this.looks = looks; this.stamp++; this.render(); }
  select(box: number, edge: number): void { this.chosenBox = box; this.chosenEdge = edge; this.stamp++; this.render(); }
  /** Colours come from the style sheet; the theme may have changed. */
  repaint(): void {
    const style = getComputedStyle(document.documentElement);
    const probe = document.createElement('i');
    this.host.append(probe);
    for (const name of ['--ink', '--soft', '--line', '--sheet', '--accent', '--edge', '--edge-1', '--edge-2', '--edge-3', '--edge-4', '--level-0', '--level-1', '--level-2', '--level-3', '--level-4', '--dot', '--bad', '--warn']) {
      probe.style.color = style.getPropertyValue(name);
      this.colours[name] = getComputedStyle(probe).color;
    }
    probe.remove();
    this.stamp++;
    this.render();
  }

  fit(): void {
    const w = this.host.clientWidth, h = this.host.clientHeight, pad = w < 600 ? 12 : 28;
    if (!w || !h) return;
    // The search box lies above the graph, the legend below it.
    const top = h > 320 ? 56 : pad, bottom = h > 320 ? 52 : pad;
    const wide = (w - 2 * pad) / this.placed.width, whole = Math.min(wide, (h - top - bottom) / this.placed.height, 1.25);
    // A small window shows the beginning in a size that can be read, not everything too small.
    this.scale = this.placed.down ? Math.max(whole, Math.min(wide, 0.55)) : Math.max(whole, this.drawn.boxes.length > 80 ? 0.06 : w < 600 ? 0.52 : 0.3);
    this.x = this.placed.width * this.scale < w ? (w - this.placed.width * this.scale) / 2 : pad;
    const free = h - top - bottom - this.placed.height * this.scale;
    this.y = free > 0 ? top + free / 2 : top;
    this.moved = false;
    this.render();
  }
  zoom(by: number, at = { x: this.host.clientWidth / 2, y: this.host.clientHeight / 2 }): void {
    this.moved = true;
    const next = Math.min(Math.max(this.scale * by, 0.04), 2.5), k = next / this.scale;
    this.x = at.x - (at.x - this.x) * k;
    this.y = at.y - (at.y - this.y) * k;
    this.scale = next;
    this.render();
  }
  /** Brings a box into view and gives it the keyboard. */
  focus(i: number): void {
    if (i < 0) return;
    if (this.scale < far) { this.scale = 0.8; this.moved = true; }
    this.bring(i);
    this.draw(performance.now());
    this.elements.get(i)?.focus({ preventScroll: true });
  }
  /** Moves the view until a box is in it. */
  private bring(i: number): void {
    const w = this.host.clientWidth, h = this.host.clientHeight;
    const left = this.placed.nodes[2 * i]! * this.scale + this.x, top = this.placed.nodes[2 * i + 1]! * this.scale + this.y;
    const bw = this.placed.nodeWidth * this.scale, bh = this.placed.nodeHeight * this.scale;
    if (left < 8 || left + bw > w - 8) this.x += w / 2 - left - bw / 2;
    // The search box lies above, the legend below.
    if (top < 60 || top + bh > h - 48) this.y += h / 2 - top - bh / 2;
  }

  private focused(): number {
    const active = document.activeElement;
    for (const [i, e] of this.elements) if (e === active) return i;
    return -1;
  }
  private onScreen: [number, number, number, boolean] = [0, 0, 1, false];
  /** Shows the whole graph on paper, and on the screen again what it showed before. */
  paper(): void {
    if (printing()) { this.onScreen = [this.x, this.y, this.scale, this.moved]; this.moved = false; } else [this.x, this.y, this.scale, this.moved] = this.onScreen;
    this.resize();
    this.repaint();
    this.draw(performance.now());
  }
  /** How many points of the canvas a pixel has. */
  private ratio(): number { return printing() ? 3 : devicePixelRatio || 1; }
  private resize(): void {
    const ratio = this.ratio();
    const first = this.canvas.width === 300 && this.canvas.height === 150;
    this.canvas.width = this.host.clientWidth * ratio;
    this.canvas.height = this.host.clientHeight * ratio;
    if (first || !this.moved) this.fit();
    if (this.placed.down && this.chosenBox >= 0 && this.chosenBox < this.drawn.boxes.length) this.bring(this.chosenBox);
    this.render();
  }
  private render(): void {
    if (!this.frame) this.frame = requestAnimationFrame(now => { this.frame = 0; this.draw(now); });
  }

  private draw(now: number): void {
    const c = this.ink, ratio = this.ratio(), looks = this.looks;
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.clearRect(0, 0, this.canvas.width, this.canvas.height);
    c.setTransform(this.scale * ratio, 0, 0, this.scale * ratio, this.x * ratio, this.y * ratio);
    let busiest = 0;
    const seen = this.window();
    const edges = this.drawn.edges.map((_, i) => looks?.edge(i));
    for (const e of edges) if (e && e.rate > busiest) busiest = e.rate;
    for (let i = 0; i < edges.length; i++) if (this.inSight(i, seen)) this.drawEdge(c, i, edges[i]);
    const moving = looks?.moving === true && !this.still.matches;
    const dot = dotsFor(busiest);
    looks?.perDot(busiest > 0 ? dot : 0);
    if (busiest > 0 && this.scale > 0.2) for (let i = 0; i < edges.length; i++) if (this.inSight(i, seen)) this.drawDots(c, i, edges[i]!, dot, moving ? now / 1000 : 0);
    this.drawPulled(c);
    this.drawBoxes(c, seen);
    if (moving && busiest > 0) this.render();
  }
  /** The way of an edge. A call of a service to itself is a loop at its corner. */
  private partsOf(p: number[], e: Drawn['edges'][0]): Part[] {
    const { nodes, nodeWidth, nodeHeight, down } = this.placed, parts: Part[] = [];
    if (e.from === e.to) {
      const x = nodes[2 * e.from]! + nodeWidth, y = nodes[2 * e.from + 1]! + nodeHeight;
      return [[x, y - 16, x + 34, y - 16, x - 18, y + 34, x - 18, y]];
    }
    for (let i = 2; i < p.length; i += 2) parts.push(straight(p[i - 2]!, p[i - 1]!, p[i]!, p[i + 1]!, down));
    const at = down ? 1 : 0, [out, run, home] = parts;
    // A run that leads back is reached, and left, in a turn.
    if (parts.length === 3 && run![6 + at]! < run![at]!) for (const [c, first, then] of [[out!, 44, 40], [home!, -40, -44]] as const) {
      c[2 + at] = c[at]! + first; c[4 + at] = c[6 + at]! + then; c[3 - at] = c[1 - at]!; c[5 - at] = c[7 - at]!;
    }
    if (run) [run[2], run[3], run[4], run[5]] = [run[0], run[1], run[6], run[7]];
    return parts;
  }
  private window(): { left: number; top: number; right: number; bottom: number } {
    return { left: -this.x / this.scale, top: -this.y / this.scale, right: (this.host.clientWidth - this.x) / this.scale, bottom: (this.host.clientHeight - this.y) / this.scale };
  }
  private inSight(i: number, w: { left: number; top: number; right: number; bottom: number }): boolean {
    const [left, top, right, bottom] = this.bounds[i]!;
    return right > w.left && left < w.right && bottom > w.top && top < w.bottom;
  }
  private drawEdge(c: CanvasRenderingContext2D, i: number, look: EdgeLook | undefined): void {
    c.globalAlpha = look?.dim ? 0.15 : 1;
    c.strokeStyle = this.colours[look && look.level > 0 ? '--edge-' + look.level : '--edge']!;
    // What is small has thicker lines, so that they are seen.
    const k = this.thicker();
    c.lineWidth = k * (1.4 + Math.min(Math.log10(1 + (look?.rate ?? 0)) * 1.1, 4));
    if (i === this.chosenEdge || i === this.hover) {
      c.save();
      c.strokeStyle = this.colours['--accent']!;
      c.globalAlpha = i === this.chosenEdge ? 0.4 : 0.22;
      c.lineWidth += 7;
      c.stroke(this.curves[i]!);
      c.restore();
    }
    if (i === this.chosenEdge && !(look && look.level > 0)) c.strokeStyle = this.colours['--accent']!;
    c.setLineDash(look?.open ? [3, 7] : []);
    c.stroke(this.curves[i]!);
    c.setLineDash([]);
    if (this.scale > 0.25) {
      const last = this.parts[i]!.at(-1)!, x = last[6], y = last[7], turn = Math.atan2(y - last[5], x - last[4]);
      c.fillStyle = c.strokeStyle;
      c.beginPath();
      c.moveTo(x, y);
      for (const side of [0.46, -0.46]) c.lineTo(x - 10 * k * Math.cos(turn + side), y - 10 * k * Math.sin(turn + side));
      c.fill();
    }
    if (look?.fault) {
      const at = along(this.lengths[i]!, 0.5);
      c.fillStyle = this.colours['--bad']!;
      c.beginPath(); c.arc(at.x, at.y, 9, 0, 7); c.fill();
      c.fillStyle = this.colours['--sheet']!;
      c.font = 'bold 13px sans-serif'; c.textAlign = 'center'; c.textBaseline = 'middle';
      c.fillText('!', at.x, at.y + 0.5);
    }
    c.globalAlpha = 1;
  }
  private thicker(): number { return this.drawn.boxes.length > 40 ? 1 : Math.min(Math.max(0.9 / this.scale, 1), 1.6); }
  private drawPulled(c: CanvasRenderingContext2D): void {
    const pulled = this.pulled;
    if (!pulled) return;
    const { nodes, nodeWidth, nodeHeight, down } = this.placed, x = nodes[2 * pulled.from]! + nodeWidth / (down ? 2 : 1), y = nodes[2 * pulled.from + 1]! + nodeHeight / (down ? 1 : 2);
    c.strokeStyle = c.fillStyle = this.colours['--accent']!;
    c.lineWidth = 2.5 / Math.min(this.scale, 1);
    c.setLineDash([7, 5]);
    c.stroke(curve([straight(x, y, pulled.x, pulled.y, down)]));
    c.setLineDash([]);
    c.beginPath(); c.arc(pulled.x, pulled.y, 5, 0, 7); c.fill();
  }
  private drawDots(c: CanvasRenderingContext2D, i: number, look: EdgeLook, per: number, time: number): void {
    if (!(look.rate > 0) || look.dim) return;
    const line = this.lengths[i]!, travel = Math.min(Math.max(line.total / 160, 0.45), 3), perSecond = look.rate / per, k = this.thicker();
    const n = Math.max(1, Math.round(perSecond * travel)), bad = Math.round(n * look.errors * 1.0);
    for (let j = 0; j < n; j++) {
      const at = along(line, ((j + time * n / travel) / n) % 1);
      const failing = look.errors > 0 && (bad > 0 ? Math.floor(j * bad / n) !== Math.floor((j - 1) * bad / n) : false);
      c.fillStyle = this.colours[failing ? '--bad' : '--dot']!;
      if (!failing) { c.beginPath(); c.arc(at.x, at.y, 3 * k, 0, 7); c.fill(); continue; }
      // A cross, so that nobody needs the colour.
      const r = 3.4 * k;
      c.strokeStyle = c.fillStyle; c.lineWidth = 2.2 * k;
      c.beginPath(); c.moveTo(at.x - r, at.y - r); c.lineTo(at.x + r, at.y + r); c.moveTo(at.x - r, at.y + r); c.lineTo(at.x + r, at.y - r); c.stroke();
    }
  }
  private drawBoxes(c: CanvasRenderingContext2D, w: { left: number; top: number; right: number; bottom: number }): void {
    const near = this.scale >= far, { nodeWidth, nodeHeight, nodes } = this.placed, keep = new Set<number>();
    this.layer.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    if (this.scale !== this.boxScale) { this.boxScale = this.scale; this.stamp++; }
    for (let i = 0; i < this.drawn.boxes.length; i++) {
      const x = nodes[2 * i]!, y = nodes[2 * i + 1]!;
      if (x > w.right || x + nodeWidth < w.left || y > w.bottom || y + nodeHeight < w.top) continue;
      if (near) { keep.add(i); this.place(i, x, y); continue; }
      const look = this.looks?.box(i);
      c.globalAlpha = look?.dim ? 0.2 : 1;
      c.fillStyle = this.colours['--level-' + (look?.level ?? 0)]!;
      c.strokeStyle = this.colours[i === this.chosenBox ? '--accent' : '--soft']!;
      c.lineWidth = (i === this.chosenBox ? 3 : 1) / this.scale;
      c.beginPath(); c.roundRect(x, y, nodeWidth, nodeHeight, 8); c.fill(); c.stroke();
      if (this.scale > 0.16) {
        c.fillStyle = this.colours['--ink']!;
        c.font = `600 ${Math.min(26, nodeHeight * 0.5)}px sans-serif`; c.textAlign = 'center'; c.textBaseline = 'middle';
        c.fillText(shortened(c, this.drawn.boxes[i]!.name || 'clients', nodeWidth - 12), x + nodeWidth / 2, y + nodeHeight / 2);
      }
      c.globalAlpha = 1;
    }
    for (const [i, e] of this.elements) if (!keep.has(i)) { e.remove(); this.elements.delete(i); this.seen.delete(e); }
  }
  private place(i: number, x: number, y: number): void {
    let e = this.elements.get(i);
    const box = this.drawn.boxes[i]!;
    if (!e) {
      e = document.createElement('button');
      e.type = 'button';
      e.dataset['node'] = box.name;
      e.tabIndex = i === Math.max(this.chosenBox, 0) ? 0 : -1;
      e.innerHTML = '<b></b><span class="figures"></span><span class="badges"></span><span class="plug" aria-hidden="true" title="Drag to a service that it calls, or to an empty place for a new one"></span>';
      const name = box.name || 'clients', tail = name.length > 12 ? name.slice(-6) : '';
      e.querySelector('b')!.append(...[name.slice(0, name.length - tail.length), tail].filter(t => t).map(t => Object.assign(document.createElement('span'), { textContent: t })));
      e.addEventListener('click', () => { if (!this.pulled && !this.dragged) this.chosen.box(i); });
      e.querySelector('.plug')!.addEventListener('pointerdown', down => this.pull(i, down as PointerEvent));
      this.elements.set(i, e);
      // In the order of the file, so that the tabulator and screen readers go through it.
      const after = [...this.elements.keys()].filter(k => k > i).sort((a, b) => a - b)[0];
      this.layer.insertBefore(e, after === undefined ? null : this.elements.get(after)!);
    }
    if (this.seen.get(e) === this.stamp) return;
    this.seen.set(e, this.stamp);
    e.style.transform = `translate(${x}px, ${y}px)`;
    e.style.width = this.placed.nodeWidth + 'px';
    e.style.height = this.placed.nodeHeight + 'px';
    const k = Math.min(Math.max((this.big ? 1.25 : 0.92) / this.scale, 1), this.placed.nodeHeight < 60 ? 1.4 : 1.62);
    const look = this.looks?.box(i), short = k > 1.12;
    // What is small has larger letters, as far as they fit into the box.
    e.style.setProperty('--k', String(k));
    e.style.setProperty('--b', String(this.placed.nodeHeight < 60 ? 1 : k));
    const classes = `node level-${look?.level ?? 0}${box.group ? ' group' : ''}${box.name ? '' : ' clients'}${box.added ? ' added' : ''}${i === this.chosenBox ? ' chosen' : ''}${look?.dim ? ' dim' : ''}${this.pulled?.to === i ? ' aim' : ''}`;
    if (e.className !== classes) e.className = classes;
    e.setAttribute('aria-pressed', String(i === this.chosenBox));
    const figures = e.children[1] as HTMLElement, text = look ? (short ? look.short ?? look.detail : [look.rate, look.detail].filter(t => t).join(' · ')) : '';
    if (look && (short || box.name.length > 12)) e.title = `${box.name || 'clients'}: ${[look.rate, look.detail].filter(t => t).join(' · ')}`; else e.removeAttribute('title');
    if (figures.textContent !== text) figures.textContent = text;
    const badges = e.children[2] as HTMLElement, wanted = JSON.stringify(look?.badges ?? []);
    if (badges.dataset['is'] !== wanted) {
      badges.dataset['is'] = wanted;
      badges.replaceChildren(...(look?.badges ?? []).map(b => {
        const s = document.createElement('i');
        s.textContent = b.text; s.title = b.title; s.className = b.tone;
        return s;
      }));
    }
  }

  private wheel(e: WheelEvent): void {
    e.preventDefault();
    const r = this.host.getBoundingClientRect();
    if (e.ctrlKey || !e.shiftKey && Math.abs(e.deltaX) < Math.abs(e.deltaY)) this.zoom(Math.exp(-e.deltaY * (e.ctrlKey ? 0.01 : 0.0016)), { x: e.clientX - r.left, y: e.clientY - r.top });
    else { this.x -= e.deltaX || e.deltaY; this.moved = true; this.render(); }
  }
  /** The pointers that are down, by their numbers: one moves the graph, two bring it nearer. */
  private readonly down = new Map<number, PointerEvent>();
  /** Whether the pointer has moved since it went down; the click that follows on a box is none then. */
  private dragged = false;
  private press(e: PointerEvent): void {
    const target = e.target as HTMLElement;
    if (target.closest('.plug') || e.button !== 0 || e.pointerType === 'mouse' && target.closest('button')) return;
    const down = this.down, slack = e.pointerType === 'mouse' ? 4 : 8;
    if (down.size === 0) this.dragged = false;
    down.set(e.pointerId, e);
    if (down.size > 2) down.delete(e.pointerId);
    if (down.size > 1) { this.dragged = true; return; }
    const middle = (): [number, number, number] => {
      const [a, b = a] = [...down.values()] as [PointerEvent, PointerEvent?];
      return [(a.clientX + b.clientX) / 2, (a.clientY + b.clientY) / 2, Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY)];
    };
    const move = (m: PointerEvent): void => {
      if (!down.has(m.pointerId) || !this.dragged && Math.hypot(m.clientX - e.clientX, m.clientY - e.clientY) < slack) return;
      const [x, y, apart] = middle(), r = this.host.getBoundingClientRect();
      down.set(m.pointerId, m);
      const [toX, toY, then] = middle();
      this.dragged = this.moved = true;
      this.x += toX - x; this.y += toY - y;
      if (apart > 10 && then > 10) this.zoom(then / apart, { x: toX - r.left, y: toY - r.top }); else this.render();
    };
    const up = (m: PointerEvent): void => {
      if (!down.delete(m.pointerId) || down.size) return;
      removeEventListener('pointermove', move);
      removeEventListener('pointerup', up);
      removeEventListener('pointercancel', up);
      if (this.dragged) { setTimeout(() => { this.dragged = false; }); return; }
      if (m.type === 'pointercancel' || target.closest('button')) return;
      const edge = this.edgeAt(e, e.pointerType === 'mouse' ? 9 : 22);
      const box = this.scale < far ? this.boxAt(e) : -1;
      if (box >= 0) this.chosen.box(box); else if (edge >= 0) this.chosen.edge(edge); else this.chosen.none();
    };
    addEventListener('pointermove', move);
    addEventListener('pointerup', up);
    addEventListener('pointercancel', up);
  }
  /** Draws a call from the plug of a box to where the pointer is let go. */
  private pull(from: number, e: PointerEvent): void {
    if (e.button !== 0) return;
    e.preventDefault();
    const id = this.drawn.boxes[from]!.id, own = (): boolean => this.drawn.boxes[from]?.id === id;
    const takes = (over: number): boolean => over >= 0 && over !== from && !this.drawn.boxes[over]!.group && this.drawn.boxes[over]!.name !== '';
    const move = (m: PointerEvent): void => {
      const p = this.at(m), over = this.boxAt(m);
      this.pulled = { from, to: takes(over) ? over : -1, x: p.x, y: p.y };
      this.stamp++;
      this.render();
    };
    const up = (m: PointerEvent): void => {
      end();
      if (!own() || !inside(this.host, m)) return;
      const over = this.boxAt(m);
      if (takes(over)) this.chosen.link(from, over); else if (over < 0 && Math.hypot(m.clientX - e.clientX, m.clientY - e.clientY) > 40) this.chosen.link(from, null);
    };
    const key = (k: KeyboardEvent): void => { if (k.key === 'Escape') end(); };
    const end = (): void => {
      removeEventListener('pointermove', move); removeEventListener('pointerup', up); removeEventListener('pointercancel', end); removeEventListener('keydown', key);
      // The click that may follow on the box is none.
      setTimeout(() => { this.pulled = null; this.stamp++; this.render(); });
    };
    addEventListener('pointermove', move); addEventListener('pointerup', up); addEventListener('pointercancel', end); addEventListener('keydown', key);
  }
  private point(e: PointerEvent): void {
    if (e.buttons) return;
    const edge = (e.target as HTMLElement).closest('button') ? -1 : this.edgeAt(e);
    if (edge !== this.hover) {
      this.hover = edge;
      this.host.style.cursor = edge >= 0 ? 'pointer' : '';
      this.host.title = edge >= 0 ? this.looks?.edge(edge).text ?? '' : '';
      this.render();
    }
  }
  private at(e: PointerEvent): { x: number; y: number } {
    const r = this.host.getBoundingClientRect();
    return { x: (e.clientX - r.left - this.x) / this.scale, y: (e.clientY - r.top - this.y) / this.scale };
  }
  private boxAt(e: PointerEvent): number {
    const p = this.at(e), { nodes, nodeWidth, nodeHeight } = this.placed;
    return this.drawn.boxes.findIndex((_, i) => p.x >= nodes[2 * i]! && p.x <= nodes[2 * i]! + nodeWidth && p.y >= nodes[2 * i + 1]! && p.y <= nodes[2 * i + 1]! + nodeHeight);
  }
  private edgeAt(e: PointerEvent, reach = 9): number {
    const p = this.at(e);
    let best = -1, least = reach / this.scale;
    this.lengths.forEach((l, i) => {
      for (let j = 0; j < l.points.length; j += 3) {
        const d = Math.hypot(l.points[j]! - p.x, l.points[j + 1]! - p.y);
        if (d < least) { least = d; best = i; }
      }
    });
    return best;
  }
  private key(e: KeyboardEvent): void {
    const i = this.focused();
    if (i < 0 || this.pulled) return; // Escape gives up the call that is being drawn, and nothing else
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key];
    if (way) { this.step(i, way[0]!, way[1]!); e.preventDefault(); return; }
    if (e.key === '+' || e.key === '=') this.zoom(1.25);
    else if (e.key === '-') this.zoom(0.8);
    else if (e.key === '0') this.fit();
    else if (e.key === 'Escape') this.chosen.none();
    else if (!e.ctrlKey && !e.metaKey && !e.altKey && this.chosen.key(i, e.key)) { /* done */ }
    else return;
    e.preventDefault();
  }
  /** Leads the keyboard to the nearest box in a direction. */
  private step(from: number, dx: number, dy: number): void {
    const { nodes } = this.placed;
    let best = -1, least = Infinity;
    for (let i = 0; i < this.drawn.boxes.length; i++) {
      const x = nodes[2 * i]! - nodes[2 * from]!, y = nodes[2 * i + 1]! - nodes[2 * from + 1]!;
      const ahead = x * dx + y * dy, aside = Math.abs(x * dy) + Math.abs(y * dx);
      if (ahead <= 0) continue;
      const d = ahead + 2 * aside;
      if (d < least) { least = d; best = i; }
    }
    if (best < 0) return;
    const old = this.elements.get(from);
    if (old) old.tabIndex = -1;
    this.focus(best);
    const now = this.elements.get(best);
    if (now) now.tabIndex = 0;
  }
}

/** Whether the pointer is over an element. */
const inside = (host: HTMLElement, e: PointerEvent): boolean => {
  const r = host.getBoundingClientRect();
  return e.clientX >= r.left && e.clientX <= r.right && e.clientY >= r.top && e.clientY <= r.bottom;
};
/** How many requests a second a dot stands for: 1, 2, 5, 10 and so on, so that the busiest edge sends six dots a second at most. */
function dotsFor(busiest: number): number {
  for (let ten = 1; ; ten *= 10) for (const k of [1, 2, 5]) if (busiest / (k * ten) <= 6) return k * ten;
}
/** A part of an edge: the four points of a Bézier curve. */
type Part = [number, number, number, number, number, number, number, number];
function curve(parts: Part[]): Path2D {
  const path = new Path2D();
  parts.forEach((c, i) => { if (!i) path.moveTo(c[0], c[1]); path.bezierCurveTo(c[2], c[3], c[4], c[5], c[6], c[7]); });
  return path;
}
/** A part that leaves and arrives in the direction of the layers; a call that leads back swings out. */
function straight(x0: number, y0: number, x: number, y: number, down = false): Part {
  const way = down ? y - y0 : x - x0, d = way >= 0 ? way / 2 : Math.min(down ? 40 : 90, 30 - way / 4);
  return down ? [x0, y0, x0, y0 + d, x, y - d, x, y] : [x0, y0, x0 + d, y0, x - d, y, x, y];
}
function measured(parts: Part[]): { points: Float64Array; total: number } {
  const out: number[] = [parts[0]![0], parts[0]![1], 0];
  let total = 0;
  for (const c of parts) for (let s = 1; s <= 16; s++) {
    const t = s / 16, u = 1 - t, of = (k: 0 | 1): number => u * u * u * c[k] + 3 * u * u * t * c[2 + k]! + 3 * u * t * t * c[4 + k]! + t * t * t * c[6 + k]!;
    const x = of(0), y = of(1);
    total += Math.hypot(x - out.at(-3)!, y - out.at(-2)!);
    out.push(x, y, total);
  }
  return { points: Float64Array.from(out), total };
}
/** A text that is cut in its middle until it fits: names differ at both ends. */
function shortened(c: CanvasRenderingContext2D, text: string, width: number): string {
  const letters = [...text];
  for (let n = letters.length, short = text; ; n--) {
    if (n < 4 || c.measureText(short).width <= width) return short;
    const tail = Math.floor((n - 1) * 0.4);
    short = letters.slice(0, n - 1 - tail).join('') + '…' + letters.slice(letters.length - tail).join('');
  }
}
function along(l: { points: Float64Array; total: number }, share: number): { x: number; y: number } {
  const want = share * l.total, p = l.points;
  let low = 0, high = p.length / 3 - 1;
  while (low < high) { const mid = (low + high) >> 1; if (p[3 * mid + 2]! < want) low = mid + 1; else high = mid; }
  if (low === 0) return { x: p[0]!, y: p[1]! };
  const before = p[3 * low - 1]!, t = (want - before) / Math.max(p[3 * low + 2]! - before, 1e-9);
  return { x: p[3 * low - 3]! + t * (p[3 * low]! - p[3 * low - 3]!), y: p[3 * low - 2]! + t * (p[3 * low + 1]! - p[3 * low - 2]!) };
}
