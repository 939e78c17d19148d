package webui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// A runKind says what the page watches.
type runKind string

const (
	played   runKind = "played"
	followed runKind = "followed"
	recorded runKind = "recorded"
)

// A phase of a run: it begins, runs, and ends.
type runState string

const (
	starting runState = "starting"
	running  runState = "running"
	cleaning runState = "cleaning up"
	done     runState = "done"
)

// A run is what the page watches or has watched: an experiment that is played, a
// system that runs by itself, or a record.
type run struct {
	id      int
	kind    runKind
	on      string
	name    string
	variant string
	series  *Series
	cancel  context.CancelCauseFunc
	// changing is held while the system is changed, looking while it is asked which faults
	// act, so that the answers come in the order of time.
	changing, looking sync.Mutex

	mu sync.Mutex
	// The fields below are guarded by mu.
	system *topology.System
	// text is what the system was made from; empty if another program has changed it.
	text string
	// graph has what the system is made of now, and what it was made of before.
	graph *Graph
	// drawn is what the page itself has made of the system last, which its text
	// describes, and aside how what runs differs from that.
	drawn  *Graph
	aside  *aside
	state  runState
	seed   uint64
	length float64
	phases []phaseView
	// zero is that of elapsed times on the clock of this machine.
	zero     time.Time
	injector runner.Injector
	// changer is nil if the system cannot be changed.
	changer Changer
	changes []result.SystemChange
	// underWay is the change that the page makes now; nil if it makes none.
	underWay *changeView
	// description cannot be asked if nothing runs outside of this program.
	description Description
	load        liveLoad
	// progress is what the target said last: before the system was ready, and since.
	progress string
	// unreachable is why the system does not answer, and silentSince since when; empty if
	// it does.
	unreachable string
	silentSince time.Time
	// requests is nil if no single requests are known.
	requests Requests
	// log is nil if there is none.
	log Log
	// send is nil if no requests can be sent to the system.
	send   Sender
	faults []faultView
	// planned are the ids of the faults of the file.
	planned map[string]bool
	hands   []*hand
	result  *result.Result
	err     error
}

// A phaseView is a phase of the load that has begun.
type phaseView struct {
	Name string  `json:"name"`
	At   float64 `json:"at"`
}

// A runView is what the page is told of a run each second.
type runView struct {
	ID    int      `json:"id"`
	Kind  runKind  `json:"kind"`
	On    string   `json:"on"`
	Name  string   `json:"name"`
	State runState `json:"state"`
	// Progress is what the target does until the system is ready, or what it has said
	// since, such as that a connection broke off.
	Progress string `json:"progress,omitempty"`
	// Unreachable is why a system that is watched does not answer now, SilentFor for how
	// many seconds it has not.
	Unreachable string  `json:"unreachable,omitempty"`
	SilentFor   float64 `json:"silentFor,omitempty"`
	Seed        uint64  `json:"seed"`
	// Length is how long the load lasts at most, in seconds; 0 where that is not known.
	Length float64 `json:"length"`
	// Frames is how many there have been, Dropped how many of the first are gone.
	Frames  int         `json:"frames"`
	Dropped int         `json:"dropped,omitempty"`
	Phases  []phaseView `json:"phases"`
	Faults  []faultView `json:"faults"`
	// Breakable says that faults can be added now, Traced that single requests are
	// known.
	Breakable bool `json:"breakable"`
	Traced    bool `json:"traced"`
	// Logged says that logs of services can be read now.
	Logged bool `json:"logged"`
	// Sends says that requests can be sent to the system now.
	Sends bool `json:"sends"`
	// Changeable says that the system can be made another one now; Changes are those
	// that were made.
	Changeable bool                  `json:"changeable"`
	Changes    []result.SystemChange `json:"changes"`
	// Changing is the change that is being made; nil if none is.
	Changing *changeView `json:"changing,omitempty"`
	// LoadChangeable says that the load can be changed now, LoadFactor what it is of that
	// which it began with.
	LoadChangeable bool    `json:"loadChangeable"`
	LoadFactor     float64 `json:"loadFactor"`
	Error          string  `json:"error,omitempty"`
	Ended          bool    `json:"ended"`
	Passed         bool    `json:"passed"`
}

func (r *run) view() *runView {
	count, dropped := r.series.Count()
	r.mu.Lock()
	defer r.mu.Unlock()
	v := &runView{
		ID: r.id, Kind: r.kind, On: r.on, Name: r.name, State: r.state, Progress: r.progress, Seed: r.seed, Length: r.length, Frames: count, Dropped: dropped,
		Phases: append([]phaseView{}, r.phases...), Faults: append([]faultView{}, r.faults...),
		Breakable: r.injector != nil && r.state == running, Traced: r.requests != nil, Logged: r.log != nil, Sends: r.send != nil && r.state == running, Ended: r.state == done,
		Changeable: r.changer != nil && r.state == running, Changes: append([]result.SystemChange{}, r.changes...), Changing: r.underWay,
		LoadChangeable: r.load.change != nil && r.load.runs && r.state == running, LoadFactor: r.load.factor,
	}
	if !r.silentSince.IsZero() {
		v.Unreachable, v.SilentFor = r.unreachable, time.Since(r.silentSince).Seconds()
	}
	for _, h := range r.hands {
		v.Faults = append(v.Faults, h.view)
	}
	if r.err != nil {
		v.Error = r.err.Error()
	}
	if r.result != nil {
		v.Passed = r.result.Passed
	}
	return v
}

func (r *run) isDone() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state == done
}

// leftover is what the run could not clean up.
func (r *run) leftover() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var left *runner.CleanupError
	if errors.As(r.err, &left) {
		return left
	}
	return nil
}

// note keeps what a run could not clean up until the server closes.
func (s *Server) note(left error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = errors.Join(s.left, left)
}

// leave ends the watching of a system that runs by itself, or refuses if an
// experiment is being played.
func (s *Server) leave() error {
	s.mu.Lock()
	r := s.run
	s.mu.Unlock()
	if r == nil || r.isDone() {
		return nil
	}
	if r.kind == played {
		return conflict("experiment %q is being played: stop it first", r.name)
	}
	r.cancel(errLeft)
	return nil
}

// turn leaves what was watched, and shows a text. The figures of an earlier run would be
// those of another system.
func (s *Server) turn(source *Source) error {
	if err := s.leave(); err != nil {
		return err
	}
	s.mu.Lock()
	s.run = nil
	s.mu.Unlock()
	s.Show(source)
	return nil
}

// begin makes a run the one that is shown.
func (s *Server) begin(r *run) error {
	if err := s.leave(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.life.Err() != nil {
		s.mu.Unlock()
		return conflict("the program is ending")
	}
	s.runs++
	r.id = s.runs
	s.run = r
	s.mu.Unlock()
	s.tell()
	return nil
}

func (s *Server) current() *run {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.run
}

// errStopped and errLeft are why the user ends what is under way.
var (
	errStopped = errors.New("it was stopped on the page")
	errLeft    = errors.New("the page has turned to something else")
)

// postRun plays the text that the page holds, saved or not.
func (s *Server) postRun(r *http.Request) (any, error) {
	body, err := readJSON[struct {
		Text    string    `json:"text"`
		On      string    `json:"on"`
		Variant string    `json:"variant"`
		Seed    *uint64   `json:"seed"`
		Pace    float64   `json:"pace"`
		Load    plainLoad `json:"load"`
		// Factor multiplies the rate and users of the load.
		Factor float64 `json:"factor"`
	}](r)
	if err != nil {
		return nil, err
	}
	if !slices.Contains([]string{OnVirtual, OnLocal, OnKind, OnCluster}, body.On) {
		return nil, badRequest("the page cannot play on %q: choose virtual, local, kind or cluster", body.On)
	}
	if body.Pace < 0 || body.Pace > 1000 || body.Pace > 0 && body.On != OnVirtual {
		return nil, badRequest("a pace of %v is not possible on %s: the pace is of virtual time, from 0, which is at once, to 1000", body.Pace, body.On)
	}
	if body.Load.Rate < 0 || body.Load.Seconds < 0 || body.Load.Rate > 100_000 || body.Load.Seconds > 86_400 || body.Load.Rate > 0 && body.Load.Seconds == 0 {
		return nil, badRequest("a load of %v requests a second for %v s is not possible: write up to 100000 a second, and up to a day", body.Load.Rate, body.Load.Seconds)
	}
	e, err := toPlay(s.name(), body.Text, body.Variant, body.Load)
	if err != nil {
		return nil, err
	}
	if body.Seed != nil {
		e.Seed = *body.Seed
	}
	if err := scaleLoad(e, body.Factor); err != nil {
		return nil, err
	}
	return s.play(e, body.Text, body.On, body.Pace)
}

// toPlay is the experiment of a text, with a variant applied.
func toPlay(name, text, variant string, p plainLoad) (*experiment.Experiment, error) {
	docs, err := readText(name, text)
	if err != nil {
		return nil, &refusal{http.StatusUnprocessableEntity, err}
	}
	e, _, err := experimentOf(docs, p)
	if err != nil {
		return nil, &refusal{http.StatusUnprocessableEntity, err}
	}
	if variant == "" {
		return e, nil
	}
	chosen, err := e.Select([]string{variant})
	if err != nil {
		return nil, &refusal{http.StatusUnprocessableEntity, err}
	}
	applied, problems := e.Apply(chosen[0])
	if err := problems.Err(); err != nil {
		return nil, &refusal{http.StatusUnprocessableEntity, fmt.Errorf("variant %q: %w", variant, err)}
	}
	return &applied, nil
}

// scaleLoad multiplies the load; 0 and 1 leave it as it is.
func scaleLoad(e *experiment.Experiment, factor float64) error {
	if factor == 0 || factor == 1 {
		return nil
	}
	if factor < 0 || factor > 1000 {
		return badRequest("a load times %v is not possible: choose a factor above 0, up to 1000", factor)
	}
	multiplyLoad(e, factor)
	if err := e.Validate().Err(); err != nil {
		return &refusal{http.StatusUnprocessableEntity, fmt.Errorf("the load times %v: %w", factor, err)}
	}
	return nil
}

// multiplyLoad multiplies rates and users.
func multiplyLoad(e *experiment.Experiment, factor float64) {
	phases := append(e.Load.Phases[:0:0], e.Load.Phases...)
	for i := range phases {
		p := &phases[i]
		p.Rate *= factor
		if p.RateTo != nil {
			to := *p.RateTo * factor
			p.RateTo = &to
		}
		if p.Sine != nil {
			sine := *p.Sine
			sine.Amplitude *= factor
			p.Sine = &sine
		}
		p.Users = scaledUsers(p.Users, factor)
		if p.UsersTo != nil {
			to := scaledUsers(*p.UsersTo, factor)
			p.UsersTo = &to
		}
	}
	e.Load.Phases = phases
}

// scaledUsers keeps at least one user of those that there are.
func scaledUsers(n int, factor float64) int {
	if n == 0 {
		return 0
	}
	return max(1, int(float64(n)*factor+0.5))
}

// play begins to play the experiment of a text, and returns at once.
func (s *Server) play(e *experiment.Experiment, text, on string, pace float64) (any, error) {
	planned, err := plannedIDs(e)
	if err != nil {
		return nil, &refusal{http.StatusUnprocessableEntity, err}
	}
	graph := NewGraph(&e.System)
	ctx, cancel := context.WithCancelCause(s.life)
	r := &run{
		kind: played, drawn: graph, on: on, name: e.Name, variant: e.AppliedVariant, seed: e.Seed, system: &e.System, text: text, graph: graph, series: NewSeries(graph, true),
		cancel: cancel, state: starting, faults: plannedViews(e), planned: planned, load: liveLoad{profile: e.Load, factor: 1},
	}
	if err := s.begin(r); err != nil {
		cancel(nil)
		return nil, err
	}
	s.work.Go(func() {
		defer cancel(nil)
		order := Order{
			Experiment: *e, On: on, Pace: pace,
			Observe:   func(event runner.Event) { r.observe(event); s.tellAbout(event) },
			Progress:  func(line string) { r.progressed(line); s.tell() },
			Deployed:  r.deployed,
			Described: r.described,
			Loads:     r.loads,
			Traced:    r.traced,
			Logged:    r.logged,
			Sends:     r.sends,
			Complete:  r.complete,
		}
		watching, stop := context.WithCancel(ctx)
		var watch sync.WaitGroup
		watch.Go(func() { r.watchFaults(watching) })
		watch.Go(func() { r.watchChanges(watching, s.tell) })
		res, err := s.config.Worlds.Play(ctx, order)
		stop()
		watch.Wait()
		r.finish(res, causeOf(ctx, err))
		s.remember(r)
		s.note(r.leftover())
		s.tell()
	})
	return r.view(), nil
}

// causeOf prefers the reason why a context ended to the mere fact.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && errors.Is(err, context.Canceled) && cause != nil {
		var left *runner.CleanupError
		if errors.As(err, &left) {
			return errors.Join(cause, left)
		}
		return cause
	}
	return err
}

// tellAbout wakes the pages where they have something new to show at once; the rest
// they are told each second.
func (s *Server) tellAbout(event runner.Event) {
	switch event.(type) {
	case runner.LoadBegun, runner.FaultApplied, runner.FaultCleared, runner.CleaningUp, runner.ClientSampled:
		s.tell()
	}
}

// observe takes in an event of the runner.
func (r *run) observe(event runner.Event) {
	switch event := event.(type) {
	case runner.ServiceSampled:
		r.series.Service(serviceRow(event.At.Seconds(), &event.Sample))
		return
	case runner.ClientSampled:
		r.series.Client(clientRow(&event.Second))
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch event := event.(type) {
	case runner.LoadBegun:
		r.state, r.zero, r.length, r.progress = running, event.At, event.Length.Seconds(), ""
		r.load.runs = true
	case runner.LoadEnded:
		r.load.runs = false
	case runner.PhaseBegun:
		r.phases = append(r.phases, phaseView{event.Name, event.At.Seconds()})
	case runner.FaultApplied:
		r.noteFault(&event.Record)
	case runner.FaultCleared:
		r.noteFault(&event.Record)
	case runner.CleaningUp:
		r.state = cleaning
		for _, h := range r.hands {
			h.clearAsked(time.Now())
		}
	}
}

// progressed notes what the target does.
func (r *run) progressed(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress = line
}

// deployed notes what faults can be added to.
func (r *run) deployed(d runner.Deployment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.injector = d
	r.changer, _ = d.(Changer)
}

// described notes where to ask what the system is.
func (r *run) described(d Description) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.description = d
}

// loads notes how the load is changed.
func (r *run) loads(change LoadChanger) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.load.change = change
}

// traced notes where single requests are found.
func (r *run) traced(requests Requests) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = requests
}

// logged notes where the log is found.
func (r *run) logged(log Log) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = log
}

// sends notes how requests are sent to the system.
func (r *run) sends(send Sender) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.send = send
}

// complete adds what was done by hand to the ground truth: faults, and changes of the
// system.
func (r *run) complete(res *result.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.hands {
		h.cleared(time.Now())
		res.Faults = append(res.Faults, h.record())
	}
	res.Changes = append(res.Changes, r.changes...)
}

// finish ends the run.
func (r *run) finish(res *result.Result, err error) {
	r.series.End()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state, r.injector, r.changer, r.send, r.result, r.err = done, nil, nil, nil, res, err
	r.load.change, r.silentSince = nil, time.Time{}
	if res == nil {
		return
	}
	for i := range res.Faults {
		if !r.isByHand(res.Faults[i].ID) {
			r.noteFault(&res.Faults[i])
		}
	}
}

// postStop ends what is under way.
func (s *Server) postStop(*http.Request) (any, error) {
	r := s.current()
	if r == nil || r.isDone() {
		return nil, conflict("nothing is being played")
	}
	r.cancel(errStopped)
	return r.view(), nil
}

// A runDetail is what the page needs once of a run, and its result at the end.
type runDetail struct {
	*runView
	Graph  *Graph           `json:"graph"`
	System *topology.System `json:"system,omitempty"`
	// Text is what the system of a run that is played was made from; empty if another
	// program has changed it.
	Text   string         `json:"text,omitempty"`
	Result *result.Result `json:"result,omitempty"`
	// Aside is how what runs differs from the text that the page has made it from.
	Aside *aside `json:"aside,omitempty"`
}

func (s *Server) getRun(*http.Request) (any, error) {
	r := s.current()
	if r == nil {
		return nil, &refusal{http.StatusNotFound, errors.New("nothing has been played yet")}
	}
	d := runDetail{runView: r.view()}
	r.mu.Lock()
	d.Graph, d.System, d.Text, d.Result, d.Aside = r.graph, r.system, r.text, r.result, r.aside
	r.mu.Unlock()
	return d, nil
}
