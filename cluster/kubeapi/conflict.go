package kubeapi

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
)

// conflictTimeout bounds the tries of one change. An object that others change
// without a break for so long is not a race any more.
const conflictTimeout = time.Minute

var errConflicts = fmt.Errorf("others changed it again and again for %v", conflictTimeout) //nolint:gochecknoglobals // a sentinel

// ErrOvertaken says that others have changed what a change is based on, if no error
// of the API server says so.
var ErrOvertaken = errors.New("others changed it at the same time") //nolint:gochecknoglobals // a sentinel

// IsOvertaken reports whether a change was refused because others were faster:
// they have changed the object since it was read, or created it.
func IsOvertaken(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || errors.Is(err, ErrOvertaken)
}

// RetryConflicts calls change, which reads an object and writes it, until others
// have not changed the object in between. The pauses grow from 10 ms to 2 s, give or take a fifth. It
// gives up when ctx ends, or after a minute; the error then names the object, and
// has the cause of the end and the last conflict in it. Any other error of change
// is returned as it is.
func RetryConflicts(ctx context.Context, object string, change func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, conflictTimeout, errConflicts)
	defer cancel()
	// Steps only has to outlast the growth: after the cap, Step returns the cap.
	pause := wait.Backoff{Duration: 10 * time.Millisecond, Factor: 2, Jitter: 0.2, Cap: 2 * time.Second, Steps: 100}
	for {
		err := change(ctx)
		switch {
		case err != nil && ctx.Err() != nil:
			return gaveUp(ctx, object, err) // it ended during a request, whose error does not name the object
		case !IsOvertaken(err):
			return err
		}
		timer := time.NewTimer(pause.Step())
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return gaveUp(ctx, object, err)
		}
	}
}

// gaveUp says that ctx has ended before an object could be changed.
func gaveUp(ctx context.Context, object string, last error) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, errConflicts) {
		return fmt.Errorf("changing %s: %w; try again: %w", object, cause, last)
	}
	if IsOvertaken(last) {
		return fmt.Errorf("changing %s: %w while others changed it at the same time: %w", object, cause, last)
	}
	return fmt.Errorf("changing %s: %w: %w", object, cause, last)
}
