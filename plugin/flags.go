package plugin

import (
	"fmt"
	"strings"
)

// oneOf checks a flag that takes one of a few words.
func oneOf(flag, value string, words ...string) error {
	for _, w := range words {
		if value == w {
			return nil
		}
	}
	return fmt.Errorf("--%s %q is not known: write %s", flag, value, strings.Join(words, ", "))
}
