package cli

import "github.com/microsim-dev/kubectl-microsim/model/unit"

// A Duration is a flag whose help does not show zero, which stands for a flag that
// was not given, as its default.
type Duration unit.Duration

// NewDuration returns a flag that sets a duration.
func NewDuration(to *unit.Duration) *Duration { return (*Duration)(to) }

// String implements pflag.Value.
func (d *Duration) String() string {
	if *d == 0 {
		return ""
	}
	return unit.Duration(*d).String()
}

// Set implements pflag.Value.
func (d *Duration) Set(text string) error { return (*unit.Duration)(d).Set(text) }

// Type implements pflag.Value.
func (d *Duration) Type() string { return "duration" }
