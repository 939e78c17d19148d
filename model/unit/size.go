package unit

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// A Size is a number of bytes, written as a Kubernetes quantity: "512",
// "64Ki", "250Mi", "1.5Gi", "10k", "1M". "8B" is 8 bytes.
type Size int64

// sizeFactor is how many bytes a suffix of a size stands for.
func sizeFactor(suffix string) (*big.Rat, bool) {
	letter, binary := strings.CutSuffix(suffix, "i")
	power := strings.Index("kMGTPE", letter) + 1
	switch {
	case suffix == "", suffix == "B":
		return big.NewRat(1, 1), true
	case suffix == "K":
		return big.NewRat(1000, 1), true
	case suffix == "Ki":
		power = 1
	case len(letter) != 1 || power == 0 || suffix == "ki":
		return nil, false
	}
	base := int64(1000)
	if binary {
		base = 1024
	}
	factor := new(big.Int).Exp(big.NewInt(base), big.NewInt(int64(power)), nil)
	return new(big.Rat).SetInt(factor), true
}

// ParseSize reads a size in the format of Size. Negative sizes, fractions of a
// byte and sizes over 2^63-1 bytes are errors.
func ParseSize(s string) (Size, error) {
	bytes, ok := bytesOf(s)
	switch {
	case !ok:
		return 0, sizeError(s)
	case !bytes.IsInt():
		return 0, fmt.Errorf("size %q is not a whole number of bytes: write one, such as %s", s, new(big.Int).Quo(bytes.Num(), bytes.Denom()))
	case !bytes.Num().IsInt64():
		return 0, fmt.Errorf("size %q is too large: write less than 8Ei", s)
	}
	return Size(bytes.Num().Int64()), nil
}

func bytesOf(s string) (*big.Rat, bool) {
	number, suffix := cutNumber(s)
	factor, known := sizeFactor(suffix)
	if number == nil || !known {
		return nil, false
	}
	return number.Mul(number, factor), true
}

func sizeError(s string) error {
	if strings.HasPrefix(s, "-") {
		return fmt.Errorf("size %q is negative: write a number of bytes from 0 up, such as 64Ki or 250Mi", s)
	}
	// Others write kB, MB, KiB and MiB.
	meant := strings.ReplaceAll(strings.TrimSuffix(strings.ReplaceAll(s, " ", ""), "B"), "ki", "Ki")
	if _, ok := bytesOf(meant); ok {
		return fmt.Errorf("invalid size %q: write %s", s, meant)
	}
	return fmt.Errorf("invalid size %q: write a number of bytes, such as 512, 64Ki or 250Mi", s)
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
