package cli

import "github.com/microsim-dev/kubectl-microsim/model/unit"

// A Duration is a flag that takes durations as files do, with min and d, and that
// prints nothing as its default if it has none.
type Duration struct {
	to *unit.Duration
	// given is set if the flag is on the command line: it may say 0s.
	given bool
}

// NewDuration returns a flag that sets a duration.
func NewDuration(to *unit.Duration) *Duration { return &Duration{to: to} }

// String implements pflag.Value.
func (d *Duration) String() string {
	if d.to == nil || *d.to == 0 && !d.given {
		return ""
	}
	return d.to.String()
}

// Set implements pflag.Value.
func (d *Duration) Set(text string) error {
	d.given = true
	return d.to.Set(text)
}

// Type implements pflag.Value.
func (d *Duration) Type() string { return "duration" }
