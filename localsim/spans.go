package localsim

import (
	"context"
	"fmt"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

var _ runner.SpanSource = (*Deployment)(nil)

// Spans asks a replica for spans.
func (d *Deployment) Spans(ctx context.Context, replica runner.Replica, q control.SpanQuery) (control.Spans, error) {
	for _, r := range d.list() {
		if r.Service() != replica.Service || r.Index() != replica.Index {
			continue
		}
		if r.outside {
			return control.Spans{}, nil // its program is not of this project
		}
		in := r.Running()
		if in == nil {
			return control.Spans{}, fmt.Errorf("asking %s for spans: it does not run", r.Label())
		}
		return d.admin.Spans(ctx, in.Control(), q)
	}
	return control.Spans{}, fmt.Errorf("asking %s/%d for spans: there is no such replica", replica.Service, replica.Index)
}
