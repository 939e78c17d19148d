package report

import (
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// A pairing brings what clients and services did in one second together, so that
// a frame shows both of the same time. Clients and services are sampled by
// clocks of their own, which tick each second.
type pairing struct {
	// waiting is a second of the clients whose services are not known yet.
	waiting *result.ClientSecond
	// round has the samples of the round under way, at is its time. complete is
	// the last one that has all services, completeAt its time.
	round, complete map[string]*measure.Sample
	at, completeAt  time.Duration
}

// sampled takes the sample of one of so many services in, and reports whether
// all of its round are known now.
func (s *pairing) sampled(e runner.ServiceSampled, services int) bool {
	if s.round == nil || e.At != s.at {
		s.round, s.at = map[string]*measure.Sample{}, e.At
	}
	s.round[e.Sample.Service] = &e.Sample
	if len(s.round) < services {
		return false
	}
	s.complete, s.completeAt = s.round, s.at
	return true
}

// sameSecond is how far apart the ends of the seconds of clients and services
// may be.
const sameSecond = time.Second / 2

// isWhole reports whether the services of the second that waits are known.
func (s *pairing) isWhole() bool {
	return s.waiting != nil && s.completeAt >= s.waiting.At-sameSecond
}

// clientSampled keeps a second of the clients until it can be shown.
func (l *Live) clientSampled(second result.ClientSecond) {
	if second.Seconds < 0.2 {
		return // the rest of a second at the end says nothing
	}
	l.show() // what waits has waited long enough
	l.now = second.At
	l.pairing.waiting = &second
	if l.pairing.isWhole() {
		l.show()
	}
}

func (l *Live) serviceSampled(e runner.ServiceSampled) {
	if l.services[e.Sample.Service] == nil {
		l.order = append(l.order, e.Sample.Service)
		l.services[e.Sample.Service] = &measure.Sample{Service: e.Sample.Service, Replicas: e.Sample.Replicas}
	}
	// After the load there are no seconds of clients to wait for.
	if l.pairing.sampled(e, len(l.services)) && (l.pairing.isWhole() || l.stage != "") {
		l.show()
	}
}

// show makes what is known the state that frames are drawn of.
func (l *Live) show() {
	if l.pairing.complete == nil && l.pairing.waiting == nil {
		return
	}
	for name, sample := range l.pairing.complete {
		l.services[name] = sample
	}
	l.pairing.complete = nil
	if l.pairing.waiting != nil {
		l.clients(*l.pairing.waiting)
		l.pairing.waiting = nil
	}
	l.shows++
}
