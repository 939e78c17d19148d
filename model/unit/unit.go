// Package unit has the quantities that files and flags are written in:
// durations, sizes in bytes, rates, processor cores, and shares. Each reads and
// prints itself as text, so that it works in JSON, in YAML and as a flag.
//
// The formats are strict: what could be read in two ways is refused, with what
// to write instead. A number is written with digits and at most one decimal
// point, as 10 or 0.5; it has no sign but in a duration, no exponent, and no
// digit grouping.
package unit

import (
	"math/big"
	"strings"
)

// cutNumber splits a text after the number that it begins with. The number is nil
// if there is none.
func cutNumber(s string) (number *big.Rat, rest string) {
	whole := digits(s)
	end := whole
	if end < len(s) && s[end] == '.' {
		fraction := digits(s[end+1:])
		if fraction == 0 {
			return nil, s
		}
		end += 1 + fraction
	}
	if whole == 0 {
		return nil, s
	}
	number, ok := new(big.Rat).SetString(s[:end])
	if !ok {
		return nil, s
	}
	return number, s[end:]
}

// digits counts the digits that a text begins with.
func digits(s string) int {
	return len(s) - len(strings.TrimLeft(s, "0123456789"))
}
