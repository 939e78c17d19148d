package runner

import (
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
	"time"
)

// An Observer gets the events of a run as they happen. It is never called by two
// goroutines at once. The run waits until it returns, so it must not block.
type Observer func(Event)

// An Event is one of the types below.
type Event interface{ event() }

type (
	// Deploying begins the run.
	Deploying struct{ System, Target string }
	// Deployed says that every service is ready.
	Deployed struct {
		Replicas []Replica
		Took     time.Duration
	}
	// LoadBegun marks the zero of all elapsed times.
	LoadBegun struct {
		At time.Time
		// Length is how long the load lasts at most.
		Length time.Duration
		// Phases are the names of the load's phases.
		Phases []string
	}
	// PhaseBegun says that a phase of the load has begun.
	PhaseBegun struct {
		At    time.Duration
		Index int
		Name  string
	}
	// FaultApplied and FaultCleared report changes of faults. A record with an
	// Error is of a change that failed.
	FaultApplied struct{ Record result.FaultRecord }
	// FaultCleared is FaultApplied's counterpart.
	FaultCleared struct{ Record result.FaultRecord }
	// ReplicaDown and ReplicaReady report replicas that go down and return.
	ReplicaDown struct{ Recovery result.Recovery }
	// ReplicaReady is ReplicaDown's counterpart.
	ReplicaReady struct{ Recovery result.Recovery }
	// ClientSampled has the requests of the clients that ended since the last one.
	// Result.Timeline counts by the intended start instead.
	ClientSampled struct{ Second result.ClientSecond }
	// ServiceSampled has a sample of one service. At is counted from the zero;
	// Phase is an index into the phases of the load, or their number after its last
	// answer.
	ServiceSampled struct {
		At     time.Duration
		Phase  int
		Sample measure.Sample
	}
	// LoadEnded says that every request has been answered or given up.
	LoadEnded struct{ At time.Duration }
	// TailBegun says that the system is watched until it is idle, but no longer
	// than Longest after the load.
	TailBegun struct{ At, Longest time.Duration }
	// CleaningUp says that the system is being taken down.
	CleaningUp struct{ System string }
	// RunBegun says which of the runs of RunAll begins; Index counts from 0.
	RunBegun struct {
		Index, Of int
		Variant   string
		Seed      uint64
		// AtMost is how long the loads and tails of this and all later runs take at
		// most.
		AtMost time.Duration
		// Around is how long this and all later runs are expected to take beside their
		// loads and tails, judged by the runs before; 0 in the first run.
		Around time.Duration
	}
	// RunEnded is RunBegun's counterpart. Result is nil if nothing was started.
	RunEnded struct {
		Index, Of int
		Result    *result.Result
		Err       error
	}
	// Done ends the run; Err is what Run returns.
	Done struct {
		Result *result.Result
		Err    error
	}
)

func (Deploying) event()      {}
func (Deployed) event()       {}
func (LoadBegun) event()      {}
func (PhaseBegun) event()     {}
func (FaultApplied) event()   {}
func (FaultCleared) event()   {}
func (ReplicaDown) event()    {}
func (ReplicaReady) event()   {}
func (ClientSampled) event()  {}
func (ServiceSampled) event() {}
func (LoadEnded) event()      {}
func (TailBegun) event()      {}
func (CleaningUp) event()     {}
func (RunBegun) event()       {}
func (RunEnded) event()       {}
func (Done) event()           {}
