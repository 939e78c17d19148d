// Package why tells in words why requests of a run went wrong: the chain from a
// fault, a load or a kill over queues, calls and retries to what clients saw. It
// says only what a Record shows, which an executor keeps while it runs.
package why

import (
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

// A Record is what happened to each service, in stretches of equal length. It is
// bounded: when it has too many, two of them become one.
type Record struct {
	// Step is the length of a stretch.
	Step time.Duration
	// End is when the run ended, within the last stretch; 0 means with it.
	End      time.Duration
	Clients  []Clients
	Services []Service
	// Cores are the processors that the services share.
	Cores float64
	// Faults and Falls are in the order in which they began.
	Faults []Fault
	Falls  []Fall
	// Cut says that the run ended before its end.
	Cut bool
	// rows bounds the stretches of all services and calls.
	rows int
}

// maxRows bounds a record to some tens of megabytes.
const maxRows = 300_000

// Clients are what the load saw in a stretch.
type Clients struct {
	// Ended, Failed and Degraded count requests by their end, Dropped those that were
	// not sent.
	Ended, Failed, Degraded, Dropped int64
	// Waiting is how many were under way at its end.
	Waiting int64
	// P50 is the median of those that ended; 0 if there is none.
	P50 time.Duration
	// CPU is the processor time of all services, Disk how long the disk was busy.
	CPU, Disk time.Duration
}

// A Service has what the file says of it, and what it did.
type Service struct {
	Name string
	// Entry says that the load calls it, Absent that it has no replicas.
	Entry, Absent bool
	// Workers are those of all its replicas, Room the places in their queues; 0 means
	// without bound.
	Workers, Room int
	// Inside says that the queue is in the service, which answers those that it turns
	// away; otherwise they are connections that are not let in.
	Inside bool
	// Connections are the clients that a data store lets in; 0 means that it is none.
	// Those beyond it count as Refused.
	Connections int
	// CPULimit is that of all its replicas, in processors; 0 means none.
	CPULimit float64
	// FirstRefused is when it first turned a request or a connection away.
	FirstRefused time.Duration
	Stretches    []Stretch
	Calls        []Calls
}

// A Stretch is what a service did in one.
type Stretch struct {
	// Requests ended in it, Errors of them with an error. Refused were turned away,
	// because the queue was full or they would have waited too long.
	Requests, Errors, Refused int64
	// Time is that of the requests that ended, CPU the processor time of all.
	Time, CPU time.Duration
	// Working and Queue are how many were worked on, and waited, at its end.
	Working, Queue int64
}

// Calls are those of one service to another.
type Calls struct {
	// To is the index of the callee; -1 is outside.
	To   int
	Name string
	// Timeout is the longest that the file gives an attempt; 0 means none.
	Timeout time.Duration
	// FirstOpen is when a breaker first refused a call.
	FirstOpen time.Duration
	Stretches []CallStretch
}

// A CallStretch is what became of calls in a stretch.
type CallStretch struct {
	// Calls have ended, after Attempts that were sent; Timeouts, Refused, ByBreaker, Rejected and
	// Failed are calls that ended in a timeout, without a connection, by the breaker, by
	// the caller's own bulkhead, rate limit or pool, or in
	// another error. Degraded are good answers of which a part was replaced further
	// down.
	Calls, Attempts                                          int64
	Timeouts, Refused, ByBreaker, Rejected, Failed, Degraded int64
	// Time is that of the calls that ended.
	Time time.Duration
}

func (c *CallStretch) bad() int64 {
	return c.Timeouts + c.Refused + c.ByBreaker + c.Rejected + c.Failed
}

// mostlyTimeouts reports whether more than half of the calls that failed were timeouts.
func (c *CallStretch) mostlyTimeouts() bool { return 2*c.Timeouts > c.bad() }

// plus is what became of the calls of both.
func (c CallStretch) plus(other CallStretch) CallStretch {
	return CallStretch{
		Calls: c.Calls + other.Calls, Attempts: c.Attempts + other.Attempts, Timeouts: c.Timeouts + other.Timeouts,
		Refused: c.Refused + other.Refused, ByBreaker: c.ByBreaker + other.ByBreaker, Rejected: c.Rejected + other.Rejected,
		Failed: c.Failed + other.Failed, Degraded: c.Degraded + other.Degraded, Time: c.Time + other.Time,
	}
}

// tried is how many of the calls had an attempt.
func (c *CallStretch) tried() int64 { return c.Calls - c.ByBreaker - c.Rejected }

// A Fault is one that acted.
type Fault struct {
	Label, Service, From string
	// Begin and End are when; an End of 0 means to the end of the run.
	Begin, End time.Duration
	// Moment says that it was over at once, as a kill is.
	Moment bool
	Hits   int64
}

// A Fall is the time in which a replica could not answer.
type Fall struct {
	Service string
	Replica int
	// By is the label of the fault that did it, OverMemory says that the replica went
	// over its limit. Neither means that the record does not show why.
	By         string
	OverMemory bool
	Begin, End time.Duration
}

// Never is the moment of what has not happened.
const Never time.Duration = -1

// Count adds what became of calls with an outcome.
func (c *CallStretch) Count(class outcome.Class, n int64) {
	c.Calls += n
	switch class {
	case outcome.OK, outcome.Cancelled:
	case outcome.Timeout:
		c.Timeouts += n
	case outcome.ConnectionError:
		c.Refused += n
	case outcome.BreakerOpen:
		c.ByBreaker += n
	case outcome.Rejected:
		c.Rejected += n
	default:
		c.Failed += n
	}
}

// At returns the indexes of the stretch of a moment, which the executor then adds to,
// in the clients, every service and all of its calls. Moments do not go back.
func (r *Record) At(now time.Duration) int {
	for {
		i := int(max(now-1, 0) / r.Step)
		if i < len(r.Clients) {
			return i
		}
		if r.rows == 0 {
			r.rows = 1
			for s := range r.Services {
				r.rows += 1 + len(r.Services[s].Calls)
			}
		}
		if most := max(maxRows/r.rows, 32); i >= most {
			r.halve()
			continue
		}
		r.grow(i + 1)
		return i
	}
}

func (r *Record) grow(n int) {
	r.Clients = append(r.Clients, make([]Clients, n-len(r.Clients))...)
	for s := range r.Services {
		service := &r.Services[s]
		service.Stretches = append(service.Stretches, make([]Stretch, n-len(service.Stretches))...)
		for c := range service.Calls {
			calls := &service.Calls[c]
			calls.Stretches = append(calls.Stretches, make([]CallStretch, n-len(calls.Stretches))...)
		}
	}
}

// halve makes one stretch of two.
func (r *Record) halve() {
	r.Step *= 2
	r.Clients = pairs(r.Clients, func(a, b Clients) Clients {
		return Clients{a.Ended + b.Ended, a.Failed + b.Failed, a.Degraded + b.Degraded, a.Dropped + b.Dropped, b.Waiting, max(a.P50, b.P50), a.CPU + b.CPU, a.Disk + b.Disk}
	})
	for s := range r.Services {
		service := &r.Services[s]
		service.Stretches = pairs(service.Stretches, func(a, b Stretch) Stretch {
			return Stretch{a.Requests + b.Requests, a.Errors + b.Errors, a.Refused + b.Refused, a.Time + b.Time, a.CPU + b.CPU, max(a.Working, b.Working), max(a.Queue, b.Queue)}
		})
		for c := range service.Calls {
			service.Calls[c].Stretches = pairs(service.Calls[c].Stretches, CallStretch.plus)
		}
	}
}

func pairs[T any](list []T, join func(a, b T) T) []T {
	n := 0
	for i := 0; i < len(list); i += 2 {
		one := list[i]
		if i+1 < len(list) {
			one = join(one, list[i+1])
		}
		list[n] = one
		n++
	}
	return list[:n]
}
