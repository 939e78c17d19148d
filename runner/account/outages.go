package account

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// A Replica is the state of a replica at a moment.
type Replica struct {
	Service string
	// Index counts from 1.
	Index    int
	Ready    bool
	Restarts int
	// Since is when it came into this state; the zero time means that this is not
	// known.
	Since time.Time
	// Detected is when a health check or an observer of the system noticed that the
	// replica is not ready; the zero time while none has.
	Detected time.Time
}

// An Outage says that a replica went down or, if Ended is set, that it has come
// back.
type Outage struct {
	Ended    bool
	Recovery result.Recovery
}

// outages finds the outages in the successive states of replicas.
type outages struct {
	faults *FaultLog

	mu         sync.Mutex
	recoveries []result.Recovery
	seen       map[replicaKey]sighting
}

func newOutages(faults *FaultLog) *outages {
	return &outages{faults: faults, seen: map[replicaKey]sighting{}}
}

type replicaKey struct {
	service string
	index   int
}

func (k replicaKey) compare(o replicaKey) int {
	return cmp.Or(strings.Compare(k.service, o.service), cmp.Compare(k.index, o.index))
}

// A sighting is the state of a replica at the last look. open is the index of the
// outage that has not ended, or -1.
type sighting struct {
	at      time.Time
	replica Replica
	open    int
}

func (o *outages) list() []result.Recovery {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]result.Recovery{}, o.recoveries...)
}

// look compares the replicas with their states at the last look.
func (o *outages) look(now time.Time, replicas []Replica) (changes []Outage) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range replicas {
		changes = append(changes, o.compare(&replicas[i], now)...)
	}
	for _, key := range o.missing(replicas) {
		gone := o.seen[key].replica
		gone.Ready, gone.Since, gone.Detected = false, time.Time{}, now
		changes = append(changes, o.compare(&gone, now)...)
	}
	return changes
}

// missing returns the replicas that were seen before and are not listed. All listed
// ones have been seen, so equal counts mean that none is missing.
func (o *outages) missing(replicas []Replica) []replicaKey {
	if len(replicas) == len(o.seen) {
		return nil
	}
	missing := maps.Clone(o.seen)
	for _, replica := range replicas {
		delete(missing, replicaKey{replica.Service, replica.Index})
	}
	return slices.SortedFunc(maps.Keys(missing), replicaKey.compare)
}

func (o *outages) compare(replica *Replica, now time.Time) (changes []Outage) {
	key := replicaKey{replica.Service, replica.Index}
	before, known := o.seen[key]
	if !known {
		before = sighting{at: now, replica: *replica, open: -1}
	}
	fell := before.replica.Ready && !replica.Ready || replica.Restarts > before.replica.Restarts
	if before.open < 0 && fell {
		before.open = len(o.recoveries)
		o.recoveries = append(o.recoveries, o.newOutage(&before, replica, now))
		changes = append(changes, Outage{Recovery: o.recoveries[before.open]})
	}
	if before.open >= 0 {
		noteDetection(&o.recoveries[before.open], replica.Detected, now)
	}
	if before.open >= 0 && replica.Ready {
		recovery := &o.recoveries[before.open]
		recovery.ReadyAt = within(replica.Since, recovery.DownAt, now).UTC()
		recovery.Took = recovery.ReadyAt.Sub(recovery.DownAt).Seconds()
		changes = append(changes, Outage{Ended: true, Recovery: *recovery})
		before.open = -1
	}
	before.at, before.replica = now, *replica
	o.seen[key] = before
	return changes
}

// newOutage describes the outage of a replica that is down, or was down since the
// last look.
func (o *outages) newOutage(before *sighting, replica *Replica, now time.Time) result.Recovery {
	outage := result.Recovery{Service: replica.Service, Replica: replica.Index}
	down := now
	if !replica.Ready {
		down = within(replica.Since, before.at, now)
	}
	if rec, ok := o.faults.culprit(replica, now); ok && !o.blamed(rec.ID, replica) {
		outage.Fault, down = rec.ID, downBy(&rec, replica, now)
	}
	outage.DownAt = down.UTC()
	detected := replica.Detected
	if replica.Ready {
		// The replica was restarted since the last look, so the outage was noticed.
		// This look is the latest possible time of that.
		detected = now
	}
	noteDetection(&outage, detected, now)
	return outage
}

// quickOrder bounds how long a kill takes if nothing hinders it.
const quickOrder = 5 * time.Second

// downBy is when a fault took a replica down. For a quick kill the time of its order is the
// most exact, because a target notices the outage later and in whole seconds. If the kill took
// long, because the cluster did not answer, the replica went down after the order.
func downBy(rec *result.FaultRecord, replica *Replica, now time.Time) time.Time {
	done := now
	if rec.Applied() {
		done = rec.AppliedAt
	}
	if done.Sub(rec.OrderedAt) <= quickOrder || replica.Ready || replica.Since.Before(rec.OrderedAt) {
		return rec.OrderedAt
	}
	return within(replica.Since, rec.OrderedAt, done)
}

// noteDetection notes when an outage was noticed, as soon as that is known.
func noteDetection(outage *result.Recovery, detected, now time.Time) {
	if !outage.DetectedAt.IsZero() || detected.IsZero() {
		return
	}
	outage.DetectedAt = within(detected, outage.DownAt, now).UTC()
	outage.Detection = outage.DetectedAt.Sub(outage.DownAt).Seconds()
}

// blamed reports whether the fault is already blamed for an outage of the replica.
func (o *outages) blamed(id string, replica *Replica) bool {
	return slices.ContainsFunc(o.recoveries, func(r result.Recovery) bool {
		return r.Fault == id && r.Service == replica.Service && r.Replica == replica.Index
	})
}

// within returns t if it lies between two moments, and the later moment otherwise.
func within(t, from, to time.Time) time.Time {
	if t.Before(from) || t.After(to) {
		return to
	}
	return t
}
