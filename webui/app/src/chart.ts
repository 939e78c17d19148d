import { onPaper, printing } from './print';
import * as s from './state';

/** A line of a chart, in a colour of the style sheet. */
export interface Line { label: string; colour: string; dash?: number[] }
/** What a line leads through, in the order of time; null is a gap. */
export interface Points { times: number[]; values: (number | null)[] }
/** What a chart has beside its lines: what is drawn below and above them, and what a click on a moment does. */
export interface Extras { below?(c: LineChart): void; above?(c: LineChart): void; choose?(t: number): void }

/** Lines over time, from 0 upwards, on a canvas as large as its host. */
export class LineChart {
  readonly ink: CanvasRenderingContext2D;
  /** How much larger letters are than usual: for a projector. */
  scale = 1;
  /** The field of the lines, in pixels. */
  left = 0; top = 8; width = 0; height = 0;
  private readonly canvas = document.createElement('canvas');
  private points: Points[] = [];
  private first = 0;
  private last = 1;
  private most = 1;
  /** The moment that the mouse points at. */
  private pointed = NaN;
  private colours: Record<string, string> = {};
  private readonly ends: (() => void)[];

  constructor(private readonly host: HTMLElement, private readonly lines: Line[], private readonly value: (v: number) => string, private readonly extras: Extras = {}) {
    this.ink = this.canvas.getContext('2d')!;
    host.append(this.canvas);
    const watch = new ResizeObserver(() => this.draw());
    watch.observe(host);
    this.ends = [() => watch.disconnect(), onPaper(() => this.draw())];
    this.canvas.onpointermove = e => this.point(e.offsetX);
    this.canvas.onpointerleave = () => this.point(NaN);
    this.canvas.onclick = e => { if (this.inside(e.offsetX)) extras.choose?.(this.first + (e.offsetX - this.left) / this.width * (this.last - this.first)); };
  }
  remove(): void {
    for (const end of this.ends) end();
    this.canvas.remove();
  }

  /** Shows points of each line. Above the highest there is a share of it as room. */
  show(points: Points[], room: number): void {
    this.points = points;
    const times = points.flatMap(p => [p.times[0] ?? Infinity, p.times.at(-1) ?? -Infinity]), high = points.reduce((h, p) => p.values.reduce<number>((most, v) => Math.max(most, v ?? 0), h), 0);
    this.first = Math.min(...times); this.last = Math.max(...times, this.first + 1);
    this.most = (high || 1) * (1 + room);
    this.draw();
  }
  x(t: number): number { return this.left + (t - this.first) / (this.last - this.first) * this.width; }
  colour(name: string): string { return this.colours[name] ??= colourOf(this.host, name); }

  draw(): void {
    this.colours = {};
    this.redraw();
  }
  private redraw(): void {
    const { clientWidth, clientHeight } = this.host, c = this.ink, ratio = printing() ? 3 : devicePixelRatio || 1;
    const k = this.scale = s.presenting.value && !printing() ? 1.36 : 1;
    this.canvas.width = clientWidth * ratio; this.canvas.height = clientHeight * ratio;
    c.scale(ratio, ratio);
    this.left = 54 * k; this.width = clientWidth - this.left - 16 * k; this.height = clientHeight - this.top - 22 * k;
    if (this.width < 20 || this.height < 20 || !Number.isFinite(this.first)) return;
    this.axes(k);
    this.extras.below?.(this);
    c.save();
    c.beginPath(); c.rect(this.left, 0, this.width + 2, clientHeight); c.clip();
    this.lines.forEach((line, i) => this.line(line, this.points[i]!));
    this.extras.above?.(this);
    if (this.inside(this.pointed)) this.cross();
    c.restore();
  }
  private y(v: number): number { return this.top + this.height * (1 - v / this.most); }
  private inside(x: number): boolean { return x >= this.left && x <= this.left + this.width; }
  private point(x: number): void { this.pointed = x; this.redraw(); }

  private axes(k: number): void {
    const c = this.ink;
    c.font = Math.round(11 * k) + 'px system-ui, sans-serif';
    c.fillStyle = this.colour('--soft'); c.strokeStyle = this.colour('--grid'); c.lineWidth = 1;
    c.textAlign = 'right'; c.textBaseline = 'middle';
    c.beginPath();
    for (const v of marks(0, this.most, this.height / (26 * k))) {
      const y = this.y(v);
      c.moveTo(this.left, y); c.lineTo(this.left + this.width, y);
      c.fillText(tick(this.value, v), this.left - 5, y);
    }
    c.textAlign = 'center'; c.textBaseline = 'top';
    for (const t of marks(this.first, this.last, this.width / (45 * k))) {
      const x = this.x(t);
      c.moveTo(x, this.top); c.lineTo(x, this.top + this.height);
      c.fillText(+t.toFixed(6) + ' s', x, this.top + this.height + 5);
    }
    c.stroke();
  }
  private line({ colour, dash }: Line, { times, values }: Points): void {
    const c = this.ink, path = new Path2D();
    values.forEach((v, i) => {
      if (v === null) return;
      const x = this.x(times[i]!), y = this.y(v), begins = (values[i - 1] ?? null) === null;
      if (begins) path.moveTo(x, y); else path.lineTo(x, y);
      // A second between two gaps is a dot.
      if (begins && (values[i + 1] ?? null) === null) { path.moveTo(x + 1.5, y); path.arc(x, y, 1.5, 0, 7); }
    });
    c.strokeStyle = this.colour(colour); c.lineWidth = 1.75; c.lineJoin = 'round';
    c.setLineDash(dash ?? []); c.stroke(path); c.setLineDash([]);
  }
  /** The moment that the mouse points at, and the lines there. */
  private cross(): void {
    const c = this.ink, t = this.first + (this.pointed - this.left) / this.width * (this.last - this.first);
    this.lines.forEach((line, i) => {
      const { times, values } = this.points[i]!, at = nearest(times, t), v = values[at];
      if (v === null || v === undefined) return;
      c.fillStyle = this.colour(line.colour);
      c.beginPath(); c.arc(this.x(times[at]!), this.y(v), 3, 0, 7); c.fill();
    });
    c.fillStyle = this.colour('--soft');
    c.fillRect(this.pointed, this.top, 1, this.height);
  }
}

/** Round figures from one to another, at most so many. */
function marks(from: number, to: number, most: number): number[] {
  const rough = (to - from) / Math.max(most, 1), ten = 10 ** Math.floor(Math.log10(rough)), step = ten * [1, 2, 5, 10].find(k => k * ten >= rough * 0.999)!;
  return Array.from({ length: Math.floor(to / step + 1e-6) - Math.ceil(from / step - 1e-6) + 1 }, (_, i) => (Math.ceil(from / step - 1e-6) + i) * step);
}
/** A mark of an axis; one that would be rounded to another figure has none. */
const tick = (value: (v: number) => string, x: number): string => /^\d+$/.test(value(x)) && !Number.isInteger(x) ? '' : value(x).replace(/(\.\d*?)0+(?=\D)/, '$1').replace(/\.(?=\D)/, '');
/** The place of the time that is nearest to one. */
function nearest(times: number[], t: number): number {
  let low = 0, high = times.length - 1;
  while (low < high) { const mid = (low + high) >> 1; if (times[mid]! < t) low = mid + 1; else high = mid; }
  return low > 0 && t - times[low - 1]! < times[low]! - t ? low - 1 : low;
}
/** A colour of the style sheet, as a canvas takes it. */
function colourOf(host: HTMLElement, name: string): string {
  const probe = document.createElement('i');
  probe.style.color = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  host.append(probe);
  const c = getComputedStyle(probe).color;
  probe.remove();
  return c;
}
