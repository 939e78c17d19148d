// A generated system of many services: teams with entrances of their own, services
// behind them, stores that many share, and a cycle.

/** The same file each time: random numbers of a seed. */
export function large(services = 1000, { rate = 20, seconds = 20 } = {}) {
  let state = 7;
  const below = n => { state = (state * 1103515245 + 12345) % 2147483648; return Math.floor(state / 2147483648 * n); };
  const teams = 25, each = Math.floor((services - 21) / teams), lines = [], names = [];
  const add = (name, calls, work = '1ms') => { names.push(name); lines.push(`  - {name: ${name}, work: {sleep: ${work}}${calls.length ? `, calls: [${calls.map(c => `{to: ${c.name}, probability: ${c.p}}`).join(', ')}]` : ''}}`); };
  const teamNames = ['orders', 'cart', 'billing', 'search', 'profile', 'stock', 'mail', 'media', 'price', 'ship', 'auth', 'fraud', 'review', 'promo', 'geo', 'chat', 'feed', 'ads', 'tax', 'report', 'audit', 'backup', 'queue', 'sync', 'legal'];
  add('web', teamNames.map(t => ({ name: t + '-api', p: 0.3 })));
  for (const t of teamNames) {
    for (let i = 0; i < each; i++) {
      const name = i === 0 ? t + '-api' : `${t}-${i}`, calls = [];
      // Each calls services of its team that come later, and now and then a shared store.
      for (let k = 0; k < 3; k++) { const to = i * 3 + k + 1; if (to < each) calls.push({ name: `${t}-${to}`, p: 0.4 }); }
      if (below(3) === 0) calls.push({ name: `store-${below(20)}`, p: 0.5 });
      if (i === 2) calls.push({ name: teamNames[below(25)] + '-' + (each - 1), p: 0.1 });
      add(name, calls);
    }
  }
  for (let i = 0; names.length < services; i++) add(`store-${i}`, [], '2ms');
  return `apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: large
system:
  name: large
  services:
${lines.join('\n')}
load: {rate: ${rate}, duration: ${seconds}s}
faults:
- {type: error, target: {service: store-3}, args: {status: 503}, start: ${Math.floor(seconds / 3)}s, duration: ${Math.floor(seconds / 3)}s}
checks:
- {check: errors < 50%}
`;
}
