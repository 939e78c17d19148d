package runner

import (
	"context"

	"github.com/microsim-dev/kubectl-microsim/runner/account"
)

// followReplicas follows the states of replicas until ctx ends. It watches a
// deployment that is a Watcher, and polls others. It ignores a poll that fails: the
// next one sees by the count of restarts what this one missed.
func (r *running) followReplicas(ctx context.Context, deployment Deployment, first []Replica) {
	r.look(first)
	if watcher, ok := deployment.(Watcher); ok {
		known := newReplicaList(first)
		watcher.Watch(ctx, func(changed Replica) { r.look(known.with(changed)) })
		return
	}
	every(ctx, r.clock, r.deps.PollReplicas, func() {
		replicas, err := deployment.Replicas(ctx)
		if err != nil {
			return
		}
		now := r.clock.Now()
		for i := range replicas {
			// A target that is polled does not tell when something noticed the
			// outage. This poll has noticed it, so it is the latest possible time.
			if replicas[i].State != Ready && replicas[i].Detected.IsZero() {
				replicas[i].Detected = now
			}
		}
		r.look(replicas)
	})
}

// A replicaList holds the last known state of every replica.
type replicaList struct {
	list []Replica
	at   map[replicaName]int
}

type replicaName struct {
	service string
	index   int
}

func newReplicaList(replicas []Replica) *replicaList {
	l := &replicaList{at: map[replicaName]int{}}
	for _, replica := range replicas {
		l.with(replica)
	}
	return l
}

// with notes the newest state of one replica and returns the states of all.
func (l *replicaList) with(changed Replica) []Replica {
	name := replicaName{changed.Service, changed.Index}
	i, known := l.at[name]
	if !known {
		i = len(l.list)
		l.at[name], l.list = i, append(l.list, changed)
	}
	l.list[i] = changed
	return l.list
}

// look tells the account the states of all replicas, and the observer what changed.
func (r *running) look(replicas []Replica) {
	states := make([]account.Replica, len(replicas))
	for i := range replicas {
		replica := &replicas[i]
		states[i] = account.Replica{
			Service: replica.Service, Index: replica.Index, Ready: replica.State == Ready, Restarts: replica.Restarts, Since: replica.Since,
			Detected: replica.Detected,
		}
	}
	for _, outage := range r.account.Replicas(r.clock.Now(), states) {
		if outage.Ended {
			r.emit(ReplicaReady{outage.Recovery})
		} else {
			r.emit(ReplicaDown{outage.Recovery})
		}
	}
}
