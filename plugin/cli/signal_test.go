package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

// A second interruption tells what removes exactly what is left.
func TestLeavingAtOnce(t *testing.T) {
	const remedy = "kubectl microsim down one --on local"
	for name, tt := range map[string]struct {
		left bool // something is left
		code int
	}{
		"something is left": {left: true, code: ExitCleanup},
		"nothing is left":   {code: ExitError},
	} {
		t.Run(name, func(t *testing.T) {
			left := &leftovers{}
			cleaned := RecoverWith(context.WithValue(t.Context(), leftoversKey{}, left), remedy)
			if !tt.left {
				cleaned()
			}
			var talk bytes.Buffer
			if code := left.leave(&talk); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if got := strings.Contains(talk.String(), remedy); got != tt.left {
				t.Errorf("advice given: %v, want %v: %s", got, tt.left, talk.String())
			}
			if strings.Contains(talk.String(), "--all") {
				t.Errorf("the advice removes more than what is left: %s", talk.String())
			}
		})
	}
}
