package cli

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/runner"
)

// Scripts of users depend on these numbers.
func TestExitCodes(t *testing.T) {
	bare := errors.New("no")
	for name, tt := range map[string]struct {
		err  error
		want int
	}{
		"done":                   {nil, 0},
		"error":                  {bare, 1},
		"misuse":                 {usageError{&cobra.Command{}, bare}, 2},
		"unknown command":        {Commands(&cobra.Command{Use: "microsim"}, []string{"x"}), 2},
		"with its own code":      {ExitWith(11, bare), 11},
		"a check failed":         {checksFailedError{1, 2}, 10},
		"left behind":            {&runner.CleanupError{Err: bare}, 11},
		"left behind after that": {errors.Join(checksFailedError{1, 2}, &runner.CleanupError{Err: bare}), 11},
		"as elsewhere":           {endedBadlyError{10, "1 of 2 checks did not hold"}, 10},
	} {
		if got := ExitCode(tt.err); got != tt.want {
			t.Errorf("%s: exit code %d, want %d", name, got, tt.want)
		}
		if tt.err == nil {
			continue
		}
		if got := ExitCode(fmt.Errorf("running: %w", tt.err)); got != tt.want {
			t.Errorf("%s, wrapped: exit code %d, want %d", name, got, tt.want)
		}
	}
}

// The page on exit codes has a row for each of them, and no others.
func TestExitCodesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/exit-codes.md")
	if err != nil {
		t.Fatal(err)
	}
	_, plugin, _ := strings.Cut(string(page), "\n## kubectl microsim\n")
	plugin, _, _ = strings.Cut(plugin, "\n## ")
	var got []int
	for _, row := range regexp.MustCompile(`(?m)^\| (\d+) \|`).FindAllStringSubmatch(plugin, -1) {
		code, _ := strconv.Atoi(row[1]) // the pattern allows nothing but digits
		got = append(got, code)
	}
	if want := []int{ExitDone, ExitError, ExitUsage, ExitCheckFailed, ExitCleanup}; !slices.Equal(got, want) {
		t.Errorf("docs/exit-codes.md has rows for the codes %v of kubectl microsim, want %v", got, want)
	}
}

// The middle of a long line is left out, so that its reason and the next step stay
// in sight.
func TestLongErrorsAreShort(t *testing.T) {
	var talk strings.Builder
	Conclude(&talk, fmt.Errorf("reading %q: not there; write another\nsecond line", strings.Repeat("é", 1<<20)))
	text := talk.String()
	if len(text) > lineLimit+200 || !utf8.ValidString(text) {
		t.Errorf("the error has %d bytes, valid UTF-8: %v", len(text), utf8.ValidString(text))
	}
	for _, part := range []string{`error: reading "é`, "bytes left out", "é\": not there; write another\n       second line\n"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is left out", part)
		}
	}
}
