package runner

import (
	"context"

	"github.com/microsim-dev/kubectl-microsim/runner/account"
)

// pollReplicas looks at the replicas until ctx ends. A look that fails is made
// again at the next turn: what it missed is seen by the replicas' restarts.
func (r *running) pollReplicas(ctx context.Context, deployment Deployment, first []Replica) {
	r.look(first)
	every(ctx, r.clock, r.deps.PollReplicas, func() {
		if replicas, err := deployment.Replicas(ctx); err == nil {
			r.look(replicas)
		}
	})
}

// look tells the account of the replicas, and the observer of what changed.
func (r *running) look(replicas []Replica) {
	states := make([]account.Replica, len(replicas))
	for i := range replicas {
		replica := &replicas[i]
		states[i] = account.Replica{
			Service: replica.Service, Index: replica.Index, Ready: replica.State == Ready, Restarts: replica.Restarts, Since: replica.Since,
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
