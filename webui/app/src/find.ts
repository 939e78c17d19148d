/** What the search box means: a part of a name, or conditions such as errors>1% p99>200ms. */
export interface Figures { rate: number; errors: number; p50: number; p99: number; queue: number }

const condition = /^(rate|errors|p50|p99|queue)(>=|<=|>|<)(\d+(?:\.\d+)?)(%|us|ms|s|)$/;

export function finder(query: string): ((name: string, figures: () => Figures) => boolean) | null {
  const words = query.trim().toLowerCase().split(/\s+/).filter(w => w);
  if (!words.length) return null;
  const tests = words.map(word => {
    const m = condition.exec(word);
    if (!m) return (name: string) => name.toLowerCase().includes(word);
    const field = m[1] as keyof Figures, unit = m[4] ?? '';
    const bound = Number(m[3]) * ({ '%': 0.01, us: 1e-6, ms: 1e-3 }[unit] ?? 1);
    return (_: string, figures: () => Figures) => {
      const v = figures()[field];
      return m[2] === '>' ? v > bound : m[2] === '<' ? v < bound : m[2] === '>=' ? v >= bound : v <= bound;
    };
  });
  return (name, figures) => tests.every(t => t(name, figures));
}
