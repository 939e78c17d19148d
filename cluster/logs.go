package cluster

import (
	"context"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/cluster/logs"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

var _ runner.LogSource = (*Deployment)(nil)

// hello begins the line in which an agent tells who has started it where it listens.
const hello = `{"addr":`

// Logs follows what the pods of the system print. The last lines of a pod before it
// is deleted may be missing.
func (d *Deployment) Logs(ctx context.Context, line func(at time.Time, service string, replica int, text []byte)) error {
	return logs.Read(ctx, d.Instance, logs.Options{Follow: true, Tail: -1}, func(l logs.Line) {
		if strings.HasPrefix(l.Text, hello) {
			return
		}
		line(l.At, l.Service, l.Replica, []byte(l.Text))
	})
}
