package runner

import (
	"context"

	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// A LoadPreparer may be implemented by a Loader that needs a while before it can
// send the first request, such as for pods to start. Run has it do that before
// the zero of faults and load.
type LoadPreparer interface {
	// Prepare makes ready all that the load needs, and sends none of it. The end
	// of ctx ends the preparing; on an error nothing is left behind.
	Prepare(ctx context.Context, profile load.Profile, target LoadTarget) (PreparedLoad, error)
}

// A PreparedLoad begins at once.
type PreparedLoad interface {
	// Load is that of a Loader, for what was prepared. It is called once.
	Load(ctx context.Context, observe func(measure.Outcome)) (*result.LoadReport, error)
	// Close takes down what was prepared, and waits until it is gone, whether or
	// not Load was called. What could not be taken down is named in a
	// CleanupError. A ctx that has ended bounds the waiting, not the cleaning.
	Close(ctx context.Context) error
}

// atOnce is the PreparedLoad of a Loader that needs no preparing.
type atOnce struct {
	loader  Loader
	profile load.Profile
	target  LoadTarget
}

func (a atOnce) Load(ctx context.Context, observe func(measure.Outcome)) (*result.LoadReport, error) {
	return a.loader.Load(ctx, a.profile, a.target, observe)
}

func (atOnce) Close(context.Context) error { return nil }

// prepare has a Loader prepare, where it needs to.
func prepare(ctx context.Context, loader Loader, profile load.Profile, target LoadTarget) (PreparedLoad, error) {
	if p, ok := loader.(LoadPreparer); ok {
		return p.Prepare(ctx, profile, target)
	}
	return atOnce{loader, profile, target}, nil
}
