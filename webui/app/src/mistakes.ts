import { RangeSet, StateEffect, StateField } from '@codemirror/state';
import { Decoration, type DecorationSet, EditorView, gutter, GutterMarker } from '@codemirror/view';
import type { Mistake } from './api';

/** Shows mistakes in the text in place of those before. */
export const mark = StateEffect.define<Mistake[]>();

class Sign extends GutterMarker {
  constructor(private readonly text: string) { super(); }
  override eq(other: Sign): boolean { return other.text === this.text; }
  override toDOM(): HTMLElement { return Object.assign(document.createElement('span'), { textContent: '●', title: this.text }); }
}

interface Marked { under: DecorationSet; signs: RangeSet<GutterMarker> }
const marked = StateField.define<Marked>({
  create: () => ({ under: Decoration.none, signs: RangeSet.empty }),
  update(old, transaction) {
    const doc = transaction.state.doc;
    for (const effect of transaction.effects) if (effect.is(mark)) {
      const texts = new Map<number, string[]>(), under = effect.value.flatMap(m => {
        const line = doc.line(Math.min(Math.max(m.line, 1), doc.lines)), from = line.from + Math.max(m.column - 1, 0);
        texts.set(line.from, [...texts.get(line.from) ?? [], m.text]);
        return from < line.to ? [Decoration.mark({ class: 'cm-wrong', attributes: { title: m.text } }).range(from, line.to)] : [];
      });
      return { under: Decoration.set(under, true), signs: RangeSet.of([...texts].map(([at, list]) => new Sign(list.join('\n')).range(at)), true) };
    }
    return transaction.docChanged ? { under: old.under.map(transaction.changes), signs: old.signs.map(transaction.changes) } : old;
  },
  provide: field => EditorView.decorations.from(field, m => m.under),
});

/** Underlines what is wrong, and marks the lines of it; the mouse shows the messages, as the list below the editor does. */
export const marking = [marked, gutter({ class: 'cm-mistakes', markers: view => view.state.field(marked).signs })];
