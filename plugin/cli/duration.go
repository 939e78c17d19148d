package cli

import "github.com/microsim-dev/kubectl-microsim/model/unit"

// A Duration is a flag that takes the same durations as files, with min and d. Help
// shows no default for it if the variable is 0.
type Duration struct {
	to *unit.Duration
	// given is set if the flag is on the command line, because 0s can be given,
	// too.
	given bool
}

// NewDuration returns a flag that sets the variable; its value now is the default.
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
