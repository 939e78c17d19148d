package webui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/fault/timeline"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/account"
)

// A faultView is a fault as the page shows it. Times are seconds on the axis of its
// run; a time that has not come is null.
type faultView struct {
	ID      string `json:"id"`
	Label   string `json:"label"`
	Type    string `json:"type"`
	Target  string `json:"target"`
	Service string `json:"service"`
	Caller  string `json:"caller,omitempty"`
	// Asked is when it was asked for, From when it was known to act, To when it was
	// known to be gone.
	Asked *float64 `json:"asked"`
	From  *float64 `json:"from"`
	To    *float64 `json:"to"`
	// PlannedFrom and PlannedTo are those of the file; a PlannedTo of 0 has no end.
	PlannedFrom float64  `json:"plannedFrom"`
	PlannedTo   float64  `json:"plannedTo"`
	Replicas    []string `json:"replicas,omitempty"`
	// Hits is how often it has acted; -1 if that is not known.
	Hits      int64    `json:"hits"`
	Effective string   `json:"effective,omitempty"`
	Error     string   `json:"error,omitempty"`
	Trouble   []string `json:"trouble,omitempty"`
	// ByHand says that it was added here or by another program, and is not in the file.
	ByHand bool `json:"byHand,omitempty"`
}

func newFaultView(id string, f *fault.Fault) faultView {
	return faultView{ID: id, Label: f.Label(), Type: string(f.Type), Target: f.Target.String(), Service: f.Target.Service, Caller: f.Target.From, Hits: -1}
}

// plannedViews are the faults of an experiment before it has begun.
func plannedViews(e *experiment.Experiment) []faultView {
	views := []faultView{}
	for i := range e.Faults {
		f := &e.Faults[i]
		if f.Rounds != nil {
			continue // their windows are known when they come
		}
		v := newFaultView("", f)
		v.PlannedFrom = f.Start.Std().Seconds()
		if f.Duration > 0 {
			v.PlannedTo = f.End().Seconds()
		}
		views = append(views, v)
	}
	return views
}

// plannedIDs are the ids that the faults of an experiment have when they act.
func plannedIDs(e *experiment.Experiment) (map[string]bool, error) {
	plan, err := account.PlanFaults(e)
	if err != nil {
		return nil, err
	}
	ids := map[string]bool{}
	for i := range plan.Windows {
		ids[plan.Windows[i].ID] = true
	}
	return ids, nil
}

// noteFault takes in the record of a planned fault; the caller holds mu.
func (r *run) noteFault(rec *result.FaultRecord) {
	v := recordView(rec)
	for i := range r.faults {
		old := &r.faults[i]
		same := old.ID == rec.ID || old.ID == "" && old.Type == v.Type && old.Target == v.Target && old.PlannedFrom == rec.PlannedFrom
		if same {
			v.Effective = old.Effective
			*old = v
			return
		}
	}
	r.faults = append(r.faults, v)
}

func recordView(rec *result.FaultRecord) faultView {
	v := newFaultView(rec.ID, &rec.Fault)
	v.Label, v.Replicas, v.Hits, v.Error = rec.Label, rec.Replicas, rec.Hits, rec.Error
	v.PlannedFrom, v.PlannedTo = rec.PlannedFrom, rec.PlannedTo
	if rec.Victim != "" && rec.Victim != fault.Nobody {
		v.Service, v.Target = rec.Victim, rec.Victim
	}
	if !rec.OrderedAt.IsZero() {
		v.Asked = new(rec.AskedFrom)
	}
	if rec.Applied() {
		v.From = new(rec.From)
	}
	if !rec.ClearedAt.IsZero() {
		v.To = new(rec.To)
	}
	return v
}

// A hand is a fault that was added on the page to a run, with its ground truth.
type hand struct {
	log  *account.FaultLog
	view faultView
	gone bool
}

func newHand(id string, f *fault.Fault, zero, now time.Time) *hand {
	from := now.Sub(zero)
	w := timeline.Window{ID: id, Fault: *f, From: from, To: from + f.Duration.Std()}
	h := &hand{log: account.NewFaultLog(&timeline.Plan{Windows: []timeline.Window{w}}), view: newFaultView(id, f)}
	h.log.Begin(zero)
	h.set(h.log.Asked(0, now))
	return h
}

func (h *hand) set(rec result.FaultRecord) {
	effective, trouble := h.view.Effective, h.view.Trouble
	h.view = recordView(&rec)
	h.view.ByHand, h.view.Effective, h.view.Trouble = true, effective, trouble
}

func (h *hand) clearAsked(at time.Time) { h.set(h.log.ClearAsked(0, at)) }

func (h *hand) cleared(at time.Time) {
	if !h.gone {
		h.gone = true
		h.set(h.log.ClearAsked(0, at)) // unless that was noted before
		h.set(h.log.Cleared(0, at))
	}
}

func (h *hand) record() result.FaultRecord { return h.log.Record(0) }

func (r *run) isByHand(id string) bool {
	return slices.ContainsFunc(r.hands, func(h *hand) bool { return h.view.ID == id })
}

// hasHand reports whether a fault that acted at a time is one that is known; the caller
// holds mu.
func (r *run) hasHand(id string, at time.Time) bool {
	return slices.ContainsFunc(r.hands, func(h *hand) bool {
		return h.view.ID == id && (!h.gone || h.record().ClearedAt.After(at))
	})
}

// A vocabularyEntry is a type of fault as the page offers it.
type vocabularyEntry struct {
	Type  fault.Type  `json:"type"`
	Layer fault.Layer `json:"layer"`
	Doc   string      `json:"doc"`
	Needs []fault.Arg `json:"needs"`
	May   []fault.Arg `json:"may"`
	// Defaults are what arguments mean that are left out, as files write them.
	Defaults fault.Args `json:"defaults"`
}

func (s *Server) getVocabulary(*http.Request) (any, error) {
	var list []vocabularyEntry
	for _, e := range fault.Vocabulary() {
		list = append(list, vocabularyEntry{e.Type, e.Layer, e.Doc, append([]fault.Arg{}, e.Needs...), append([]fault.Arg{}, e.May...), e.Defaults})
	}
	return list, nil
}

// postFault adds a fault to the running system, and answers when it acts.
func (s *Server) postFault(req *http.Request) (any, error) {
	r := s.current()
	if r == nil {
		return nil, conflict("no system runs: play the experiment on local, or open a running system")
	}
	f, err := readFault(req)
	if err != nil {
		return nil, err
	}
	// The fault is added even if the page goes meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(req.Context()), runner.ChangeTimeout)
	defer cancel()
	if err := r.inject(ctx, f); err != nil {
		return nil, err
	}
	s.tell()
	return r.view(), nil
}

func readFault(r *http.Request) (*fault.Fault, error) {
	f, err := readJSONOver(r, maxBody, fault.Fault{Probability: 1}) // as in files
	if err != nil {
		return nil, err
	}
	f.Name, f.Start, f.Rounds = "", 0, nil
	f = f.WithDefaults()
	if err := f.Validate().Err(); err != nil {
		return nil, &refusal{http.StatusUnprocessableEntity, err}
	}
	return &f, nil
}

// inject lets a fault act, and notes that it was asked for by hand.
func (r *run) inject(ctx context.Context, f *fault.Fault) error {
	r.mu.Lock()
	injector, state := r.injector, r.state
	r.mu.Unlock()
	switch {
	case r.on == OnVirtual:
		return conflict("nothing is broken by hand in virtual time: write the fault into the file, or play on local")
	case injector == nil || state != running:
		return conflict("the system does not run now: play the experiment on local, or open a running system")
	}
	if err := injector.CanInject(f); err != nil {
		return &refusal{http.StatusUnprocessableEntity, err}
	}
	active, err := injector.Active(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	r.mu.Lock()
	id := r.freeID(f, active)
	h := newHand(id, f, r.zero, now)
	if r.kind == played {
		r.hands = append(r.hands, h)
	}
	r.mu.Unlock()
	var deadline time.Time
	if f.Duration > 0 {
		deadline = now.Add(f.Duration.Std())
	}
	if err := injector.Inject(ctx, id, *f, deadline); err != nil {
		r.mu.Lock()
		h.set(h.log.Failed(0, err))
		r.mu.Unlock()
		return fmt.Errorf("adding fault %q: %w", id, err)
	}
	if r.kind == followed {
		r.lookAtFaults(ctx, injector)
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h.set(h.log.Applied(0, time.Now()))
	if f.Duration > 0 {
		// The system ends it by itself; asked for, the moment of its end is known.
		time.AfterFunc(time.Until(deadline), func() { //nolint:contextcheck // long after the request that added it
			ctx, cancel := context.WithTimeout(context.Background(), runner.ChangeTimeout)
			defer cancel()
			_ = r.clear(ctx, id) // watchFaults tries again
		})
	}
	return nil
}

// freeID makes a name of type and target that no fault has; the caller holds mu.
func (r *run) freeID(f *fault.Fault, active []runner.Injection) string {
	clean := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return c
		}
		return '-'
	}, strings.ReplaceAll(f.Target.String(), "->", "-"))
	base := "by-hand-" + string(f.Type) + "-" + strings.Trim(clean, "-")
	id := base
	for n := 2; r.isByHand(id) || slices.ContainsFunc(active, func(a runner.Injection) bool { return a.ID == id }); n++ {
		id = fmt.Sprintf("%s-%d", base, n)
	}
	return id
}

// deleteFault takes a fault back, and answers when it is gone.
func (s *Server) deleteFault(req *http.Request) (any, error) {
	r := s.current()
	if r == nil {
		return nil, conflict("no system runs")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(req.Context()), runner.ChangeTimeout)
	defer cancel()
	if err := r.clear(ctx, req.PathValue("id")); err != nil {
		return nil, err
	}
	s.tell()
	return r.view(), nil
}

func (r *run) clear(ctx context.Context, id string) error {
	r.mu.Lock()
	injector := r.injector
	i := slices.IndexFunc(r.hands, func(h *hand) bool { return h.view.ID == id })
	if i >= 0 {
		r.hands[i].clearAsked(time.Now())
	}
	r.mu.Unlock()
	if injector == nil {
		return conflict("the system does not run any more, and its faults ended with it")
	}
	if r.kind == played && i < 0 {
		return conflict("fault %q is one of the file, which ends as the file says", id)
	}
	if err := injector.Clear(ctx, id); err != nil {
		return fmt.Errorf("taking fault %q back: %w", id, err)
	}
	if r.kind == followed {
		r.lookAtFaults(ctx, injector)
	}
	if i >= 0 {
		r.mu.Lock()
		r.hands[i].cleared(time.Now())
		r.mu.Unlock()
	}
	return nil
}

// watchFaults looks each second what acts, until ctx ends.
func (r *run) watchFaults(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		r.mu.Lock()
		injector, state := r.injector, r.state
		r.mu.Unlock()
		if injector == nil || state != running {
			continue
		}
		r.lookAtFaults(ctx, injector)
	}
}

// lookAtFaults notes what acts now, if that can be known: it may be in a second.
func (r *run) lookAtFaults(ctx context.Context, injector runner.Injector) {
	r.looking.Lock()
	defer r.looking.Unlock()
	asked := time.Now()
	looking, cancel := context.WithTimeout(ctx, runner.RequestTimeout)
	defer cancel()
	active, err := injector.Active(looking)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kind == followed {
		r.followFaults(active, time.Now())
	} else {
		r.updateFaults(active, asked)
	}
}

// updateFaults notes how often the faults of a run have acted, and those that another
// program has added; the caller holds mu. A fault by hand that acts no more has come to its
// own end.
func (r *run) updateFaults(active []runner.Injection, asked time.Time) {
	for i := range active {
		if a := &active[i]; !r.planned[a.ID] && !r.hasHand(a.ID, asked) {
			h := newHand(a.ID, &a.Fault, r.zero, a.Since)
			h.set(h.log.Applied(0, a.Since))
			r.hands = append(r.hands, h)
		}
	}
	for _, h := range r.hands {
		i := slices.IndexFunc(active, func(a runner.Injection) bool { return a.ID == h.view.ID })
		switch {
		case i >= 0 && !h.gone:
			h.set(h.log.Acting(0, active))
			h.view.Effective, h.view.Trouble = active[i].Effective, active[i].Errors
		case i < 0 && h.view.From != nil && h.view.To == nil && h.view.Error == "":
			h.cleared(time.Now())
		}
	}
	for i := range r.faults {
		for j := range active {
			if a := &active[j]; a.ID == r.faults[i].ID {
				r.faults[i].Hits, r.faults[i].Effective, r.faults[i].Trouble = a.Hits, a.Effective, a.Errors
			}
		}
	}
}

// followFaults notes what acts in a system that runs by itself; the caller holds mu.
func (r *run) followFaults(active []runner.Injection, now time.Time) {
	at := func(t time.Time) *float64 { return new(t.Sub(r.zero).Seconds()) }
	for i := range r.faults {
		v := &r.faults[i]
		if v.To == nil && !slices.ContainsFunc(active, func(a runner.Injection) bool { return a.ID == v.ID }) {
			v.To = at(now)
		}
	}
	for i := range active {
		a := &active[i]
		v := newFaultView(a.ID, &a.Fault)
		v.From, v.Hits, v.Replicas, v.Effective, v.Trouble, v.ByHand = at(a.Since), a.Hits, a.Replicas, a.Effective, a.Errors, true
		v.PlannedFrom = *v.From
		old := slices.IndexFunc(r.faults, func(o faultView) bool { return o.ID == v.ID && o.To == nil })
		if old >= 0 {
			r.faults[old] = v
		} else {
			r.faults = append(r.faults, v)
		}
	}
	if extra := len(r.faults) - maxFaults; extra > 0 {
		r.faults = slices.Delete(r.faults, 0, extra)
	}
}

// maxFaults is how many faults of a system that runs by itself are remembered.
const maxFaults = 200

// errEnded is why the page stops to follow a system.
var errEnded = errors.New("the system has ended; what was seen of it stays here")
