package runner

import (
	"context"

	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// A LoadPreparer is a Loader that needs time before it can send the first request,
// such as for pods to start. Run calls Prepare before the zero of elapsed times.
type LoadPreparer interface {
	// Prepare makes ready what the load needs, and sends no request. The end of ctx
	// ends the preparing. On an error nothing is left behind.
	Prepare(ctx context.Context, profile load.Profile, target LoadTarget) (PreparedLoad, error)
}

// A PreparedLoad is a load that can begin at once.
type PreparedLoad interface {
	// Load does what Loader.Load does, for the profile and target that were
	// prepared. It is called once.
	Load(ctx context.Context, observe func(measure.Outcome)) (*result.LoadReport, error)
	// Close takes down what was prepared, and waits until it is gone. It must be
	// called even if Load was not. A CleanupError names what could not be taken
	// down. The end of ctx ends the waiting, not the cleaning.
	Close(ctx context.Context) error
}

// atOnce is the PreparedLoad of a Loader that is no LoadPreparer.
type atOnce struct {
	loader  Loader
	profile load.Profile
	target  LoadTarget
}

func (a atOnce) Load(ctx context.Context, observe func(measure.Outcome)) (*result.LoadReport, error) {
	return a.loader.Load(ctx, a.profile, a.target, observe)
}

func (atOnce) Close(context.Context) error { return nil }

// prepare prepares a load, if its Loader is a LoadPreparer.
func prepare(ctx context.Context, loader Loader, profile load.Profile, target LoadTarget) (PreparedLoad, error) {
	if p, ok := loader.(LoadPreparer); ok {
		return p.Prepare(ctx, profile, target)
	}
	return atOnce{loader, profile, target}, nil
}
