// Paper has light colours, its own sizes, and no buttons; style.css says which.

/** Whether the page is laid out for paper at the moment. */
export const printing = (): boolean => document.documentElement.classList.contains('printing');

const events = ['beforeprint', 'afterprint'];
/** Draws what style sheets cannot for paper, and for the screen again; returns how to stop that. */
export function onPaper(draw: () => void): () => void {
  for (const e of events) addEventListener(e, draw);
  return () => { for (const e of events) removeEventListener(e, draw); };
}
// These come before all others, which measure the page as it is then.
for (const e of events) addEventListener(e, () => { document.documentElement.classList.toggle('printing', e === 'beforeprint'); });
