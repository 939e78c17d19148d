package webui

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// A LoadChanger multiplies the rate and the users of a load that runs by a factor of
// what it began with; 0 pauses it. The new load is sent when it returns.
type LoadChanger func(ctx context.Context, factor float64) error

// liveLoad is what the page knows of the load of a run that it plays.
type liveLoad struct {
	profile load.Profile
	// change is nil if the load cannot be changed.
	change LoadChanger
	// factor is of what the load began with.
	factor float64
	// runs is set from the begin of the load to its end.
	runs bool
}

// postLoad changes the load that runs, and answers when the new one is sent.
func (s *Server) postLoad(req *http.Request) (any, error) {
	body, err := readJSON[struct {
		Factor *float64 `json:"factor"`
	}](req)
	if err != nil {
		return nil, err
	}
	if body.Factor == nil {
		return nil, badRequest("changing the load: write the factor, such as 2, of what it began with")
	}
	r := s.current()
	if r == nil {
		return nil, conflict("changing the load: nothing is played; play the experiment on this machine or on a cluster first")
	}
	// The load is changed even if the page goes meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(req.Context()), runner.ChangeTimeout)
	defer cancel()
	if err := r.changeLoad(ctx, *body.Factor); err != nil {
		return nil, err
	}
	s.tell()
	return r.view(), nil
}

// changeLoad multiplies the load of a run, and notes it in the ground truth.
func (r *run) changeLoad(ctx context.Context, factor float64) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	r.mu.Lock()
	now, state := r.load, r.state
	r.mu.Unlock()
	switch {
	case r.on == OnVirtual:
		return conflict("changing the load: nothing is changed by hand in virtual time; change the load in the file, and play it again")
	case r.kind != played:
		return conflict("changing the load: a system that is only watched has its load from elsewhere; `kubectl microsim load -f FILE --follow` sends one that changes with its file")
	case state != running || !now.runs || now.change == nil:
		return conflict("changing the load of %q: none is sent now; play the experiment first", r.name)
	case factor == now.factor:
		return conflict("changing the load of %q: it is × %v already", r.name, factor)
	}
	if err := fitsLoad(now.profile, factor); err != nil {
		return &refusal{http.StatusUnprocessableEntity, err}
	}
	asked := time.Now()
	err := now.change(ctx, factor)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("changing the load of %q: %w", r.name, err)
	} else {
		r.load.factor = factor
	}
	r.noteChange(result.SystemChange{
		AskedAt: asked, What: []string{fmt.Sprintf("load × %v to × %v", now.factor, factor)}, Load: &result.LoadChange{From: now.factor, To: factor},
	}, err)
	return err
}

// fitsLoad says why a load cannot be multiplied while it runs. How long a phase with a
// count lasts depends on its rate, and the phases of the figures do not move.
func fitsLoad(profile load.Profile, factor float64) error {
	if !(factor >= 0) || factor > 1000 {
		return fmt.Errorf("changing the load: × %v is not possible; choose a factor from 0, which pauses it, to 1000", factor)
	}
	if i := slices.IndexFunc(profile.Phases, func(p load.Phase) bool { return p.Count > 0 }); i >= 0 {
		return fmt.Errorf("changing the load: phase %q ends by a count of requests, so another rate would move the phases that the figures are of; give it a duration in place of the count", profile.Phases[i].Name)
	}
	if factor == 0 {
		return nil
	}
	for i := range profile.Phases {
		p := &profile.Phases[i]
		for _, users := range []*int{&p.Users, p.UsersTo} {
			if users != nil && *users > 0 && math.Round(float64(*users)*factor) == 0 {
				return fmt.Errorf("changing the load: × %v leaves none of the %d users of phase %q; choose a larger factor, or 0, which pauses the load", factor, *users, p.Name)
			}
		}
	}
	e := experiment.Experiment{Load: profile}
	multiplyLoad(&e, factor)
	if err := e.Load.Validate().Err(); err != nil {
		return fmt.Errorf("changing the load: × %v: %w", factor, err)
	}
	return nil
}
