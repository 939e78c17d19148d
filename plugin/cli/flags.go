package cli

import (
	"fmt"
	"strings"
)

// OneOf checks a flag that takes one of a few words.
func OneOf(flag, value string, words ...string) error {
	for _, w := range words {
		if value == w {
			return nil
		}
	}
	return fmt.Errorf("--%s %q is not known: write %s", flag, value, strings.Join(words, ", "))
}
