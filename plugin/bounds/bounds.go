// Package bounds has the flags that stop runs in virtual time which would never end,
// or would not fit into memory.
package bounds

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/localsim/virtual"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// Flags are the limits of a run.
type Flags struct {
	events            uint64
	instant, requests int
}

// AddFlags adds the flags to a command.
func (f *Flags) AddFlags(cmd *cobra.Command) {
	standard := virtual.Limits{}.WithDefaults()
	flags := cmd.Flags()
	flags.Uint64Var(&f.events, "max-events", standard.Events, "in virtual time: stop a run after so many events; 0 is without bound")
	flags.IntVar(&f.instant, "max-instant-events", standard.Instant, "in virtual time: stop a run after so many events without any time passing, as of a retry that never waits")
	flags.IntVar(&f.requests, "max-requests", standard.Requests, "in virtual time: stop a run with so many requests under way at once, of which each takes about 1 KB of memory")
}

// OnlyOnVirtual notes that the flags have an effect only in virtual time.
func (f *Flags) OnlyOnVirtual(cmd *cobra.Command) {
	cli.OnlyOn(cmd.Flags(), []string{virtual.Target}, Names()...)
}

// Validate refuses limits that stop every run.
func (f *Flags) Validate() error {
	for _, flag := range []struct {
		name  string
		value int
	}{{"max-instant-events", f.instant}, {"max-requests", f.requests}} {
		if flag.value < 1 {
			return fmt.Errorf("--%s %d stops every run: write 1 or more", flag.name, flag.value)
		}
	}
	return nil
}

// Limits returns the limits that the flags set.
func (f *Flags) Limits() virtual.Limits {
	return virtual.Limits{Events: f.events, Instant: f.instant, Requests: f.requests}
}

// Names returns the names of the flags, for commands that refuse them.
func Names() []string { return []string{"max-events", "max-instant-events", "max-requests"} }
