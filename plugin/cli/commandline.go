package cli

import "strings"

// CommandLine joins words to a command line that a shell takes apart into the same
// words, so that it can be pasted.
func CommandLine(words ...string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = quote(word)
	}
	return strings.Join(quoted, " ")
}

// quote is a word as a shell takes it.
func quote(word string) string {
	if word != "" && !strings.ContainsAny(word, " \t\n'\"\\$&;|<>()*?#~`{}[]!") {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
