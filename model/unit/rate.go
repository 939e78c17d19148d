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

// ParseRate reads a rate in the format of Rate. Bits that are no whole number of
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
	factor, known := bitFactor(prefix)
	if !known {
		return 0, fmt.Errorf("invalid rate %q: write bits as 100kbit, 1mbit or 1gbit", s)
	}
	bytes := number.Mul(number, factor)
	if bytes.Sign() > 0 && bytes.Cmp(big.NewRat(1, 1)) < 0 {
		return 0, fmt.Errorf("rate %q is out of range: write at least 8bit, one byte per second", s)
	}
	rounded := new(big.Int).Quo(bytes.Add(bytes, big.NewRat(1, 2)).Num(), bytes.Denom())
	if !rounded.IsInt64() {
		return 0, fmt.Errorf("rate %q is out of range: write less than 8Ei bytes per second", s)
	}
	return Rate(rounded.Int64()), nil
}

// bitFactor is how many bytes the bits with a prefix are.
func bitFactor(prefix string) (*big.Rat, bool) {
	letter, binary := strings.CutSuffix(prefix, "i")
	power := int64(0)
	switch {
	case prefix == "":
	case len(letter) == 1 && strings.Contains("kmgt", letter):
		power = int64(strings.Index("kmgt", letter) + 1)
	default:
		return nil, false
	}
	base := int64(1000)
	if binary {
		base = 1024
	}
	factor := new(big.Int).Exp(big.NewInt(base), big.NewInt(power), nil)
	return new(big.Rat).SetFrac(factor, big.NewInt(8)), true
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
