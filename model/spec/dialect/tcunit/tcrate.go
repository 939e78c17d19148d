// Package tcunit reads rates and percentages as tc writes them, which several
// dialects took over.
package tcunit

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// A tcRate is a rate in the units of tc(8), read into bytes per second: "bit"
// and what ends in it are bits, "bps" and what ends in it are bytes per second,
// with the factors of 1000 k, m, g, t or those of 1024 ki, mi, gi, ti. A bare
// number is bits.
type Rate unit.Size

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Rate) UnmarshalText(text []byte) error {
	word := strings.ToLower(strings.TrimSpace(string(text)))
	end := strings.IndexFunc(word, func(c rune) bool { return (c < '0' || c > '9') && c != '.' })
	if end < 0 {
		end = len(word)
	}
	number, err := strconv.ParseFloat(word[:end], 64)
	factor, known := tcFactor(word[end:])
	if err != nil || !known {
		return fmt.Errorf("invalid rate %q: write a number with a unit of tc, such as 100kbit or 1mbit (bits), 1mbps (bytes per second)", text)
	}
	bytes := math.Round(number * factor)
	if bytes < 1 || bytes >= math.MaxInt64 {
		return fmt.Errorf("rate %q is out of range: the least is one byte per second, 8bit", text)
	}
	*r = Rate(bytes)
	return nil
}

// tcFactor is how many bytes per second a unit is.
func tcFactor(unit string) (float64, bool) {
	bytes := 1.0
	prefix, isBytes := strings.CutSuffix(unit, "bps")
	if !isBytes {
		bytes = 1.0 / 8
		prefix = strings.TrimSuffix(unit, "bit")
		if prefix == unit && unit != "" {
			return 0, false
		}
	}
	for i, letter := range []string{"k", "m", "g", "t"} {
		switch prefix {
		case letter:
			return bytes * math.Pow(1000, float64(i+1)), true
		case letter + "i":
			return bytes * math.Pow(1024, float64(i+1)), true
		}
	}
	return bytes, prefix == ""
}

// A Percent is a share written as a number from 0 to 100, read into 0 to 1.
type Percent float64

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Percent) UnmarshalText(text []byte) error {
	n, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(string(text)), "%"), 64)
	if err != nil || !(n >= 0 && n <= 100) {
		return fmt.Errorf("invalid percentage %q: write a number from 0 to 100", text)
	}
	*p = Percent(n / 100)
	return nil
}
