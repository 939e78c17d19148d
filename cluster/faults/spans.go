package faults

import (
	"context"
	"fmt"
	"net/http"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

var _ runner.SpanSource = (*Instance)(nil)

// Spans asks the pod of a replica for spans.
func (inst *Instance) Spans(ctx context.Context, replica runner.Replica, q control.SpanQuery) (spans control.Spans, err error) {
	if replica.Silent {
		return control.Spans{}, nil // its program is not of this project
	}
	pod := replica.Pod
	if pod == "" {
		return control.Spans{}, fmt.Errorf("asking %s/%d for spans: it has no pod", replica.Service, replica.Index)
	}
	err = inst.control(ctx, replica.Service, pod, http.MethodPost, control.SpansPath, q, &spans)
	return spans, kubeapi.Explain(err)
}
