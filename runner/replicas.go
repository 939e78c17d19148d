package runner

import (
	"context"

	"github.com/microsim-dev/kubectl-microsim/runner/account"
)

// followReplicas follows the states of replicas until ctx ends: by what the
// deployment tells, or else by asking again and again. A question that fails is
// asked again at the next turn: what it missed is seen by the replicas' restarts.
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
			// Such a target does not tell who noticed: this question did, at the
			// latest.
			if replicas[i].State != Ready && replicas[i].Detected.IsZero() {
				replicas[i].Detected = now
			}
		}
		r.look(replicas)
	})
}

// A replicaList is all replicas as last heard of.
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

// with notes the newest state of one replica and returns all.
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

// look tells the account of the replicas, and the observer of what changed.
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
