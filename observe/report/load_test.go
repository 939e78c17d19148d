package report

import (
	"slices"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// A message of a failure is one line in a pipe, where it is searched, and is folded on a
// terminal without losing a word.
func TestMessagesOfFailures(t *testing.T) {
	const message = "dial tcp 127.0.0.1:36581: TLS handshake with \"127.0.0.1:36581\": tls: failed to verify certificate: x509: certificate signed by unknown authority"
	r := &result.LoadReport{}
	r.Failures = []result.Failure{{Count: 2, Example: result.Example{Text: message}}}
	r.Total.Outcomes = map[outcome.Class]int64{outcome.ConnectionError: 2}
	for _, width := range []int{0, 20, 80, 200} {
		var text strings.Builder
		if err := Load(&text, r, Style{Width: width}); err != nil {
			t.Fatal(err)
		}
		if words := strings.Join(strings.Fields(text.String()), " "); !strings.Contains(words, message) {
			t.Errorf("with %d columns, words of the message are missing: %s", width, text.String())
		}
		whole := slices.ContainsFunc(strings.Split(text.String(), "\n"), func(line string) bool { return strings.HasSuffix(line, message) })
		if want := width == 0; whole != want {
			t.Errorf("with %d columns, the message is in one line: %v, want %v", width, whole, want)
		}
	}
}
