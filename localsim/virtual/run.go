package virtual

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/des"
	"github.com/microsim-dev/kubectl-microsim/model/exec"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/account"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// Target is the target in results of virtual runs.
const Target = "virtual"

// Run plays an experiment in virtual time, as fast as it can. Equal experiments,
// seeds and options have equal results, on every machine.
//
// A run that ctx or a limit cuts short returns that error, and a result that is
// marked incomplete; the result is nil only if nothing was started. A check that
// fails is not an error. A fault without a meaning in virtual time is an error before
// anything starts.
func Run(ctx context.Context, e experiment.Experiment, o Options) (*result.Result, error) {
	e.Load = e.Load.WithDefaults()
	if err := e.Validate().Err(); err != nil {
		return nil, fmt.Errorf("checking experiment %q: %w", e.Name, err)
	}
	r, err := newRun(e, &o)
	if err != nil {
		return nil, err
	}
	res, err := r.play(ctx)
	r.emit(runner.Done{Result: res, Err: err})
	return res, err
}

// Check returns why an experiment cannot be played in virtual time on a machine, or
// nil if it can.
func Check(e experiment.Experiment, m Machine) error {
	e.Load = e.Load.WithDefaults()
	if err := e.Validate().Err(); err != nil {
		return fmt.Errorf("checking experiment %q: %w", e.Name, err)
	}
	_, err := newRun(e, &Options{Machine: m})
	return err
}

// A running is one run.
type running struct {
	*world
	options *Options
	account *account.Account
	plan    []planStep
	active  []bool

	loaded, watching, done, aborted bool
	sampled, diskUsed               time.Duration
	secondAt                        time.Duration
	secondTimer                     des.Timer
	err                             error
	began                           time.Time // of the real clock
}

type planStep struct {
	window int
	clear  bool
}

func newRun(e experiment.Experiment, o *Options) (*running, error) {
	var errs []error
	if what := e.NeedsPrometheus(); what != "" {
		errs = append(errs, fmt.Errorf("%s, and there is none in virtual time: write --on local --prometheus PATH, or leave it out", what))
	}
	for i := range e.Faults {
		if err := CanInject(&e, &e.Faults[i]); err != nil {
			errs = append(errs, fmt.Errorf("fault %q is not possible on target %q: %w", e.Faults[i].Label(), Target, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	w, err := newWorld(&e, o)
	if err != nil {
		return nil, err
	}
	profile := e.Load
	if len(profile.Requests) == 0 {
		for _, name := range e.System.Entries() {
			profile.Requests = append(profile.Requests, load.Request{Service: name})
		}
		profile = profile.WithDefaults()
	}
	if w.clients, err = newClients(w, profile); err != nil {
		return nil, fmt.Errorf("playing experiment %q: %w", e.Name, err)
	}
	var entries []string
	for i := range w.clients.sources {
		entries = append(entries, w.clients.sources[i].service.name)
	}
	w.record = newRecord(w, entries)
	r := &running{world: w, options: o}
	// Do not note the machine that computes the run, because it has no influence.
	where := result.Environment{OS: Target, Arch: Target, CPUs: int(w.machine.Cores), Costs: o.Costs}
	if where.Costs == nil {
		where.Costs = &result.Costs{Of: result.UsualCosts}
	}
	if r.account, err = account.New(e, account.Origin{Target: Target, Versions: o.Versions, Environment: where}); err != nil {
		return nil, err
	}
	plan := r.account.Faults().Plan()
	r.active = make([]bool, len(plan.Windows))
	w.clients.over = r.loadOver
	w.clients.observe = r.account.Outcome
	if o.Outcome != nil {
		w.clients.observe = func(out measure.Outcome) {
			r.account.Outcome(out)
			o.Outcome(out)
		}
	}
	for i, s := range plan.Steps {
		r.plan = append(r.plan, planStep{s.Window, s.Clear})
		w.k.At(s.At, event{faultStep, int32(i), 0})
	}
	return r, nil
}

func (r *running) emit(e runner.Event) {
	if r.options.Observer != nil {
		r.options.Observer(e)
	}
}

// at returns the present time on the calendar.
func (r *running) at() time.Time { return Epoch.Add(r.now()) }

func (r *running) play(ctx context.Context) (*result.Result, error) {
	r.began = time.Now()
	r.account.Start(Epoch)
	r.emit(runner.Deploying{System: r.exp.System.Name, Target: Target})
	r.emit(runner.Deployed{Replicas: r.listReplicas()})
	r.account.Begin(Epoch)
	var phases []string
	for i := range r.exp.Load.Phases {
		phases = append(phases, r.exp.Load.Phases[i].Name)
	}
	r.emit(runner.LoadBegun{At: Epoch, Length: r.account.Length(), Phases: phases})
	r.look()
	r.nextPhase()
	r.secondAt = time.Second
	r.secondTimer = r.k.At(r.secondAt, event{kind: secondOver})
	r.clientsBegin() //nolint:contextcheck // it writes lines of logs to a buffer
	r.loop(ctx)
	return r.finish() //nolint:contextcheck // as above
}

// clientsBegin begins the load, after the faults of the first moment.
func (r *running) clientsBegin() {
	for r.k.NextAt() == 0 {
		e, _ := r.k.Next(0)
		r.step(e)
	}
	r.clients.begin()
	r.retime()
}

// lookEvery is the number of events between two looks at ctx and the real clock.
const lookEvery = 8192

// loop handles events until the run is over.
func (r *running) loop(ctx context.Context) {
	told := r.began
	for n := 0; !r.done && r.err == nil; n++ {
		if n%lookEvery == 0 || r.options.Pace > 0 {
			if ctx.Err() != nil {
				r.err = fmt.Errorf("the run was interrupted after %s of virtual time: %w", r.now().Round(time.Millisecond), context.Cause(ctx))
				return
			}
			if now := time.Now(); r.options.Progress != nil && now.Sub(told) >= 100*time.Millisecond {
				told = now
				r.progress(now)
			}
		}
		if r.options.Pace > 0 && !r.keepPace(ctx) {
			continue // ctx has ended
		}
		e, ok := r.k.Next(exec.Never)
		if !ok {
			r.err = errors.New("nothing is left to happen, and the run is not over: this is an error of the program")
			return
		}
		r.step(e) //nolint:contextcheck // as above
		if r.world.err != nil {
			r.err = r.world.err
		}
	}
	if r.options.Progress != nil {
		r.progress(time.Now())
	}
}

// keepPace waits until the next event is due at the pace of the run. It returns
// false if ctx ends before.
func (r *running) keepPace(ctx context.Context) bool {
	wait := time.Until(r.began.Add(time.Duration(float64(r.k.NextAt()) / r.options.Pace)))
	if wait < time.Millisecond {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (r *running) progress(now time.Time) {
	r.options.Progress(Progress{Virtual: r.now(), Length: r.account.Length() + r.exp.Tail.Std(), Real: now.Sub(r.began), Events: r.k.Fired()})
}

// step handles one event, within the limits.
func (r *running) step(e event) {
	if r.instantAt != r.now() {
		r.instantAt, r.instant = r.now(), 0
	}
	if r.instant++; r.instant > r.limits.Instant || r.limits.Events > 0 && r.k.Fired() > r.limits.Events {
		r.stuck(e)
		return
	}
	switch e.kind {
	case faultStep:
		if r.now() == r.secondAt { // end the second first, because its events happened before the change
			r.k.Cancel(r.secondTimer)
			r.second()
		}
		r.changeFault(r.plan[e.a])
	case secondOver:
		r.second()
	case tailOver:
		r.endTail()
	default:
		r.handle(e)
	}
	r.retime()
	if r.replicasChanged {
		r.replicasChanged = false
		r.look()
	}
}

// stuck stops a run that has reached a limit.
func (r *running) stuck(e event) {
	what := fmt.Sprintf("event %q", e.kind)
	if name := r.serviceOf(e); name != "" {
		what += fmt.Sprintf(" of service %q", name)
	}
	if r.limits.Events > 0 && r.k.Fired() > r.limits.Events {
		r.err = fmt.Errorf("stopping at %s of virtual time: more than %d events, the limit; the last was %s", r.now(), r.limits.Events, what)
		return
	}
	r.err = fmt.Errorf("stopping at %s of virtual time: %d events without any time passing, the last %s; give what it does a duration, or a retry a backoff", r.now(), r.limits.Instant, what)
}

// second ends a second: samples of the services, and the clients' figures.
func (r *running) second() {
	r.sample()
	if !r.loaded {
		second, abort := r.account.Second(r.at())
		r.record.addClients(r.world, &second)
		r.emit(runner.ClientSampled{Second: second})
		if abort != nil {
			r.account.Abort(abort)
			r.aborted = true
			r.clients.stop()
		} else {
			r.nextPhase()
		}
	}
	if r.watching && r.account.Idle() {
		r.endTail()
		return
	}
	if !r.done {
		r.secondAt += time.Second
		r.secondTimer = r.k.At(r.secondAt, event{kind: secondOver})
	}
}

// sample takes a sample of each service.
func (r *running) sample() {
	elapsed := r.now() - r.sampled
	if elapsed <= 0 {
		return
	}
	r.sampled = r.now()
	if r.options.Disk != nil {
		used := r.disk.Used(r.now())
		r.options.Disk(r.now(), elapsed, used-r.diskUsed)
		r.diskUsed = used
	}
	r.record.addMachine(r.world)
	for _, s := range r.services {
		sample := r.world.sample(s, r.at(), elapsed)
		r.record.add(r.world, s, &sample)
		sample.Last = r.done
		if at, phase, counts := r.account.Sample(&sample); counts {
			r.emit(runner.ServiceSampled{At: at, Phase: phase, Sample: sample})
		}
	}
}

func (r *running) nextPhase() {
	if p, begun := r.account.NextPhase(r.at()); begun {
		r.emit(runner.PhaseBegun{At: p.At, Index: p.Index, Name: p.Name})
	}
}

// loadOver is called when all requests have been answered or given up.
func (r *running) loadOver() {
	r.loaded = true
	second, _ := r.account.Second(r.at())
	r.record.addClients(r.world, &second)
	r.emit(runner.ClientSampled{Second: second})
	report, err := r.clients.report.Report(&r.clients.profile, Epoch, r.now(), r.clients.spans)
	if err != nil {
		r.err = err
		return
	}
	report.Incomplete = r.err != nil || r.aborted
	r.account.EndLoad(report)
	r.emit(runner.LoadEnded{At: r.now()})
	if r.exp.Tail == 0 || r.err != nil || r.aborted {
		r.done = true
		return
	}
	r.watching = true
	until := r.account.BeginTail()
	r.emit(runner.TailBegun{At: r.now(), Longest: r.exp.Tail.Std()})
	r.k.At(until.Sub(Epoch), event{kind: tailOver})
}

func (r *running) endTail() {
	if r.watching {
		r.watching, r.done = false, true
		r.account.EndTail(r.at())
	}
}

// changeFault makes one change of the plan.
func (r *running) changeFault(s planStep) {
	log := r.account.Faults()
	win := &log.Plan().Windows[s.window]
	if s.clear {
		r.clearFault(s.window)
		return
	}
	log.Asked(s.window, r.at())
	if win.Acts() {
		r.active[s.window] = true
		r.faults.apply(r.world, win)
	}
	rec := log.Applied(s.window, r.at())
	if win.Acts() {
		rec = log.Acting(s.window, r.faults.injections(r.world))
	}
	r.emit(runner.FaultApplied{Record: rec})
}

func (r *running) clearFault(i int) {
	log := r.account.Faults()
	win := &log.Plan().Windows[i]
	if r.active[i] {
		log.Acting(i, r.faults.injections(r.world))
		log.ClearAsked(i, r.at())
		r.faults.clear(r.world, win.ID)
		r.active[i] = false
	} else {
		log.ClearAsked(i, r.at())
	}
	if rec := log.Cleared(i, r.at()); rec.Applied() {
		r.emit(runner.FaultCleared{Record: rec})
	}
}

// look tells the account the states of the replicas.
func (r *running) look() {
	var list []account.Replica
	for _, x := range r.replicas {
		seen := account.Replica{
			Service: r.services[x.service].name, Index: x.number, Ready: x.ready(), Restarts: x.restarts, Since: Epoch.Add(x.since),
		}
		if x.detected != unnoticed {
			seen.Detected = Epoch.Add(x.detected)
		}
		list = append(list, seen)
	}
	for _, o := range r.account.Replicas(r.at(), list) {
		if o.Ended {
			r.emit(runner.ReplicaReady{Recovery: o.Recovery})
		} else {
			r.emit(runner.ReplicaDown{Recovery: o.Recovery})
		}
	}
}

func (r *running) listReplicas() []runner.Replica {
	var list []runner.Replica
	for _, x := range r.replicas {
		list = append(list, runner.Replica{Service: r.services[x.service].name, Index: x.number, State: runner.Ready, Since: Epoch})
	}
	return list
}

// finish makes the result.
func (r *running) finish() (*result.Result, error) {
	if r.err != nil && !r.loaded {
		r.clients.stop()
	}
	r.sample()
	r.look()
	for i := range r.active {
		if r.active[i] {
			r.clearFault(i)
		}
	}
	if r.err == nil {
		r.err = r.checkBooks()
	}
	res := r.account.Finish(r.at(), r.err)
	res.Explanation = r.record.explain(r.world, res)
	r.emit(runner.CleaningUp{System: r.exp.System.Name})
	if r.logger != nil {
		r.options.Logs(r.logger.store)
	}
	return res, r.err
}
