package unit

import (
	"fmt"
	"math/big"
	"strings"
)

// A Rate is a number of bytes per second. It is written as a Size is ("125k" is
// 125 000 bytes per second), or in bits with the units of tc(8): bit, kbit, mbit,
// gbit and tbit, or kibit, mibit, gibit and tibit with factors of 1024.
type Rate int64

// ParseRate reads a rate in the format of Rate. Bits that are not a whole number of
// bytes are rounded to the nearest byte; less than a byte per second is an error,
// except 0.
func ParseRate(s string) (Rate, error) {
	number, suffix := cutNumber(s)
	prefix, isBits := strings.CutSuffix(strings.ToLower(suffix), "bit")
	if number == nil || !isBits {
		size, err := ParseSize(s)
		if err != nil {
			return 0, fmt.Errorf("invalid rate %q: write bytes per second, such as 125k, or bits with their unit, such as 1mbit", s)
		}
		return Rate(size), nil
	}
	factor, known := tcFactor(prefix)
	if !known {
		return 0, fmt.Errorf("invalid rate %q: write bits as 100kbit, 1mbit or 1gbit", s)
	}
	return wholeBytes(s, number.Mul(number, factor.Quo(factor, big.NewRat(8, 1))))
}

// wholeBytes rounds a rate to whole bytes per second.
func wholeBytes(s string, bytes *big.Rat) (Rate, error) {
	if bytes.Sign() > 0 && bytes.Cmp(big.NewRat(1, 1)) < 0 {
		return 0, fmt.Errorf("rate %q is out of range: write at least 8bit, one byte per second", s)
	}
	half := new(big.Rat).Add(bytes, big.NewRat(1, 2))
	rounded := new(big.Int).Quo(half.Num(), half.Denom())
	if !rounded.IsInt64() {
		return 0, fmt.Errorf("rate %q is out of range: write less than 8Ei bytes per second", s)
	}
	return Rate(rounded.Int64()), nil
}

// tcFactor is what a prefix of a unit of tc(8) multiplies by.
func tcFactor(prefix string) (*big.Rat, bool) {
	letter, binary := strings.CutSuffix(prefix, "i")
	power := int64(strings.Index("kmgt", letter) + 1)
	switch {
	case prefix == "":
		power = 0
	case len(letter) != 1 || power == 0:
		return nil, false
	}
	base := int64(1000)
	if binary {
		base = 1024
	}
	return new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(base), big.NewInt(power), nil)), true
}

// String prints the rate as the Size of one second.
func (r Rate) String() string { return Size(r).String() }

// MarshalText implements encoding.TextMarshaler.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Rate) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRate(string(text))
	return err
}

// Set makes a rate usable as a command-line flag.
func (r *Rate) Set(text string) error { return r.UnmarshalText([]byte(text)) }

// Type names the flag's kind of value in help texts.
func (r *Rate) Type() string { return "rate" }

// A TCRate is a rate as tc(8) reads it, which other tools' files took over: a bare
// number is bits per second, and bps is bytes per second.
type TCRate Rate

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *TCRate) UnmarshalText(text []byte) error {
	s := strings.ToLower(strings.TrimSpace(string(text)))
	number, suffix := cutNumber(s)
	prefix, isBytes := strings.CutSuffix(suffix, "bps")
	var rate Rate
	var err error
	if factor, known := tcFactor(prefix); number != nil && isBytes && known {
		rate, err = wholeBytes(s, number.Mul(number, factor))
	} else if number != nil && (suffix == "" || strings.HasSuffix(suffix, "bit")) {
		rate, err = ParseRate(strings.TrimSuffix(s, "bit") + "bit")
	} else {
		err = fmt.Errorf("invalid rate %q: write a number with a unit of tc, such as 100kbit or 1mbit (bits), 1mbps (bytes per second)", text)
	}
	if err == nil && rate == 0 {
		err = fmt.Errorf("rate %q is out of range: write at least 8bit, one byte per second", text)
	}
	*r = TCRate(rate)
	return err
}
