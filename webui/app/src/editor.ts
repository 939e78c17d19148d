import { autocompletion, completionKeymap } from '@codemirror/autocomplete';
import { history, historyKeymap, indentWithTab, redo, redoDepth, standardKeymap, toggleComment, undo, undoDepth } from '@codemirror/commands';
import { yaml } from '@codemirror/lang-yaml';
import { HighlightStyle, indentUnit, syntaxHighlighting } from '@codemirror/language';
import { Compartment, EditorState, type Text, Transaction } from '@codemirror/state';
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import type { Mistake } from './api';
import { complete } from './complete';
import { mark, marking } from './mistakes';

const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: 'var(--c-blue)' },
  { tag: [tags.string, tags.special(tags.string)], color: 'var(--c-green)' },
  { tag: [tags.comment, tags.lineComment], color: 'var(--soft)', fontStyle: 'italic' },
  { tag: [tags.keyword, tags.number, tags.bool], color: 'var(--c-purple)' },
  { tag: tags.punctuation, color: 'var(--soft)' },
]);

const look = EditorView.theme({
  '&': { height: '100%', color: 'var(--ink)', backgroundColor: 'var(--sheet)', fontSize: 'var(--code-size)' },
  '.cm-scroller': { fontFamily: 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace', lineHeight: '1.5' },
  '.cm-gutters': { backgroundColor: 'var(--sheet)', color: 'var(--soft)', border: '0' },
  '.cm-activeLine': { backgroundColor: 'var(--choice)' },
  '.cm-content': { caretColor: 'var(--ink)' },
  '.cm-cursor': { borderLeftColor: 'var(--ink)', borderLeftWidth: '2px' },
  '&.cm-focused .cm-selectionBackground, .cm-selectionBackground': { backgroundColor: 'var(--selection) !important' },
  '&.cm-focused': { outline: 'none' },
  '.cm-tooltip': { backgroundColor: 'var(--raised)', color: 'var(--ink)', border: '1px solid var(--line)', borderRadius: '6px', maxWidth: '34rem' },
  '.cm-tooltip-autocomplete > ul > li[aria-selected]': { backgroundColor: 'var(--accent)', color: 'var(--on-accent)' },
  '.cm-completionInfo': { padding: '6px 10px', whiteSpace: 'normal' },
  '.cm-wrong': { textDecoration: 'underline wavy var(--bad)', textDecorationSkipInk: 'none' },
  '.cm-mistakes': { width: '1.2em', color: 'var(--bad)', textAlign: 'center' },
});

const remembered = history({ newGroupDelay: 300 });

/** An editor of the file. It lives in a shadow tree, where its styles need no exception of the page's policy. */
export class Editor {
  private readonly view: EditorView;
  private readonly writable = new Compartment();
  private readonly breaks = new Compartment();
  private readonly past = new Compartment();
  private setting = false;
  /** The text as it is shown, so that a large one is not put together again to be compared. */
  private shown = '';

  constructor(host: HTMLElement, changed: (text: string) => void, save: () => void) {
    const root = host.shadowRoot ?? host.attachShadow({ mode: 'open' });
    root.replaceChildren();
    const box = document.createElement('div');
    box.style.height = '100%';
    root.append(box);
    this.view = new EditorView({
      parent: box, root,
      state: EditorState.create({
        extensions: [
          lineNumbers(), marking, this.past.of(remembered), drawSelection(), highlightActiveLine(), yaml(), indentUnit.of('  '), autocompletion({ override: [complete] }), syntaxHighlighting(colours), look,
          keymap.of([{ key: 'Mod-s', preventDefault: true, run: () => { save(); return true; } }, indentWithTab, { key: 'Mod-/', run: toggleComment }, ...standardKeymap, ...historyKeymap, ...completionKeymap]),
          EditorView.contentAttributes.of({ tabindex: '0', 'aria-label': 'The file, as YAML. Escape, then Tab, leaves the editor.' }),
          this.breaks.of(EditorState.lineSeparator.of('\n')),
          this.writable.of(EditorState.readOnly.of(false)),
          EditorView.updateListener.of(u => { if (u.docChanged && !this.setting) changed(this.shown = u.state.sliceDoc()); }),
        ],
      }),
    });
  }

  /** Shows a text. Its line breaks stay what they are: CRLF where all are that, else any CR is a sign like others. */
  set(text: string): void {
    if (text === this.shown) return;
    this.setting = true;
    const crlf = text.includes('\r\n') && !/(^|[^\r])\n/.test(text);
    this.view.dispatch({ effects: this.breaks.reconfigure(EditorState.lineSeparator.of(crlf ? '\r\n' : '\n')) });
    this.view.dispatch({ changes: this.differing(text), annotations: Transaction.addToHistory.of(false) });
    this.shown = this.view.state.sliceDoc();
    this.setting = false;
  }
  /** Changes the text as a user would, in one step that can be undone. */
  change(text: string): void { this.view.dispatch({ changes: this.differing(text), userEvent: 'input', scrollIntoView: true }); }
  /** What makes the text another one: only the part that differs is replaced, so that the cursor stays. */
  private differing(text: string): { from: number; to: number; insert: Text }[] {
    const now = this.view.state.doc, next = this.view.state.toText(text), a = now.toString(), b = next.toString();
    let from = 0, end = a.length, to = b.length;
    while (from < end && from < to && a[from] === b[from]) from++;
    while (end > from && to > from && a[end - 1] === b[to - 1]) { end--; to--; }
    // Line by line where there are as many: a new name stands in many places, and what lies between need not be read again.
    const old = a.slice(from, end).split('\n'), lines = b.slice(from, to).split('\n'), changes: { from: number; to: number; insert: Text }[] = [];
    let was = from, is = from;
    if (old.length === lines.length) old.forEach((line, i) => {
      if (line !== lines[i]) changes.push({ from: was, to: was + line.length, insert: next.slice(is, is + lines[i]!.length) });
      was += line.length + 1; is += lines[i]!.length + 1;
    }); else changes.push({ from, to: end, insert: next.slice(from, to) });
    return changes;
  }
  /** Forgets what could be undone, which was of another file. */
  forget(): void { for (const past of [[], remembered]) this.view.dispatch({ effects: this.past.reconfigure(past) }); }
  undo(): void { undo(this.view); }
  redo(): void { redo(this.view); }
  depths(): { undo: number; redo: number } { return { undo: undoDepth(this.view.state), redo: redoDepth(this.view.state) }; }

  readOnly(yes: boolean): void { this.view.dispatch({ effects: this.writable.reconfigure(EditorState.readOnly.of(yes)) }); }

  mistakes(list: Mistake[]): void { this.view.dispatch({ effects: mark.of(list) }); }
  goTo(line: number, column = 1): void {
    const l = this.view.state.doc.line(Math.min(Math.max(line, 1), this.view.state.doc.lines));
    this.view.dispatch({ selection: { anchor: Math.min(l.from + column - 1, l.to) }, effects: EditorView.scrollIntoView(l.from, { y: 'center' }) });
    this.view.focus();
  }
}
