// Package unit has the quantities that files and flags are written in:
// durations, sizes in bytes, and processor cores. Each reads and prints itself
// as text, so that it works in JSON, in YAML and as a flag.
package unit

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Duration is a span of time, written as Go writes durations ("1.5s",
// "300ms"), with "min" allowed for minutes ("2min") and "d" for days of 24
// hours ("1d12h"). A bare number is refused, except 0.
type Duration time.Duration

// ParseDuration reads a duration in the format of Duration.
func ParseDuration(s string) (Duration, error) {
	text := strings.ReplaceAll(s, "min", "m")
	var days time.Duration
	if number, rest, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || math.Abs(n) > 36500 {
			return 0, durationError(s)
		}
		days = time.Duration(n * 24 * float64(time.Hour))
		if text = rest; text == "" {
			return Duration(days), nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, durationError(s)
	}
	return Duration(days + d), nil
}

func durationError(s string) error {
	return fmt.Errorf("invalid duration %q: write a number with a unit, such as 300ms, 1.5s, 2min or 1h", s)
}

// Std returns the duration as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// Seconds returns the duration in seconds.
func (d Duration) Seconds() float64 { return time.Duration(d).Seconds() }

// String prints the duration as Go does, without trailing zero units: 2m, not 2m0s.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDuration(string(text))
	return err
}

// Set and Type make a duration usable as a command-line flag.
func (d *Duration) Set(s string) error { return d.UnmarshalText([]byte(s)) }

// Type names the flag's kind of value in help texts.
func (d *Duration) Type() string { return "duration" }

// A Size is a number of bytes, written as a Kubernetes quantity: "512",
// "64Ki", "250Mi", "1.5Gi", "10k", "1M".
type Size int64

// suffixes of sizes from the longest to the shortest, so that the binary ones
// are tried first.
func sizeSuffixes() []struct {
	text  string
	bytes float64
} {
	return []struct {
		text  string
		bytes float64
	}{
		{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1 << 40}, {"Pi", 1 << 50},
		{"k", 1e3}, {"K", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {"P", 1e15}, {"B", 1}, {"", 1},
	}
}

// ParseSize reads a size in the format of Size. Negative sizes, fractions of a
// byte and sizes over 2^63-1 bytes are errors.
func ParseSize(s string) (Size, error) {
	for _, suffix := range sizeSuffixes() {
		number, ok := strings.CutSuffix(s, suffix.text)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || math.IsNaN(n) || strings.ContainsAny(number, "xXpP_") {
			break
		}
		bytes := n * suffix.bytes
		switch {
		case n < 0:
			return 0, fmt.Errorf("size %q is negative: write a number of bytes from 0 up, such as 64Ki or 250Mi", s)
		case bytes >= math.MaxInt64:
			return 0, fmt.Errorf("size %q is too large: the largest is 8Ei-1 bytes", s)
		case bytes != math.Trunc(bytes):
			return 0, fmt.Errorf("size %q is not a whole number of bytes", s)
		}
		return Size(bytes), nil
	}
	return 0, fmt.Errorf("invalid size %q: write a number of bytes, such as 512, 64Ki or 250Mi", s)
}

// String prints the size with the largest binary suffix that keeps it whole.
func (s Size) String() string {
	n, suffix := int64(s), ""
	for _, next := range []string{"Ki", "Mi", "Gi", "Ti", "Pi"} {
		if n == 0 || n%1024 != 0 {
			break
		}
		n, suffix = n/1024, next
	}
	return strconv.FormatInt(n, 10) + suffix
}

// MarshalText implements encoding.TextMarshaler.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSize(string(text))
	return err
}

// Set makes a size usable as a command-line flag.
func (s *Size) Set(text string) error { return s.UnmarshalText([]byte(text)) }

// Type names the flag's kind of value in help texts.
func (s *Size) Type() string { return "size" }

// Cores is an amount of processor time per time: "1", "0.5", "500m".
type Cores float64

// ParseCores reads an amount of processor in the format of Cores.
func ParseCores(s string) (Cores, error) {
	number, scale := s, 1.0
	if milli, ok := strings.CutSuffix(s, "m"); ok {
		number, scale = milli, 1e-3
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(n) || n < 0 || n > 1e6 {
		return 0, fmt.Errorf("invalid amount of CPU %q: write cores, such as 2, 0.5 or 500m", s)
	}
	return Cores(n * scale), nil
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
