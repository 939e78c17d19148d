package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestSignals(t *testing.T) {
	const remedy = "kubectl microsim down one --on local"
	for name, tt := range map[string]struct {
		left   bool // something is left until the end
		after  []time.Duration
		code   int // 0: the program was not ended
		advice bool
	}{
		"one":                                {left: true},
		"repeated at once":                   {left: true, after: []time.Duration{time.Millisecond, 900 * time.Millisecond}},
		"repeated later":                     {left: true, after: []time.Duration{time.Millisecond, time.Second}, code: ExitCleanup, advice: true},
		"repeated later with nothing to say": {after: []time.Duration{2 * time.Second}, code: ExitError},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var talk bytes.Buffer
				code := 0
				signals := make(chan os.Signal)
				ctx, stop := untilSignal(t.Context(), &talk, signals, func(c int) { code = c })
				cleaned := RecoverWith(ctx, remedy)
				if !tt.left {
					cleaned()
				}
				signals <- syscall.SIGTERM
				begun := time.Now()
				for _, at := range tt.after {
					time.Sleep(at - time.Since(begun))
					signals <- syscall.SIGTERM
				}
				stop()
				if cause := context.Cause(ctx); !errors.Is(cause, errInterrupted) || cause.Error() != "interrupted by SIGTERM" {
					t.Errorf("the context ended with %v", cause)
				}
				if code != tt.code {
					t.Errorf("exit code %d, want %d", code, tt.code)
				}
				if got := strings.Contains(talk.String(), remedy); got != tt.advice {
					t.Errorf("advice given: %v, want %v: %s", got, tt.advice, talk.String())
				}
				if strings.Contains(talk.String(), "--all") {
					t.Errorf("the advice removes more than what is left: %s", talk.String())
				}
			})
		})
	}
}
