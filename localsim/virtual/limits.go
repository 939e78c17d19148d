package virtual

import (
	"fmt"
	"math"
	"time"
)

// serviceOf returns the name of the service to which an event belongs, if there is
// one.
func (w *world) serviceOf(e event) string {
	replica := int32(-1)
	switch e.kind {
	case reachAccept, dataAgain, answerAgain, headerOver, arrive, beginWork, clientLeft, queueOver:
		replica = w.servings.at(e.a).replica
	case stepDone, sleepDue:
		replica = w.servings.at(w.strands.at(e.a).serving).replica
	case callTimer, callTold, pauseDue:
		replica = w.servings.at(w.strands.at(w.callings.at(e.a).strand).serving).replica
	case answered, timedOut, breakConn:
		replica = w.attempts.at(e.a).to
	case replicaStep:
		replica = e.a
	case checkTick, checkOver:
		replica = w.checks[e.a].replica
	default:
	}
	if replica < 0 {
		return ""
	}
	return w.serviceAt(replica).name
}

// tooMany stops a world that has more requests under way than it may.
func (w *world) tooMany() {
	if w.err != nil {
		return
	}
	counts := make([]int, len(w.services))
	most := 0
	for _, sv := range w.servings.list {
		if sv.live {
			s := w.replicas[sv.replica].service
			if counts[s]++; counts[s] > counts[most] {
				most = int(s)
			}
		}
	}
	w.err = fmt.Errorf("stopping at %s of virtual time: more than %d requests are under way, the limit, %d of them to service %q; bound its queue, or lower the load", w.now(), w.limits.Requests, counts[most], w.services[most].name)
}

// checkBooks returns an error if the counts of the run contradict each other, which
// would be a mistake in this package.
func (r *running) checkBooks() error {
	c := &r.clients
	if c.offered != c.settled+int64(c.inFlight) {
		return fmt.Errorf("checking the books: %d requests were offered, but %d ended and %d are under way: this is an error of the program", c.offered, c.settled, c.inFlight)
	}
	now := r.now()
	used := time.Duration(0)
	for g, replica := range r.groups {
		own := r.cpu.Used(g, now)
		used += own
		if quota := r.cpu.Quota(g); replica >= 0 && own.Seconds() > float64(quota*now.Seconds()*1.000001)+1e-6 {
			return fmt.Errorf("checking the books: service %q worked for %s with %g processors for %s: this is an error of the program", r.serviceAt(replica).name, own, quota, now)
		}
	}
	if most := r.machine.Cores * now.Seconds(); used.Seconds() > float64(most*1.000001)+1e-6 {
		return fmt.Errorf("checking the books: the processors worked for %s of at most %.3f s: this is an error of the program", used, most)
	}
	turns := make([]int, len(r.threads))
	for _, s := range r.strands.list {
		if s.live && s.inTurn {
			turns[r.groupOf(s)]++
		}
	}
	for g := range r.threads {
		if busy := r.threads[g].Busy(); busy != turns[g] {
			return fmt.Errorf("checking the books: %d threads work on %d turns: this is an error of the program", busy, turns[g])
		}
	}
	for _, s := range r.services {
		area, lived := s.area(r.world), s.lived
		for _, sv := range r.servings.list {
			if sv.live && sv.present && r.replicas[sv.replica].service == s.index {
				lived += float64(now - sv.start)
			}
		}
		if math.Abs(area-lived) > float64(1e-6*max(area, lived))+1000 {
			return fmt.Errorf("checking the books: Little's law does not hold for service %q: %v s were spent by %v s of requests: this is an error of the program", s.name, area/1e9, lived/1e9)
		}
	}
	return nil
}

// come and go count the requests in a service.
func (w *world) come(s *service) {
	s.settleArea(w.now())
	s.present++
}

func (w *world) leaves(s *service, sv *serving) {
	s.settleArea(w.now())
	s.present--
	s.lived += float64(w.now() - sv.start)
	sv.present = false
}

func (s *service) settleArea(now time.Duration) {
	s.areaSum += float64(float64(now-s.areaAt) * float64(s.present))
	s.areaAt = now
}

// area returns the integral, over time, of the number of requests in a service.
func (s *service) area(w *world) float64 {
	s.settleArea(w.now())
	return s.areaSum
}
