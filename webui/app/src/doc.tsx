/** A text of a file: an empty line parts paragraphs, and indented lines stay lines. */
export function Doc({ text }: { text: string }) {
  const paragraphs = text.trim().split(/\n\s*\n/);
  return <>{paragraphs.map((p, i) => /^\s|\n\s/.test(p) ? <pre class="doc" key={i}>{p}</pre> : <p key={i}>{p.replace(/\n/g, ' ')}</p>)}</>;
}
