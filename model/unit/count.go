package unit

import (
	"strconv"
	"strings"
)

// Count is a number with its noun: "1 system", "0 systems", "2 processes". The noun is
// one whose plural has an s.
func Count(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "s"):
		noun += "e"
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
