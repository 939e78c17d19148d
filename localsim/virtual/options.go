// Package virtual plays experiments in virtual time. It executes the machines
// that the real services execute (model/exec) on a kernel of events (model/des),
// under the load that the real generator sends (model/load), and tells the
// account of a run (runner/account) what happens and when. So the same file and
// seed take the same decisions as in real time, and the same run gives the same
// bytes each time.
//
// This package models everything that a real system does beside its decisions:
// connections and accept queues, processors, disks, memory, the network, and what
// faults do to all that. docs/virtual.md says how, and what is left out.
package virtual

import (
	"cmp"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/logline"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// Epoch is when every virtual run begins, on the calendar. It is fixed, so that
// equal runs write equal bytes.
var Epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // a constant that Go has no form for

// Options say how an experiment is played. The zero value has good defaults.
type Options struct {
	// Machine is what requests cost where the system runs, and Costs where that is
	// known from, which the result tells; nil stands for the defaults.
	Machine Machine
	Costs   *result.Costs
	Limits  Limits
	// Pace is how many seconds of virtual time a second of real time is to take,
	// for those who watch; 0 plays as fast as possible.
	Pace float64
	// Versions are noted in the result.
	Versions map[string]string
	// Observer is told what happens, in the order of virtual time; it may be nil.
	Observer runner.Observer
	// Spans is told the spans of each request that is kept: TraceSample is the share,
	// from 0 to 1, that is kept in any case; requests of which a span failed are kept,
	// too. Without Spans, or with a share of 0, none are made.
	// In a series they are told with the events of their run, before it ends;
	// LostSpans, which may be nil, is told of those that did not fit.
	Spans       func([]span.Span)
	LostSpans   func(int64)
	TraceSample float64
	// Logs is told the lines that services have logged, when a run is over and before
	// the observer is told so; without it none are made. LogRequests asks for a line for
	// each request, too.
	Logs        func(*logline.Store)
	LogRequests bool
	// Outcome is told what became of each request of the load; it may be nil.
	Outcome func(measure.Outcome)
	// Disk is told at each second, before the services are sampled, for how long the
	// disk of the machine was busy since the last one; it may be nil.
	Disk func(at, elapsed, busy time.Duration)
	// Progress is told, about ten times a second of real time and at the end, how
	// far the run is; it may be nil. It is never called by two goroutines at once.
	Progress func(Progress)
}

// Progress says how far a run is.
type Progress struct {
	// Virtual is the time since the load began, of Length at most, and Real how
	// long it took.
	Virtual, Length, Real time.Duration
	Events                uint64
}

// A Machine says what a real machine takes for what files do not describe. Zero
// fields have defaults, which are those of a small virtual machine; a negative
// time means none.
type Machine struct {
	// Cores are the processors that all services share; a service with a CPU
	// limit uses no more than that.
	Cores float64
	// Latency is the time of a packet from one process to another.
	Latency time.Duration
	// RequestWait is how much longer than that it takes until the load goes on with an
	// answer, CallWait that of a service with the answer to a call.
	RequestWait, CallWait time.Duration
	// IdleWait is added to RequestWait if nothing has happened for 4 ms when a request of
	// the load is sent, and IdleCallWait to the CallWait of all calls that it leads to:
	// idle processors wake up slowly.
	IdleWait, IdleCallWait time.Duration
	// RequestCPU is the processor time of a request beside its work, of both of its
	// ends, at the service that answers it; ConnectionCPU is what a new connection
	// adds.
	RequestCPU, ConnectionCPU time.Duration
	// SleepLate is by how much a sleep is longer than asked for. Lateness, if there
	// is any, says it as a distribution, of which each sleep draws.
	SleepLate time.Duration
	Lateness  Lateness
	// SleepTick is in what units of time programs are woken up, to which the lateness
	// is added; 0 means at once.
	SleepTick time.Duration
	// CPUUnit is how long a unit of arithmetic takes.
	CPUUnit time.Duration
	// DiskSync is the time of one sync, to which DiskIdle is added if the disk has had
	// nothing to do for 2 ms. DiskRate are the bytes per second of writing.
	DiskSync, DiskIdle time.Duration
	DiskRate           float64
	// StartTime is how long a process takes until it answers, Grace how long one
	// that is ended in order may take for the requests under way.
	StartTime, Grace time.Duration
	// AcceptQueue is the length of an accept queue that the file leaves to the
	// system.
	AcceptQueue int
	// Runtimes are what services take that other programs than the agent serve.
	Runtimes map[topology.RuntimeName]RuntimeCosts
}

// RuntimeCosts are what a service takes in a runtime.
type RuntimeCosts struct {
	// Request takes the place of RequestCPU. Call is the processor time of a call at
	// its caller, beside what is counted at the callee for both.
	Request, Call time.Duration
	// Start takes the place of StartTime.
	Start time.Duration
}

// WithDefaults fills in the fields that are zero. Negative ones mean none.
func (m Machine) WithDefaults() Machine {
	or := func(d, standard time.Duration) time.Duration { return max(cmp.Or(d, standard), 0) }
	return Machine{
		Cores: cmp.Or(m.Cores, 8), Latency: or(m.Latency, 50*time.Microsecond),
		RequestWait: or(m.RequestWait, 0), CallWait: or(m.CallWait, 0), IdleWait: or(m.IdleWait, 0), IdleCallWait: or(m.IdleCallWait, 0),
		RequestCPU: or(m.RequestCPU, 50*time.Microsecond), ConnectionCPU: or(m.ConnectionCPU, 60*time.Microsecond),
		SleepLate: or(m.SleepLate, 100*time.Microsecond), Lateness: m.Lateness, SleepTick: or(m.SleepTick, 0), CPUUnit: or(m.CPUUnit, time.Millisecond),
		DiskSync: or(m.DiskSync, 2*time.Millisecond), DiskIdle: or(m.DiskIdle, 0), DiskRate: cmp.Or(m.DiskRate, 200e6),
		StartTime: or(m.StartTime, 60*time.Millisecond), Grace: or(m.Grace, 5*time.Second),
		AcceptQueue: cmp.Or(m.AcceptQueue, 4096), Runtimes: m.Runtimes,
	}
}

// Limits stop a run that would not end, or not fit. Zero fields have defaults.
type Limits struct {
	// Events bounds all events of a run; 0 means without bound.
	Events uint64
	// Instant bounds the events without any time passing.
	Instant int
	// Requests bounds the requests that are under way at once.
	Requests int
}

// WithDefaults fills in the fields that are zero.
func (l Limits) WithDefaults() Limits {
	return Limits{Events: l.Events, Instant: cmp.Or(l.Instant, 5_000_000), Requests: cmp.Or(l.Requests, 2_000_000)}
}
