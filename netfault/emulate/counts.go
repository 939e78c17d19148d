package emulate

import (
	"math/bits"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault"
	"github.com/microsim-dev/kubectl-microsim/netfault/emulate/engine"
)

// Counts says what became of the packets of one class.
type Counts struct {
	Packets uint64 `json:"packets"`
	// Overruns is how often the kernel could not reach this process in time;
	// such packets passed unimpaired.
	Overruns uint64 `json:"overruns"`
	// Stale is how many packets the kernel had dropped before they were due, as
	// it does when anybody removes a netfilter hook of the namespace.
	Stale uint64 `json:"stale"`
	// NotCopied is how many duplicates could not be sent.
	NotCopied uint64 `json:"notCopied"`
	// Late counts packets by how late they were let go, in powers of two of a
	// microsecond: Late[n] were late by less than 2^n us and not less than half of that.
	Late [24]uint64 `json:"late"`
}

// late counts a packet that is let go so many nanoseconds after it was due.
func (c *Counts) late(ns int64) {
	c.Late[min(bits.Len64(uint64(max(0, ns))/1000), len(c.Late)-1)]++
}

// LateQuantile returns a bound that a share u of the packets was not later than.
func (c Counts) LateQuantile(u float64) time.Duration {
	total := uint64(0)
	for _, n := range c.Late {
		total += n
	}
	sum := uint64(0)
	for n, count := range c.Late {
		if sum += count; float64(sum) >= u*float64(total) {
			return time.Duration(1<<n) * time.Microsecond
		}
	}
	return 0
}

// ClassStats is what one class did since it was applied.
type ClassStats struct {
	Interface string             `json:"interface"`
	Direction netfault.Direction `json:"direction"`
	Rules     []string           `json:"rules"`
	Counts    Counts             `json:"counts"`
	// Decided is without what the stages did that the class shares with others.
	Decided engine.Stats `json:"decided"`
	Held    int          `json:"held"`
	Err     error        `json:"-"`
}

// Stats is what a backend has done.
type Stats struct {
	Classes []ClassStats `json:"classes"`
	// CPU is the processor time of the thread that moves packets, the kernel's
	// part in sending them included.
	CPU time.Duration `json:"cpu"`
}
