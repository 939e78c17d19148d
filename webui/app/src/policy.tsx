import { Part, useSchema } from './fields';

const names: Record<string, string> = { timeout: 'Timeout', retry: 'Retry', breaker: 'Breaker', bulkhead: 'Bulkhead', rateLimit: 'Rate limit', hedge: 'Hedge', fallback: 'Fallback' };
const usual: Record<string, Record<string, string>> = {
  timeout: { '': '500ms' }, retry: { attempts: '3', backoff: '50ms' }, breaker: { failures: '5', reset: '5s' }, bulkhead: { maxConcurrent: '10' }, rateLimit: { rate: '100' }, hedge: { after: '100ms' }, fallback: { kind: 'empty' },
};
export const callPath = ['system', 'services', 'endpoints', 'steps', 'call'];

/** The policies of a call, from the outside in: what each does, its fields with their units, and what is in force. */
export function Policies({ call, set }: { call: Record<string, unknown>; set: (policy: string, value: { value?: unknown }) => Promise<boolean> }) {
  const root = useSchema();
  if (!root) return null;
  return <section class="policies wide" data-part="policies">{Object.keys(names).map(p => <Part key={p + JSON.stringify(call[p] ?? null)} root={root} id={p} title={names[p]!} path={[...callPath, p]} value={call[p]} usual={usual[p]!} set={v => set(p, v)}>
    {call[p] === undefined || call[p] === null ? <></> : <><button type="button" onClick={() => void set(p, { value: null })}>Turn off</button><button type="button" title="takes it away here, so that what the service or the system says for all calls is in force" onClick={() => void set(p, {})}>As inherited</button></>}
  </Part>)}</section>;
}
