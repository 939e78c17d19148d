package unit

import "strconv"

// Count is a number with its noun: "1 system", "0 systems". The noun is one whose plural
// has an s.
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
