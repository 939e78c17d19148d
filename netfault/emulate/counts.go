package emulate

import (
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
}

// ClassStats is what one class did since it was applied.
type ClassStats struct {
	Interface string             `json:"interface"`
	Direction netfault.Direction `json:"direction"`
	Rules     []string           `json:"rules"`
	Counts    Counts             `json:"counts"`
	Decided   engine.Stats       `json:"decided"`
	Held      int                `json:"held"`
	Err       error              `json:"-"`
}

// Stats is what a backend has done.
type Stats struct {
	Classes []ClassStats `json:"classes"`
	// CPU is the processor time of the thread that moves packets, the kernel's
	// part in sending them included.
	CPU time.Duration `json:"cpu"`
}
