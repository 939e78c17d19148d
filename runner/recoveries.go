package runner

import (
	"cmp"
	"context"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// outages follows the states of replicas.
type outages struct {
	mu         sync.Mutex
	Recoveries []result.Recovery
	seen       map[replicaKey]sighting
}

type replicaKey struct {
	service string
	index   int
}

func (k replicaKey) compare(o replicaKey) int {
	return cmp.Or(strings.Compare(k.service, o.service), cmp.Compare(k.index, o.index))
}

// A sighting is what a replica was like when last looked at; open is the index
// of the fall it has not returned from, or -1.
type sighting struct {
	at      time.Time
	replica Replica
	open    int
}

func (f *outages) List() []result.Recovery {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]result.Recovery{}, f.Recoveries...)
}

// pollReplicas looks at the replicas until ctx ends. A look that fails is made
// again at the next turn: what it missed is seen by the replicas' restarts.
func (r *running) pollReplicas(ctx context.Context, deployment Deployment, first []Replica) {
	r.falls.seen = map[replicaKey]sighting{}
	r.look(first, time.Now())
	ticker := time.NewTicker(r.deps.PollReplicas)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if replicas, err := deployment.Replicas(ctx); err == nil {
			r.look(replicas, time.Now())
		}
	}
}

// look compares the replicas with what they were before.
func (r *running) look(replicas []Replica, now time.Time) {
	f := r.falls
	var events []Event
	f.mu.Lock()
	for _, replica := range replicas {
		key := replicaKey{replica.Service, replica.Index}
		before, known := f.seen[key]
		if !known {
			before = sighting{at: now, replica: replica, open: -1}
		}
		events = append(events, r.compare(&before, replica, now)...)
		f.seen[key] = before
	}
	for _, key := range f.missing(replicas) {
		before, gone := f.seen[key], f.seen[key].replica
		gone.State, gone.Since = Down, time.Time{}
		events = append(events, r.compare(&before, gone, now)...)
		f.seen[key] = before
	}
	f.mu.Unlock()
	for _, e := range events {
		r.emit(e)
	}
}

// missing are the replicas that were seen once and are not listed; those listed
// have been seen, so mostly a count tells that there are none.
func (f *outages) missing(replicas []Replica) []replicaKey {
	if len(replicas) == len(f.seen) {
		return nil
	}
	missing := maps.Clone(f.seen)
	for _, replica := range replicas {
		delete(missing, replicaKey{replica.Service, replica.Index})
	}
	return slices.SortedFunc(maps.Keys(missing), replicaKey.compare)
}

func (r *running) compare(before *sighting, replica Replica, now time.Time) (events []Event) {
	f := r.falls
	fell := before.replica.State == Ready && replica.State != Ready || replica.Restarts > before.replica.Restarts
	if before.open < 0 && fell {
		before.open = len(f.Recoveries)
		f.Recoveries = append(f.Recoveries, r.newOutage(before, replica, now))
		events = append(events, ReplicaDown{f.Recoveries[before.open]})
	}
	if before.open >= 0 && replica.State == Ready {
		recovery := &f.Recoveries[before.open]
		recovery.ReadyAt = within(replica.Since, recovery.DownAt, now).UTC()
		recovery.Took = recovery.ReadyAt.Sub(recovery.DownAt).Seconds()
		events = append(events, ReplicaReady{*recovery})
		before.open = -1
	}
	before.at, before.replica = now, replica
	return events
}

// newOutage notes a replica that is down, or was down since it was looked at.
func (r *running) newOutage(before *sighting, replica Replica, now time.Time) result.Recovery {
	fall := result.Recovery{Service: replica.Service, Replica: replica.Index, DetectedAt: now.UTC()}
	down := now
	if replica.State != Ready {
		down = within(replica.Since, before.at, now)
	}
	if rec, ok := r.faults.culprit(replica, now); ok && !r.falls.blamed(rec.ID, replica) {
		fall.Fault, down = rec.ID, rec.OrderedAt
	}
	fall.DownAt = down.UTC()
	fall.Detection = now.Sub(down).Seconds()
	return fall
}

// blamed reports whether a fall of the replica is already put down to the fault.
func (f *outages) blamed(id string, replica Replica) bool {
	return slices.ContainsFunc(f.Recoveries, func(r result.Recovery) bool {
		return r.Fault == id && r.Service == replica.Service && r.Replica == replica.Index
	})
}

// within is t where it lies between two moments, or else the later.
func within(t, from, to time.Time) time.Time {
	if t.Before(from) || t.After(to) {
		return to
	}
	return t
}
