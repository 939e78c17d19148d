package unit

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// A Share is a part of a whole, from 0 to 1. It is written as such, 0.1, or as
// percents with their sign, "10%". In JSON it is a number.
type Share float64

// ParseShare reads a share in the format of Share.
func ParseShare(s string) (Share, error) {
	digits, percents := strings.CutSuffix(s, "%")
	number := decimal(digits)
	if number == nil {
		return 0, shareError(s)
	}
	if percents {
		number.Quo(number, big.NewRat(100, 1))
	}
	if number.Cmp(big.NewRat(1, 1)) > 0 {
		return 0, shareError(s)
	}
	n, _ := number.Float64()
	return Share(n), nil
}

// decimal reads a number that may have an exponent, as small shares do in JSON: 1e-7.
// It is nil if s is none.
func decimal(s string) *big.Rat {
	number, rest := cutNumber(s)
	if number == nil || rest == "" {
		return number
	}
	exponent, err := strconv.Atoi(rest[1:])
	if rest[0]|0x20 != 'e' || err != nil || exponent < -99 || exponent > 99 {
		return nil
	}
	number, ok := new(big.Rat).SetString(s)
	if !ok {
		return nil
	}
	return number
}

func shareError(s string) error {
	return fmt.Errorf("invalid share %q: write a number from 0 to 1, such as 0.1, or percents, such as 10%%", s)
}

// String prints the share as a number from 0 to 1.
func (s Share) String() string { return strconv.FormatFloat(float64(s), 'f', -1, 64) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Share) UnmarshalText(text []byte) (err error) {
	*s, err = ParseShare(string(text))
	return err
}

// UnmarshalJSON reads a number, or a text in the format of Share.
func (s *Share) UnmarshalJSON(data []byte) error {
	text, err := scalarText(data)
	if err != nil {
		return err
	}
	return s.UnmarshalText(text)
}

// Set makes a share usable as a command-line flag.
func (s *Share) Set(text string) error { return s.UnmarshalText([]byte(text)) }

// Type names the flag's kind of value in help texts.
func (s *Share) Type() string { return "share" }

// A Percent is a part of a whole in percents, from 0 to 100, written with or
// without the sign: 0.5 and "0.5%" are the same. In JSON it is a number.
type Percent float64

// ParsePercent reads percents in the format of Percent.
func ParsePercent(s string) (Percent, error) {
	number := decimal(strings.TrimSuffix(s, "%"))
	if number == nil || number.Cmp(big.NewRat(100, 1)) > 0 {
		return 0, fmt.Errorf("invalid percentage %q: write percents from 0 to 100, such as 10 or 0.5", s)
	}
	n, _ := number.Float64()
	return Percent(n), nil
}

// Share returns the percents as a number from 0 to 1.
func (p Percent) Share() float64 { return float64(p) / 100 }

// PercentOf returns a share from 0 to 1 in percents.
func PercentOf(share float64) Percent {
	// 0.07*100 is 7.000000000000001: the shortest decimal of the share is what was
	// written.
	number, ok := new(big.Rat).SetString(strconv.FormatFloat(share, 'f', -1, 64))
	if !ok {
		return Percent(share * 100)
	}
	n, _ := number.Mul(number, big.NewRat(100, 1)).Float64()
	return Percent(n)
}

// String prints the percents without their sign.
func (p Percent) String() string { return strconv.FormatFloat(float64(p), 'f', -1, 64) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Percent) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePercent(string(text))
	return err
}

// UnmarshalJSON reads a number, or a text in the format of Percent.
func (p *Percent) UnmarshalJSON(data []byte) error {
	text, err := scalarText(data)
	if err != nil {
		return err
	}
	return p.UnmarshalText(text)
}

// Set makes percents usable as a command-line flag.
func (p *Percent) Set(text string) error { return p.UnmarshalText([]byte(text)) }

// Type names the flag's kind of value in help texts.
func (p *Percent) Type() string { return "percent" }

// scalarText returns the text of a JSON string or number.
func scalarText(data []byte) ([]byte, error) {
	if len(data) > 0 && data[0] == '"' {
		var text string
		err := json.Unmarshal(data, &text)
		return []byte(text), err
	}
	return data, nil
}
