package unit

import (
	"fmt"
	"math/big"
	"strings"
	"time"
)

// A Duration is a span of time, written as numbers with units: "1.5s", "300ms",
// "1h30min", "1d12h". The units are ns, us, ms, s, m or min for minutes, h, and d
// for days of 24 hours. A sign may stand before the whole. A bare number is
// refused, except 0.
type Duration time.Duration

// ParseDuration reads a duration in the format of Duration. A part of a
// nanosecond is cut off.
func ParseDuration(s string) (Duration, error) {
	if d, ok := plainDuration(s); ok {
		return d, nil
	}
	ns, ok := nanoseconds(s)
	switch {
	case !ok:
		return 0, durationError(s)
	case !ns.IsInt64():
		return 0, fmt.Errorf("duration %q is out of range: write at most 106751d", s)
	}
	return Duration(ns.Int64()), nil
}

// plainDuration reads a whole number of up to five digits with one unit, which nearly
// all durations of files are, without exact fractions. A large file has thousands.
func plainDuration(s string) (Duration, bool) {
	const mostDigits = 5 // days of so many digits are in range
	n, digits := 0, 0
	for digits < len(s) && digits <= mostDigits && s[digits] >= '0' && s[digits] <= '9' {
		n = 10*n + int(s[digits]-'0')
		digits++
	}
	length, known := timeUnit(s[digits:])
	if digits == 0 || digits > mostDigits || !known {
		return 0, false
	}
	return Duration(time.Duration(n) * length), true
}

func nanoseconds(s string) (*big.Int, bool) {
	if number, rest := cutNumber(s); number != nil && rest == "" && number.Sign() == 0 {
		return new(big.Int), true
	}
	text, negative := strings.CutPrefix(s, "-")
	total := new(big.Rat)
	for first := true; first || text != ""; first = false {
		number, rest := cutNumber(text)
		if number == nil {
			return nil, false
		}
		end := strings.IndexAny(rest, "0123456789.")
		if end < 0 {
			end = len(rest)
		}
		length, known := timeUnit(rest[:end])
		if !known {
			return nil, false
		}
		total.Add(total, number.Mul(number, big.NewRat(int64(length), 1)))
		text = rest[end:]
	}
	ns := new(big.Int).Quo(total.Num(), total.Denom())
	if negative {
		ns.Neg(ns)
	}
	return ns, true
}

func timeUnit(name string) (time.Duration, bool) {
	switch name {
	case "ns":
		return time.Nanosecond, true
	case "us", "µs", "μs": // the micro sign and the Greek letter
		return time.Microsecond, true
	case "ms":
		return time.Millisecond, true
	case "s":
		return time.Second, true
	case "m", "min":
		return time.Minute, true
	case "h":
		return time.Hour, true
	case "d":
		return 24 * time.Hour, true
	}
	return 0, false
}

func durationError(s string) error {
	if meant := durationMeant(s); meant != "" {
		return fmt.Errorf("invalid duration %q: write %s", s, meant)
	}
	return fmt.Errorf("invalid duration %q: write a number with a unit, such as 300ms, 1.5s, 2min or 1h", s)
}

// durationMeant is a duration that was likely meant by s, or empty: other names
// of units are replaced, and spaces are left out.
func durationMeant(s string) string {
	names := strings.NewReplacer(
		"milliseconds", "ms", "millis", "ms", "msecs", "ms", "msec", "ms", "microseconds", "us",
		"seconds", "s", "second", "s", "secs", "s", "sec", "s",
		"minutes", "min", "minute", "min", "mins", "min",
		"hours", "h", "hour", "h", "hrs", "h", "hr", "h", "days", "d", "day", "d")
	text := names.Replace(strings.Join(strings.Fields(strings.ToLower(s)), ""))
	text = strings.TrimPrefix(text, "+")
	if strings.HasPrefix(text, ".") {
		text = "0" + text
	}
	if number, rest := cutNumber(text); number != nil && rest == "" {
		return fmt.Sprintf("its unit, such as %ss or %smin", text, text)
	}
	if _, ok := nanoseconds(text); !ok {
		return ""
	}
	return text
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
