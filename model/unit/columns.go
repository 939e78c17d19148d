package unit

import (
	"unicode"
	"unicode/utf8"
)

// Columns is how many columns of a terminal a text takes: two for the wide letters of
// East Asia and for pictures, none for marks that are put onto the letter before, one for
// all others (Unicode Standard Annex 11).
func Columns(text string) (n int) {
	for _, r := range text {
		n += columnsOf(r)
	}
	return n
}

// Cut is the beginning of a text that fits into some columns, with … for what is left
// out.
func Cut(text string, columns int) string {
	if Columns(text) <= columns {
		return text
	}
	left := columns - 1
	for i, r := range text {
		if left -= columnsOf(r); left < 0 {
			return text[:i] + "…"
		}
	}
	return text
}

func columnsOf(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case isWide(r):
		return 2
	}
	return 1
}

// isWide reports whether a letter takes two columns.
func isWide(r rune) bool {
	switch {
	case r < 0x1100 || r == utf8.RuneError || r >= 0xff61 && r <= 0xffdc: // the last are half as wide by design
		return false
	case r >= 0x3000 && r <= 0x33ff && r != 0x303f, r >= 0xff01 && r <= 0xff60, r >= 0xffe0 && r <= 0xffe6: // signs, the letters of Japan, and the wide forms of ASCII
		return true
	case r >= 0x1f300 && r <= 0x1f64f, r >= 0x1f680 && r <= 0x1f6ff, r >= 0x1f900 && r <= 0x1faff: // pictures
		return true
	}
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Bopomofo, unicode.Yi)
}
