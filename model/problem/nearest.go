package problem

import (
	"fmt"
	"strings"
)

// maxWord is the longest word that is compared; comparing takes time in the
// product of the lengths.
const maxWord = 64

// Nearest returns the known word that is most like the given one, capitals
// aside, or "" where none is like it: one letter and a third of the word may
// differ, but not all of it. Of equally near words the first wins.
func Nearest(word string, known []string) string {
	if len(word) > maxWord {
		return ""
	}
	best, least := "", 2+len(word)/3
	for _, k := range known {
		if len(k) > maxWord {
			continue
		}
		if d := editDistance(strings.ToLower(word), strings.ToLower(k)); d < least && d < len(word) {
			best, least = k, d
		}
	}
	return best
}

// DidYouMean returns a hint that names the nearest of the known words, or the
// other hint if none is near.
func DidYouMean(word string, known []string, otherwise string) string {
	if near := Nearest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return otherwise
}

// editDistance is Levenshtein's, in bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
