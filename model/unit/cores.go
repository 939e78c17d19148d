package unit

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Cores is an amount of processor time per time: "1", "0.5", "500m".
type Cores float64

// mostCores is more than any machine has.
const mostCores = 1e6

// ParseCores reads an amount of processor in the format of Cores.
func ParseCores(s string) (Cores, error) {
	digits, milli := strings.CutSuffix(s, "m")
	number, rest := cutNumber(digits)
	if number == nil || rest != "" {
		return 0, fmt.Errorf("invalid amount of CPU %q: write cores, such as 2, 0.5 or 500m", s)
	}
	n, _ := number.Float64()
	if milli {
		n *= 1e-3
	}
	if n > mostCores {
		return 0, fmt.Errorf("amount of CPU %q is out of range: write at most %.0f cores", s, mostCores)
	}
	return Cores(n), nil
}

// String prints whole cores as such and parts of a core in thousandths.
func (c Cores) String() string {
	if c == Cores(math.Trunc(float64(c))) {
		return strconv.FormatFloat(float64(c), 'f', -1, 64)
	}
	return strconv.FormatFloat(math.Round(float64(c)*1000), 'f', -1, 64) + "m"
}

// MarshalText implements encoding.TextMarshaler.
func (c Cores) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *Cores) UnmarshalText(text []byte) (err error) {
	*c, err = ParseCores(string(text))
	return err
}

// Set makes an amount of processor usable as a command-line flag.
func (c *Cores) Set(text string) error { return c.UnmarshalText([]byte(text)) }

// Type names the flag's kind of value in help texts.
func (c *Cores) Type() string { return "cores" }
