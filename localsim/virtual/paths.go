package virtual

import (
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/des"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// Faults on the way act on messages: a request, or an answer. As with gates on this
// machine, they do not delay the opening of a connection, and messages that they
// hold back go on when they end.

// headBytes is about the size in bytes of a message without its body.
const headBytes = 300

// firstRetry is the time after which TCP sends a lost packet again. It doubles with
// each loss (RFC 6298; Linux's minimum).
const (
	firstRetry = 200 * time.Millisecond
	mostRetry  = 2 * time.Minute
)

// concerns reports whether a fault acts between a caller and a replica.
func (a *acting) concerns(w *world, from, to int32) bool {
	if !slices.Contains(a.replicas, to) {
		return false
	}
	t := a.fault.Target
	return t.From == "" || from >= 0 && w.serviceAt(from).name == t.From
}

// toward reports whether a fault acts on requests, or on answers.
func (a *acting) toward(request bool) bool {
	d := a.fault.Target.Direction
	if d == "" {
		entry, _ := fault.Lookup(a.fault.Type)
		d = entry.Direction
	}
	return d == fault.Both || request == (d == fault.ToTarget)
}

// key returns the key of a fault's draws for one message.
func (w *world) key(a *acting, id, hopText string, request bool) dist.Key {
	direction := 0
	if request {
		direction = 1
	}
	return w.linkKey.With(a.id).With(id).With(hopText).WithInt(direction)
}

// refuses reports whether a fault refuses a new connection.
func (b *faultBoard) refuses(w *world, att *attempt) bool {
	for _, a := range b.paths {
		if a.fault.Type == fault.Refuse && att.check == 0 && a.concerns(w, att.from, att.to) {
			a.hits++
			return true
		}
	}
	return false
}

// A passage says what faults do to one message.
type passage struct {
	delay time.Duration
	// held is the fault that holds it back.
	held *acting
	// closes says that the connection ends after the message; garbled that the
	// message cannot be read.
	closes, garbled bool
	after           time.Duration
	// closesAs is how the client sees that end.
	closesAs failure
}

// pass returns what the faults on its way do to a message. Its attempt may have
// ended already.
func (b *faultBoard) pass(w *world, from, to int32, id, hopText string, bytes int64, at time.Duration, request bool) (p passage) {
	for _, a := range b.paths {
		if !a.concerns(w, from, to) {
			continue
		}
		t, args := a.fault.Type, &a.fault.Args
		if t == fault.Refuse { // it closes the existing connections
			p.closes, p.closesAs = true, broken
			continue
		}
		if !a.toward(request) {
			continue
		}
		k := w.key(a, id, hopText, request)
		if !k.Chance(float64(a.fault.Probability)) {
			continue
		}
		before := p
		switch t {
		case fault.NetDelay:
			p.delay += args.EffectiveDelay().Draw(k.With("delay"))
		case fault.NetReorder:
			if !k.With("ahead").Chance(args.Percent.Share()) {
				p.delay += args.EffectiveDelay().Draw(k.With("delay"))
			}
		case fault.NetLoss, fault.NetCorrupt:
			p.delay += retries(k, args.Percent.Share())
		case fault.NetRate:
			end := a.line(to, request).Take(at+p.delay, time.Duration(float64(bytes+headBytes)/float64(args.Rate)*1e9))
			p.delay = end - at
		case fault.Bandwidth:
			// The bytes of the first second go at once.
			if rest := float64(bytes+headBytes) - float64(args.Rate); rest > 0 {
				p.delay += time.Duration(rest / float64(args.Rate) * 1e9)
			}
		case fault.NetPartition, fault.StopReading, fault.StopAnswering:
			p.held = a
		case fault.Close, fault.CloseOnData:
			p.closes, p.closesAs = true, broken
		case fault.Reset:
			p.closes, p.closesAs, p.after = true, reset, args.Delay.Draw(k.With("delay"))
		case fault.CorruptData:
			p.garbled = true
		default: // refused by CanInject
		}
		if p != before {
			a.hits++
		}
	}
	return p
}

// retries returns by how much a message is late if each sending of its packet is
// lost with a probability.
func retries(k dist.Key, share float64) (late time.Duration) {
	timeout := firstRetry
	for n := 0; late < mostRetry && k.WithInt(n).Chance(share); n++ {
		late += timeout
		timeout *= 2
	}
	return min(late, mostRetry)
}

func (a *acting) line(replica int32, toTarget bool) *des.Line {
	key := lineKey{replica, toTarget}
	if a.lines[key] == nil {
		a.lines[key] = &des.Line{}
	}
	return a.lines[key]
}

// request sends a request past the faults on its way.
func (b *faultBoard) request(w *world, i int32, at time.Duration) {
	sv := w.servings.at(i)
	gen := w.servings.gens[i]
	from := int32(-1)
	waits := w.waits(sv)
	if waits {
		from = w.attempts.at(sv.attempt).from
	}
	p := b.pass(w, from, sv.replica, sv.identity.ID, sv.identity.Hop, sv.message.bytes, at, true)
	arrives := event{arrive, i, gen}
	switch {
	case p.closes && p.after == 0:
		w.breakAt(sv, at+w.machine.Latency, p.closesAs)
		w.discard(i)
		return
	case p.closes:
		w.breakAt(sv, at+p.after, p.closesAs)
	case p.garbled:
		// The server cannot read the message, and answers 400, or the error of a
		// store.
		if waits && w.attempts.at(sv.attempt).storing.active {
			w.notUnderstood(sv, at+p.delay+2*w.machine.Latency)
		} else if waits {
			att := w.attempts.at(sv.attempt)
			att.response = response{status: 400, bytes: errorBytes, json: true}
			w.k.At(at+p.delay+2*w.machine.Latency, event{answered, sv.attempt, sv.gen})
		}
		w.discard(i)
		return
	}
	if p.held != nil {
		p.held.held = append(p.held.held, arrives)
		return
	}
	lat := w.machine.Latency
	if sv.bound {
		lat = 0
	}
	w.k.At(at+p.delay+lat, arrives)
}

// discard forgets a request that never reaches its server. If its connection has a
// worker, the next connection gets it.
func (w *world) discard(i int32) {
	sv := w.servings.at(i)
	bound, worker, replica := sv.bound, sv.worker, sv.replica
	w.freeServing(i)
	if bound && w.replicas[replica].accept != nil {
		w.releaseWorker(replica, worker)
	}
}

// breakAt breaks the connection of a request at a moment.
func (w *world) breakAt(sv *serving, at time.Duration, as failure) {
	if w.waits(sv) {
		att := w.attempts.at(sv.attempt)
		att.breaks, att.breaksAs = w.k.At(at, event{breakConn, sv.attempt, sv.gen}), as
	}
}

// answer sends an answer past the faults on its way.
func (b *faultBoard) answer(w *world, i int32, gen uint32, bytes int64) {
	att := w.attempts.at(i)
	p := b.pass(w, att.from, att.to, att.id, att.hop.text, bytes, w.now(), false)
	switch {
	case p.closes:
		w.k.Cancel(att.breaks)
		att.breaks, att.breaksAs = w.k.After(p.after+w.machine.Latency, event{breakConn, i, gen}), p.closesAs
		if p.after == 0 {
			return
		}
	case p.garbled:
		att.failure = garbled
	}
	if p.held != nil {
		p.held.held = append(p.held.held, event{answered, i, gen})
		return
	}
	w.k.After(p.delay+w.machine.Latency+w.waitOf(att), event{answered, i, gen})
}
