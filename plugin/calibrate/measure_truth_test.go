//go:build truth

package calibrate

import (
	"context"
	"testing"
	"time"
)

// This machine is measured for real, in the time that is promised.
func TestMeasure(t *testing.T) {
	began := time.Now()
	c, err := Measure(context.Background(), func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > Longest {
		t.Errorf("it took %s", took)
	}
	if problems := c.Validate(); len(problems) > 0 {
		t.Error(problems.Err())
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Measure(ctx, func(string) {}); err == nil {
		t.Error("it measured although it was interrupted")
	}
}
