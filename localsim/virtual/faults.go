package virtual

import (
	"fmt"
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/des"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/fault/timeline"
)

// An acting is a fault that acts now.
type acting struct {
	id    string
	fault fault.Fault
	layer fault.Layer
	since time.Duration
	hits  int64
	over  bool
	// replicas are the replicas of its target.
	replicas []int32
	// hanging are the branches that hang until it ends.
	hanging []handle
	// held are the messages that it holds back.
	held []event
	// lines are the lines of a rate, by replica and direction.
	lines map[lineKey]*des.Line
}

type lineKey struct {
	replica  int32
	toTarget bool
}

// A faultBoard has the faults that act now.
type faultBoard struct {
	running []*acting
	// paths are the faults on the network and on edges.
	paths []*acting
}

// A snapshot has the faults that one request sees from its beginning to its end.
type snapshot struct {
	set     *behave.FaultSet
	running []*acting
	hang    bool
}

func (s *snapshot) faultSet() *behave.FaultSet {
	if s == nil {
		return nil
	}
	return s.set
}

// hit counts that a fault has acted. place counts from 1, as Op.Fault does.
func (s *snapshot) hit(place int) { s.running[place-1].hits++ }

// acting returns the fault at a place, or nil for the fault of a chain, whose place
// is 0.
func (s *snapshot) acting(place int) *acting {
	if place == 0 {
		return nil
	}
	return s.running[place-1]
}

func (s *snapshot) hangs() bool { return s != nil && s.hang }

// apply applies the fault of a window.
func (b *faultBoard) apply(w *world, win *timeline.Window) {
	f := win.Fault.WithDefaults()
	entry, _ := fault.Lookup(f.Type)
	a := &acting{id: win.ID, fault: f, layer: entry.Layer, since: w.now(), lines: map[lineKey]*des.Line{}}
	for _, i := range w.services[w.index(f.Target.Service)].replicas {
		if f.Target.Replica == 0 || f.Target.Replica == w.replicas[i].number {
			a.replicas = append(a.replicas, i)
		}
	}
	b.running = append(b.running, a)
	w.logFault(a, false)
	switch entry.Layer {
	case fault.InService:
		b.publish(w)
	case fault.OnProcess:
		for _, i := range a.replicas {
			switch f.Type {
			case fault.Kill:
				w.kill(i, false)
			case fault.Restart:
				w.end(i, true)
			default: // Pause
				w.pause(i)
			}
		}
	case fault.OnHost:
		b.stress(w, a, 1)
	case fault.OnNetwork, fault.OnEdge:
		b.paths = append(b.paths, a)
	case fault.InStore:
		w.inStore(a, true)
	}
}

// clear ends a fault.
func (b *faultBoard) clear(w *world, id string) {
	at := slices.IndexFunc(b.running, func(a *acting) bool { return a.id == id })
	if at < 0 {
		return
	}
	a := b.running[at]
	a.over = true
	w.logFault(a, true)
	b.running = slices.Delete(slices.Clone(b.running), at, at+1)
	switch a.layer {
	case fault.InService:
		b.publish(w)
		for _, h := range a.hanging {
			if w.strands.is(h.i, h.gen) {
				w.strands.at(h.i).hanging = nil
				w.k.After(0, event{stepDone, h.i, h.gen})
			}
		}
	case fault.OnProcess:
		if a.fault.Type == fault.Pause {
			for _, i := range a.replicas {
				if !b.pauses(i) {
					w.resume(i)
				}
			}
		}
	case fault.OnHost:
		b.stress(w, a, -1)
	case fault.OnNetwork, fault.OnEdge:
		b.paths = slices.DeleteFunc(slices.Clone(b.paths), func(o *acting) bool { return o == a })
		for _, e := range a.held {
			w.k.In(w.latency, e)
		}
		a.held = nil
	case fault.InStore:
		w.inStore(a, false)
	}
}

// pauses reports whether a fault pauses a replica.
func (b *faultBoard) pauses(replica int32) bool {
	return slices.ContainsFunc(b.running, func(a *acting) bool { return a.fault.Type == fault.Pause && slices.Contains(a.replicas, replica) })
}

// stress adds the load of a stress fault to the processors, the disk or the memory
// of replicas; sign is 1, or -1 to remove it.
func (b *faultBoard) stress(w *world, a *acting, sign float64) {
	switch a.fault.Type {
	case fault.CPUStress:
		for _, i := range a.replicas {
			g := int(w.replicas[i].group)
			w.cpu.Burden(g, w.now(), w.cpu.Burdened(g)+float64(sign*float64(a.fault.Args.Cores)*float64(a.fault.Args.Load)))
		}
	case fault.IOStress:
		w.ioStress += int(sign)
	default: // MemoryStress
		for _, i := range a.replicas {
			w.hold(i, int64(sign)*int64(a.fault.Args.Size))
		}
	}
}

// publish gives each replica the faults in the service that act on it.
func (b *faultBoard) publish(w *world) {
	for _, r := range w.replicas {
		s := w.services[r.service]
		var active []behave.Active
		var running []*acting
		hang := false
		for _, a := range b.running {
			t := a.fault.Target
			if a.layer != fault.InService {
				continue
			}
			if a.fault.Type == fault.Unreachable {
				if t.From != "" && t.From != s.name {
					continue
				}
			} else if t.Service != s.name {
				continue
			}
			active, running = append(active, behave.Active{ID: a.id, Fault: a.fault}), append(running, a)
			hang = hang || a.fault.Type == fault.Hang
		}
		if r.faults = nil; len(active) > 0 {
			r.faults = &snapshot{behave.NewFaultSet(r.number, active), running, hang}
		}
	}
}

// injections lists the acting faults with their hits.
func (b *faultBoard) injections(w *world) []control.Injection {
	list := make([]control.Injection, 0, len(b.running))
	for _, a := range b.running {
		in := control.Injection{ID: a.id, Fault: a.fault, Since: Epoch.Add(a.since), Hits: a.hits, Replicas: []string{}}
		replicas := a.replicas
		if a.fault.Type == fault.Unreachable {
			replicas = w.callersOf(a)
		}
		switch a.layer {
		case fault.OnProcess, fault.OnHost:
			in.Hits = -1
		case fault.InStore:
			for _, i := range a.replicas {
				in.Hits = w.replicas[i].store.hitsOf(a)
			}
		default:
		}
		for _, i := range replicas {
			in.Replicas = append(in.Replicas, fmt.Sprintf("%s/%d", w.serviceAt(i).name, w.replicas[i].number))
		}
		list = append(list, in)
	}
	return list
}

// callersOf returns the replicas in which a fault of type unreachable acts.
func (w *world) callersOf(a *acting) (replicas []int32) {
	for _, s := range w.services {
		t := a.fault.Target
		if t.From == s.name || t.From == "" && slices.Contains(s.topology.Calls(), t.Service) {
			replicas = append(replicas, s.replicas...)
		}
	}
	return replicas
}
