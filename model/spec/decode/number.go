package decode

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
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
