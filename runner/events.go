package runner

import (
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
	"time"
)

// An Observer is told what happens while it happens. It is never called by two
// goroutines at once; the run waits for it to return.
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
	// LoadBegun is the zero of all elapsed times.
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
	// FaultApplied and FaultCleared tell of changes; a record with an Error is of
	// a change that was not possible.
	FaultApplied struct{ Record result.FaultRecord }
	// FaultCleared is FaultApplied's counterpart.
	FaultCleared struct{ Record result.FaultRecord }
	// ReplicaDown and ReplicaReady tell of replicas that go down and return.
	ReplicaDown struct{ Recovery result.Recovery }
	// ReplicaReady is ReplicaDown's counterpart.
	ReplicaReady struct{ Recovery result.Recovery }
	// ClientSampled has what came back to the clients since the last one; unlike
	// Result.Timeline it counts by the end of requests.
	ClientSampled struct{ Second result.ClientSecond }
	// ServiceSampled is one service's sample, taken At after the load began, in
	// the phase of that index, which is their number after the load's last answer.
	ServiceSampled struct {
		At     time.Duration
		Phase  int
		Sample measure.Sample
	}
	// LoadEnded says that all requests have been answered or given up.
	LoadEnded struct{ At time.Duration }
	// TailBegun says that the system is watched until it is idle, for Longest at
	// most after the load.
	TailBegun struct{ At, Longest time.Duration }
	// CleaningUp says that the system is being taken down.
	CleaningUp struct{ System string }
	// RunBegun says which of the runs of RunAll begins; Index counts from 0.
	RunBegun struct {
		Index, Of int
		Variant   string
		Seed      uint64
		// AtMost is how long the loads and tails of this and all later runs take.
		AtMost time.Duration
		// Around is how long the starts and ends of systems around them are expected to
		// take, as those of the runs before did; 0 while that is not known.
		Around time.Duration
	}
	// RunEnded is RunBegun's counterpart. Result is nil where nothing was started.
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
