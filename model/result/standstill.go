package result

import (
	"fmt"
	"strings"
)

// A Standstill is a time in which the program that runs an experiment did not run: it was
// stopped, or its machine had no processor for it. Load that it sends, faults and looks
// that were due then came late, so figures of that time are not those of the system alone.
type Standstill struct {
	// From and To are seconds since the load started, From up to a quarter of a second
	// too early.
	From float64 `json:"from"`
	To   float64 `json:"to"`
}

// StandstillText says when the program did not run; empty if it always did.
func (r *Result) StandstillText() string {
	if len(r.Standstills) == 0 {
		return ""
	}
	var times []string
	for i, s := range r.Standstills {
		if i == 3 {
			times = append(times, fmt.Sprintf("%d times more", len(r.Standstills)-i))
			break
		}
		times = append(times, fmt.Sprintf("from %.1fs to %.1fs", s.From, s.To))
	}
	return "this program did not run " + strings.Join(times, ", ") + ", because it or its machine was stopped or had too much to do: what was due then came late"
}
