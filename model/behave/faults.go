package behave

import (
	"fmt"
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// An Active fault acts on a service now.
type Active struct {
	ID    string
	Fault fault.Fault
}

// A FaultSet is the faults that act on one replica, compiled for deciding. It
// does not change: when a fault comes or goes, another set takes its place. A
// nil set is empty.
type FaultSet struct {
	faults []activeFault
	// unreachable act on the calls that the replica makes.
	unreachable []activeFault
}

type activeFault struct {
	index int
	// key is added to a request's key, so that a fault decides alike whatever
	// other faults act.
	id       string
	fault    fault.Fault
	delay    dist.Delay
	terminal bool
}

// NewFaultSet compiles the faults in order, without those meant for another
// replica. Op.Fault is the place in this order, from 1.
//
// They act in the order: leaks, latencies, cpu, io, corruption, hangs, and then
// the first of aborts, panics and errors ends the request; among equals in the
// order given.
func NewFaultSet(replica int, active []Active) *FaultSet {
	set := &FaultSet{}
	for i, a := range active {
		f := a.Fault.WithDefaults()
		if f.Type == fault.Unreachable {
			set.unreachable = append(set.unreachable, activeFault{index: i + 1, id: a.ID, fault: f})
			continue
		}
		if f.Target.Replica != 0 && f.Target.Replica != replica {
			continue
		}
		set.insert(activeFault{
			index: i + 1, id: a.ID, fault: f, delay: f.Args.EffectiveDelay(), terminal: rank(f.Type) >= rank(fault.Abort),
		})
	}
	return set
}

// insert puts a fault behind those that act before it.
func (s *FaultSet) insert(f activeFault) {
	s.faults = append(s.faults, f)
	for i := len(s.faults) - 1; i > 0 && rank(s.faults[i].fault.Type) < rank(s.faults[i-1].fault.Type); i-- {
		s.faults[i], s.faults[i-1] = s.faults[i-1], s.faults[i]
	}
}

// CanAct says why a service cannot have the fault; nil means that it can.
func CanAct(f *fault.Fault) error {
	if rank(f.Type) == 0 && f.Type != fault.Unreachable {
		return fmt.Errorf("fault type %q does not act in a service: use one of latency, error, abort, hang, corrupt, memory-leak, cpu, io, panic and unreachable", f.Type)
	}
	return nil
}

func rank(t fault.Type) int {
	order := [...]fault.Type{fault.MemoryLeak, fault.Latency, fault.CPU, fault.IO, fault.Corrupt, fault.Hang, fault.Abort, fault.Panic, fault.Error}
	return slices.Index(order[:], t) + 1
}

// Empty reports whether no fault acts on the requests that come in. Those that
// make calls fail may be there.
func (s *FaultSet) Empty() bool { return s == nil || len(s.faults) == 0 }

// ID is the id of a fault by its place in the order of the faults, from 1; "" if
// there is none.
func (s *FaultSet) ID(place int) string {
	if s == nil {
		return ""
	}
	for _, list := range [...][]activeFault{s.faults, s.unreachable} {
		for i := range list {
			if list[i].index == place {
				return list[i].id
			}
		}
	}
	return ""
}

// Unreachable decides whether a call fails at once because a fault lets nobody
// answer: its place in the order of the faults, from 1, or 0. The call is the
// index-th of the request with the key; replica, from 1, is the callee's that was
// chosen, and n counts what is sent for the call.
func (s *FaultSet) Unreachable(key dist.Key, from, to, path string, replica, index, n int) int {
	if s == nil {
		return 0
	}
	for i := range s.unreachable {
		f := &s.unreachable[i]
		t := &f.fault.Target
		if t.Service != to || t.From != "" && t.From != from || t.Replica != 0 && t.Replica != replica || t.Endpoint != "" && t.Endpoint != path {
			continue
		}
		if key.With("fault").With(f.id).WithInt(index).WithInt(n).Chance(float64(f.fault.Probability)) {
			return f.index
		}
	}
	return 0
}

func (s *FaultSet) decide(buf []Op, key dist.Key, from, path string) []Op {
	if s.Empty() {
		return buf
	}
	for i := range s.faults {
		f := &s.faults[i]
		t := &f.fault.Target
		if t.From != "" && t.From != from || t.Endpoint != "" && t.Endpoint != path {
			continue
		}
		k := key.With("fault").With(f.id)
		if !k.Chance(float64(f.fault.Probability)) {
			continue
		}
		buf = append(buf, f.op(k))
		if f.terminal {
			break
		}
	}
	return buf
}

func (f *activeFault) op(k dist.Key) Op {
	a := &f.fault.Args
	op := faultOp(f.fault.Type)
	op.Fault, op.Status, op.Bytes, op.Cores, op.For = f.index, a.Status, int64(a.Size), float64(a.Cores), a.Hold.Std()
	if op.Kind == OpSleep {
		op.For = f.delay.Draw(k.With("delay"))
	}
	return op
}

// faultOp is the operation by which a type of fault acts.
func faultOp(t fault.Type) Op {
	switch t {
	case fault.Latency:
		return Op{Kind: OpSleep}
	case fault.MemoryLeak:
		return Op{Kind: OpLeak}
	case fault.CPU:
		return Op{Kind: OpCPU}
	case fault.IO:
		return Op{Kind: OpIO}
	case fault.Corrupt:
		return Op{Kind: OpCorrupt}
	case fault.Hang:
		return Op{Kind: OpHang}
	case fault.Abort:
		return Op{Kind: OpAbort}
	case fault.Panic:
		return Op{Kind: OpPanic}
	case fault.Error:
		return Op{Kind: OpFail}
	default:
		panic(fmt.Sprintf("fault type %q has no operation", t))
	}
}

// chainFaults appends what the faults of a chain do, up to the first that ends
// the request.
func chainFaults(buf []Op, faults []chain.Fault, key dist.Key) []Op {
	for i := range faults {
		f := &faults[i]
		if f.Type == fault.Error && !key.WithInt(i).Chance(f.Rate) {
			continue
		}
		op := faultOp(f.Type)
		op.Status, op.Bytes, op.Cores = f.Status, f.Size, f.Cores
		op.For = max(f.Delay, f.Duration, time.Duration(0))
		buf = append(buf, op)
		if ends(buf) {
			break
		}
	}
	return buf
}
