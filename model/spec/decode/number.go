package decode

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// plainNumber reports a number that is not written as JSON writes numbers, with
// what to write instead. All readers of YAML agree on these alone: 010 is 8 for
// some and 10 for others.
func (f *File) plainNumber(n *Node, path string) bool {
	if n.Shape != Number || json.Valid([]byte(n.Scalar)) {
		return true
	}
	f.Mistake(n, path, decimalHint(n.Scalar), "%s is not a plain decimal number", n.Scalar)
	return false
}

// WantPlainNumbers reports every number at a node and below it that is not written as JSON
// writes numbers. It is for values that are taken as they are: others are looked at when
// they are decoded.
func (f *File) WantPlainNumbers(n *Node, path string) {
	f.plainNumber(n, path)
	for _, field := range n.Fields {
		f.WantPlainNumbers(field.Value, problem.Join(path, field.Key))
	}
	for i, item := range n.Items {
		f.WantPlainNumbers(item, problem.Index(path, i))
	}
}

// whole writes a whole number with a fraction or an exponent, such as 5.0 or 1e3,
// in digits alone. Other numbers stay as they are.
func whole(s string) string {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(s), "e")
	if e, err := strconv.Atoi(cmp.Or(exponent, "0")); err != nil || e < -30 || e > 30 || len(mantissa) > 60 {
		return s
	}
	if number, ok := new(big.Rat).SetString(s); ok && number.IsInt() {
		return number.Num().String()
	}
	return s
}

func decimalHint(s string) string {
	digits := strings.ReplaceAll(strings.TrimPrefix(s, "+"), "_", "")
	if octal, err := strconv.ParseUint(digits, 8, 64); err == nil && strings.HasPrefix(digits, "0") {
		if ten, err := strconv.ParseUint(digits, 10, 64); err == nil {
			return fmt.Sprintf("write %d, or %d if octal digits are meant", ten, octal)
		}
	}
	if i, err := strconv.ParseInt(digits, 0, 64); err == nil {
		return fmt.Sprintf("write %d", i)
	}
	if x, err := strconv.ParseFloat(digits, 64); err == nil {
		return "write " + strconv.FormatFloat(x, 'f', -1, 64)
	}
	return "write digits, with a decimal point at most"
}
