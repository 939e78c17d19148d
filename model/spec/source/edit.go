package source

import (
	"cmp"
	"fmt"
	"slices"
)

// An Edit replaces Length bytes at an Offset by a text.
type Edit struct {
	Offset int    `json:"offset"`
	Length int    `json:"length"`
	Text   string `json:"text"`
}

// Edits are edits of one text, all in the offsets of the text before them. They do
// not overlap; of several at one offset the earlier stands first.
type Edits []Edit

// sort orders edits by their places.
func (e Edits) sort() {
	slices.SortStableFunc(e, func(a, b Edit) int { return cmp.Compare(a.Offset, b.Offset) })
}

// Apply returns the text after the edits. Edits that overlap, or lie outside of
// the text, are an error.
func (e Edits) Apply(text []byte) ([]byte, error) {
	sorted := slices.Clone(e)
	sorted.sort()
	size, at := len(text), 0
	for _, one := range sorted {
		if one.Offset < at || one.Length < 0 || one.Length > len(text)-one.Offset {
			return nil, fmt.Errorf("editing %d bytes at %d: they overlap another edit or lie outside of the text of %d bytes", one.Length, one.Offset, len(text))
		}
		at = one.Offset + one.Length
		size += len(one.Text) - one.Length
	}
	out, at := make([]byte, 0, size), 0
	for _, one := range sorted {
		out = append(append(out, text[at:one.Offset]...), one.Text...)
		at = one.Offset + one.Length
	}
	return append(out, text[at:]...), nil
}

// Invert returns the edits that lead from the text after e back to text.
func (e Edits) Invert(text []byte) Edits {
	sorted := slices.Clone(e)
	sorted.sort()
	inverse, shift := make(Edits, 0, len(e)), 0
	for _, one := range sorted {
		inverse = append(inverse, Edit{Offset: one.Offset + shift, Length: len(one.Text), Text: string(text[one.Offset : one.Offset+one.Length])})
		shift += len(one.Text) - one.Length
	}
	return inverse
}
