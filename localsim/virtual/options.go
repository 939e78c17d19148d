// Package virtual plays experiments in virtual time. It executes the same machines
// as real services (model/exec) on an event kernel (model/des), under the same load
// as the real generator (model/load), and tells the account of the run
// (runner/account) what happens and when. So the same file and seed give the same
// decisions as in real time, and equal runs give equal bytes.
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

// Epoch is the calendar time at which every virtual run begins. It is fixed, so
// that equal runs write equal bytes.
var Epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // a constant that Go has no form for

// Options say how an experiment is played. The zero value has good defaults.
type Options struct {
	// Machine says what requests cost on the simulated machine. Costs says, for the
	// result, where these figures come from; nil means the defaults.
	Machine Machine
	Costs   *result.Costs
	Limits  Limits
	// Pace is the number of seconds of virtual time per second of real time, for
	// users who watch; 0 means as fast as possible.
	Pace float64
	// Versions are noted in the result.
	Versions map[string]string
	// Observer gets the events of the run, in the order of virtual time; it may be
	// nil.
	Observer runner.Observer
	// Spans gets the spans of each request that is kept. TraceSample is the share,
	// from 0 to 1, of requests that are kept; requests with a failed span are always
	// kept. Without Spans, or with a share of 0, no spans are made. In a series they
	// come with the events of their run, before its end. LostSpans, which may be nil,
	// gets the number of spans that did not fit.
	Spans       func([]span.Span)
	LostSpans   func(int64)
	TraceSample float64
	// Logs gets the lines that services have logged, at the end of a run and before the
	// observer gets Done; without it no lines are made. LogRequests adds a line for each
	// request.
	Logs        func(*logline.Store)
	LogRequests bool
	// Outcome gets the outcome of each request of the load; it may be nil.
	Outcome func(measure.Outcome)
	// Disk is called each second, before the services are sampled, with the time
	// that the disk was busy since the last call; it may be nil.
	Disk func(at, elapsed, busy time.Duration)
	// Progress gets the progress of the run, about ten times a second of real time
	// and at the end; it may be nil. It is never called by two goroutines at once.
	Progress func(Progress)
}

// Progress is the progress of a run.
type Progress struct {
	// Virtual is the time since the load began, of Length at most, and Real how
	// long it took.
	Virtual, Length, Real time.Duration
	Events                uint64
}

// A Machine has the costs of a real machine that files do not describe. Zero fields
// have the defaults of a small virtual machine; a negative time means 0.
type Machine struct {
	// Cores are the processors that all services share; a service with a CPU
	// limit uses no more than that.
	Cores float64
	// Latency is the time of a packet from one process to another.
	Latency time.Duration
	// RequestWait is the additional time until the load goes on with an answer,
	// CallWait the same for a service with the answer to a call.
	RequestWait, CallWait time.Duration
	// IdleWait is added to RequestWait if nothing has happened for 4 ms when a request of
	// the load is sent, and IdleCallWait to the CallWait of all calls that follow from
	// that request, because idle processors wake up slowly.
	IdleWait, IdleCallWait time.Duration
	// RequestCPU is the processor time of a request without its work. It covers
	// client and server, and is charged to the server. ConnectionCPU is the
	// additional time of a new connection.
	RequestCPU, ConnectionCPU time.Duration
	// AloneCPU is the additional processor time of a request of the load that comes
	// while the program sleeps. Nobody waits for it, because most of it is spent on
	// other processors than that of the request. TurnCPU is by how much a turn of work
	// (exec.Turn) exceeds the work.
	AloneCPU, TurnCPU time.Duration
	// SleepLate is by how much a sleep is longer than asked for. Lateness, if not
	// empty, replaces it by a distribution from which each sleep draws.
	SleepLate time.Duration
	Lateness  Lateness
	// SleepTick is the unit of time in which programs are woken up, to which the
	// lateness is added; 0 means at once.
	SleepTick time.Duration
	// CPUUnit is how long a unit of arithmetic takes.
	CPUUnit time.Duration
	// DiskSync is the time of one sync, to which DiskIdle is added if the disk has
	// been idle for 2 ms. DiskRate is the speed of writing in bytes per second.
	DiskSync, DiskIdle time.Duration
	DiskRate           float64
	// StartTime is how long a process takes until it answers. Grace is how long a
	// process that ends cleanly may take for the requests under way.
	StartTime, Grace time.Duration
	// AcceptQueue is the length of an accept queue if the file does not set it.
	AcceptQueue int
	// Runtimes has the costs of services in other runtimes than the agent.
	Runtimes map[topology.RuntimeName]RuntimeCosts
}

// RuntimeCosts are the costs of a service in a runtime.
type RuntimeCosts struct {
	// Request replaces RequestCPU. Call is the processor time of a call at its
	// caller, in addition to the time that is charged to the callee for both.
	Request, Call time.Duration
	// Start replaces StartTime.
	Start time.Duration
}

// WithDefaults fills in the fields that are zero. Negative fields become 0.
func (m Machine) WithDefaults() Machine {
	or := func(d, standard time.Duration) time.Duration { return max(cmp.Or(d, standard), 0) }
	return Machine{
		Cores: cmp.Or(m.Cores, 8), Latency: or(m.Latency, 50*time.Microsecond),
		AloneCPU: or(m.AloneCPU, 0), TurnCPU: or(m.TurnCPU, 0),
		RequestWait: or(m.RequestWait, 0), CallWait: or(m.CallWait, 0), IdleWait: or(m.IdleWait, 0), IdleCallWait: or(m.IdleCallWait, 0),
		RequestCPU: or(m.RequestCPU, 50*time.Microsecond), ConnectionCPU: or(m.ConnectionCPU, 60*time.Microsecond),
		SleepLate: or(m.SleepLate, 100*time.Microsecond), Lateness: m.Lateness, SleepTick: or(m.SleepTick, 0), CPUUnit: or(m.CPUUnit, time.Millisecond),
		DiskSync: or(m.DiskSync, 2*time.Millisecond), DiskIdle: or(m.DiskIdle, 0), DiskRate: cmp.Or(m.DiskRate, 200e6),
		StartTime: or(m.StartTime, 60*time.Millisecond), Grace: or(m.Grace, 5*time.Second),
		AcceptQueue: cmp.Or(m.AcceptQueue, 4096), Runtimes: m.Runtimes,
	}
}

// Limits stop a run that would never end, or not fit into memory. Zero fields have
// defaults.
type Limits struct {
	// Events bounds all events of a run; 0 means no bound.
	Events uint64
	// Instant bounds the events at one moment of virtual time.
	Instant int
	// Requests bounds the requests that are under way at once.
	Requests int
}

// WithDefaults fills in the fields that are zero.
func (l Limits) WithDefaults() Limits {
	return Limits{Events: l.Events, Instant: cmp.Or(l.Instant, 5_000_000), Requests: cmp.Or(l.Requests, 2_000_000)}
}
