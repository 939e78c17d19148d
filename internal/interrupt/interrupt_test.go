//go:build unix

package interrupt

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestSignals(t *testing.T) {
	for name, tt := range map[string]struct {
		after []time.Duration
		again int
	}{
		"one":              {},
		"repeated at once": {after: []time.Duration{time.Millisecond, 900 * time.Millisecond}},
		"repeated later":   {after: []time.Duration{time.Millisecond, time.Second}, again: 1},
		"and once more":    {after: []time.Duration{2 * time.Second, 3 * time.Second}, again: 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				again := 0
				signals := make(chan os.Signal)
				ctx, stop := obey(t.Context(), signals, func() { again++ })
				signals <- syscall.SIGTERM
				begun := time.Now()
				for _, at := range tt.after {
					time.Sleep(at - time.Since(begun))
					signals <- syscall.SIGTERM
				}
				stop()
				if cause := context.Cause(ctx); !errors.Is(cause, Err) || cause.Error() != "interrupted by SIGTERM" {
					t.Errorf("the context ended with %v", cause)
				}
				if again != tt.again {
					t.Errorf("called again %d times, want %d", again, tt.again)
				}
			})
		})
	}
}

// A signal that came to the process ends the context.
func TestContext(t *testing.T) {
	ctx, stop := Context(t.Context(), func() {})
	defer stop()
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	if cause := context.Cause(ctx); cause.Error() != "interrupted by SIGTERM" {
		t.Errorf("the context ended with %v", cause)
	}
}
