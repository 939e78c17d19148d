// Figures as people read them.

export function seconds(v: number): string {
  if (Number.isNaN(v)) return '–';
  const ms = v * 1000;
  if (ms === 0) return '0 ms';
  if (ms < 1) return `${(ms * 1000).toFixed(0)} µs`;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${ms.toFixed(0)} ms`;
  return `${v.toFixed(v < 10 ? 2 : 1)} s`;
}
export function percent(v: number): string {
  if (Number.isNaN(v)) return '–';
  const p = v * 100;
  return (p === 0 ? '0' : p < 0.1 ? '<0.1' : p < 10 ? p.toFixed(1) : p.toFixed(0)) + '%';
}
export function rate(v: number): string {
  if (Number.isNaN(v)) return '–';
  return (v >= 1000 ? `${(v / 1000).toFixed(1)}k` : v >= 10 ? v.toFixed(0) : v === 0 ? '0' : v.toFixed(1)) + '/s';
}
export const count = (v: number): string => Number.isNaN(v) ? '–' : String(Math.round(v));
export const clock = (t: number): string => {
  if (Number.isNaN(t)) return '–';
  const s = Math.round(t);
  return s < 60 ? `${s} s` : `${Math.floor(s / 60)}:${String(s % 60).padStart(2, '0')} min`;
};
/** How bad a share of errors is, from 0 to 4; unknown is 0. */
export const level = (share: number): number => !(share > 0.001) ? 0 : share <= 0.01 ? 1 : share <= 0.05 ? 2 : share <= 0.25 ? 3 : 4;
