// Package account turns what happens in a run into its Result. An executor tells an
// Account what happens and when. The package reads no clock and starts no
// goroutine, so real and virtual time give the same Result if they tell the same.
package account

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault/timeline"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// An Origin says where a run takes place.
type Origin struct {
	// Target is the name of the target: local, kind, cluster or virtual.
	Target string
	// Versions holds the versions of this program and of what it runs on, by name.
	Versions    map[string]string
	Environment result.Environment
}

// An Account gathers what happens in one run of an experiment. An executor calls,
// in this order:
//
//   - Start, when the deployment begins;
//   - Begin, at the zero of elapsed times, when load and faults begin;
//   - EndLoad, when all requests have been answered or given up;
//   - BeginTail and EndTail, if the system is watched after its load;
//   - Finish, which returns the Result.
//
// In between, from several goroutines if it likes, it calls Outcome for each
// request of a client, Sample for each sample of a service, Replicas, the methods
// of Faults for changes of faults, and Second at the end of each second. It may
// call Finish at any time after Start, which cuts the run short.
type Account struct {
	experiment experiment.Experiment
	services   []string
	// length is the longest that the load may last.
	length   time.Duration
	faults   *FaultLog
	schedule *measure.Schedule
	clients  *measure.Clients
	samples  *measure.Services
	windows  *measure.Windows
	abort    *measure.AbortWatch
	idle     *idleness
	outages  *outages

	// mu guards the fields below.
	mu     sync.Mutex
	result *result.Result
	// zero is when load and faults began, from which elapsed times count; the zero
	// time until then.
	zero time.Time
	// phase is the index that NextPhase returned last; -1 before the first.
	phase int
	// alerts is what a Prometheus saw; nil if none watched.
	alerts *result.Alerts
	// before and after are what the processes of replicas had used at the start and
	// at the end of the load.
	before, after []measure.Process
	// last is when the last call of Second was, and earlier what had been counted
	// by then.
	last    time.Duration
	earlier measure.Tally
}

// New returns the account of a run that has not started. The experiment must be
// valid and its load must have its defaults. An error says why the faults cannot be
// planned.
func New(e experiment.Experiment, o Origin) (*Account, error) {
	plan, err := PlanFaults(&e)
	if err != nil {
		return nil, err
	}
	schedule := measure.NewSchedule(e.Load)
	length, _ := experiment.Length(e.Load)
	o.Environment.Stores, o.Environment.Runtimes = engines(&e.System), runtimes(&e.System)
	faults := NewFaultLog(plan)
	faults.schedule = schedule
	return &Account{
		experiment: e, services: measure.ServiceNames(&e.System), length: length, faults: faults, schedule: schedule,
		clients: measure.NewClients(schedule), samples: measure.NewServices(schedule), windows: measure.NewWindows(e.Window.Std()),
		abort: measure.NewAbortWatch(e.AbortOn, e.AbortWindow), idle: newIdleness(&e), outages: newOutages(faults), phase: -1,
		result: &result.Result{
			APIVersion: result.ResultVersion, Kind: result.ResultKind, Name: e.Name, Title: e.Title, Doc: e.Doc, Variant: e.AppliedVariant, Seed: e.Seed,
			Target: o.Target, Versions: o.Versions, Environment: o.Environment,
			Checks: []result.CheckResult{}, Faults: []result.FaultRecord{}, Recoveries: []result.Recovery{}, Segments: []result.Segment{},
		},
	}, nil
}

// engines returns the engines of a system's data stores, by name; nil if it has
// none.
func engines(system *topology.System) map[string]topology.Engine {
	var byName map[string]topology.Engine
	for _, name := range system.Stores() {
		if byName == nil {
			byName = map[string]topology.Engine{}
		}
		byName[name] = system.Service(name).StoreSettings().Engine
	}
	return byName
}

// runtimes returns, by service, the programs other than the agent that serve a
// system's services; nil if there are none.
func runtimes(system *topology.System) map[string]topology.RuntimeName {
	var byName map[string]topology.RuntimeName
	for i := range system.Services {
		if r, foreign := system.Services[i].Foreign(); foreign {
			if byName == nil {
				byName = map[string]topology.RuntimeName{}
			}
			byName[system.Services[i].Name] = r.Name
		}
	}
	return byName
}

// PlanFaults plans when the faults of an experiment come and go, with their ids. It leaves
// out faults that would begin after the load and its tail.
func PlanFaults(e *experiment.Experiment) (*timeline.Plan, error) {
	length, _ := experiment.Length(e.Load)
	plan, err := timeline.New(e.Faults, timeline.Options{Length: length + e.Tail.Std(), Seed: e.Seed, Name: numberedID})
	if err != nil {
		return nil, fmt.Errorf("planning the faults of experiment %q: %w", e.Name, err)
	}
	return plan, nil
}

// numberedID is the id of a fault in a run: its type, its place in the file and, if
// it picks victims, its round.
func numberedID(w *timeline.Window) string {
	id := fmt.Sprintf("%s-%d", w.Fault.Type, w.Index+1)
	if w.Victim != "" {
		id += fmt.Sprintf("-r%d", w.Round+1)
	}
	return id
}

// Faults returns the log of the faults, to which an executor writes each change.
// Its plan says when to make each change.
func (a *Account) Faults() *FaultLog { return a.faults }

// Length returns the longest that the load may last.
func (a *Account) Length() time.Duration { return a.length }

// Start notes when the deployment began.
func (a *Account) Start(at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.result.Started = at.UTC()
}

// Begin sets the zero of elapsed times: load and faults begin now.
func (a *Account) Begin(at time.Time) {
	a.faults.Begin(at)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.zero = at
	a.result.LoadStarted = at.UTC()
}

// along returns a moment by the wall clock as it stood at an earlier one, from. The wall
// clock may have been set in between, and spans are measured with a clock that cannot be
// set, so the times and spans of one result would disagree. A moment that another machine
// told stays as it is. A zero moment, and any moment before a zero from, only become UTC.
func along(from, at time.Time) time.Time {
	if from.IsZero() || at.IsZero() {
		return at.UTC()
	}
	return from.Add(at.Sub(from)).UTC()
}

// elapsed returns how long after the zero a moment is; false if the load has not
// begun.
func (a *Account) elapsed(at time.Time) (time.Duration, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return at.Sub(a.zero), !a.zero.IsZero()
}

// Outcome counts a request of the load that has ended. Many goroutines may call it
// at once.
func (a *Account) Outcome(o measure.Outcome) {
	a.clients.Observe(o)
	a.windows.ObserveClient(o)
}

// Sample counts what a service did. It returns the elapsed time of the sample and
// the index of the load's phase to which the sample belongs, or the number of phases
// after the load's last answer. If the load has not begun, it ignores the sample and
// returns false.
func (a *Account) Sample(sample *measure.Sample) (at time.Duration, phase int, counts bool) {
	at, loading := a.elapsed(sample.At)
	if !loading {
		return 0, 0, false
	}
	middle := max(0, at-sample.Interval()/2)
	a.samples.Observe(at, sample)
	a.windows.ObserveService(middle, sample)
	a.abort.ObserveService(middle, sample)
	a.idle.observe(sample)
	return at, a.schedule.SamplePhase(middle), true
}

// Replicas notes the states of all replicas at a moment, and returns the outages
// that began or ended since the last call.
func (a *Account) Replicas(at time.Time, replicas []Replica) []Outage {
	a.mu.Lock()
	zero := a.zero
	a.mu.Unlock()
	looked := slices.Clone(replicas)
	for i := range looked {
		r := &looked[i]
		r.Since, r.Detected = along(zero, r.Since), along(zero, r.Detected)
	}
	return a.outages.look(along(zero, at), looked)
}

// A Phase says that a phase of the load has begun, at which elapsed time.
type Phase struct {
	At    time.Duration
	Index int
	Name  string
}

// NextPhase returns the phase to which a moment belongs, or false if it has
// returned that phase before. Later calls of Second count for that phase.
func (a *Account) NextPhase(at time.Time) (p Phase, begun bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := at.Sub(a.zero)
	i := a.schedule.Phase(now)
	if i <= a.phase {
		return Phase{}, false
	}
	a.phase = i
	return Phase{At: now, Index: i, Name: a.experiment.Load.Phases[i].Name}, true
}

// Second ends a second of the clients, which may be shorter, and returns the
// requests that ended in it. It also returns the first condition of abortOn that
// holds, or nil; an executor that obeys it ends the load and calls Abort.
func (a *Account) Second(at time.Time) (result.ClientSecond, *result.Abort) {
	a.mu.Lock()
	defer a.mu.Unlock()
	total := a.clients.Sum()
	delta := total.Since(&a.earlier)
	now := at.Sub(a.zero)
	second := delta.Second(now, (now - a.last).Seconds(), a.phase)
	a.earlier, a.last = total, now
	return second, a.abort.Judge(now, total, a.services)
}

// Abort notes that a condition of the experiment has ended the load.
func (a *Account) Abort(abort *result.Abort) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.result.Aborted = abort
}

// Alerts notes what a Prometheus saw of the run; nil means that none watched it.
func (a *Account) Alerts(seen *result.Alerts) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.alerts = seen
}

// StoodStill notes that the program which runs the experiment did not run itself.
func (a *Account) StoodStill(from, to time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.result.Standstills = append(a.result.Standstills, result.Standstill{From: from.Sub(a.zero).Seconds(), To: to.Sub(a.zero).Seconds()})
}

// EndLoad notes the report of the load; nil means that there is none.
func (a *Account) EndLoad(report *result.LoadReport) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.result.Load = report
}

// Processes notes what the processes of replicas had used before the load began, and
// after it had ended.
func (a *Account) Processes(before, after []measure.Process) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.before, a.after = before, after
}

// BeginTail notes that the load has ended and the system is watched on. It returns
// until when to watch at most: an executor ends the watching earlier if Idle
// reports true.
func (a *Account) BeginTail() (until time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	length := a.loadLength()
	end := a.zero.Add(length)
	a.schedule.SetLoadEnd(length)
	a.schedule.SetLastAnswer(a.clients.Until(length))
	a.idle.begin(end)
	return end.Add(a.experiment.Tail.Std())
}

// Idle reports whether, since the end of the load, samples have shown that the
// system is idle.
func (a *Account) Idle() bool { return a.idle.found() }

// EndTail notes when the watching ended.
func (a *Account) EndTail(at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	tail := a.idle.tail(at)
	a.result.Tail = &tail
}

// Finish closes the account and returns the Result. err says why the run was cut
// short; nil means that it was not. Do not call other methods after Finish.
func (a *Account) Finish(at time.Time, err error) *result.Result {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.result
	r.Started, r.Ended = along(a.zero, r.Started), along(a.zero, at)
	if err != nil {
		r.Incomplete, r.Why = true, err.Error()
	} else if r.Aborted != nil {
		r.Incomplete, r.Why = true, r.Aborted.Why
	}
	r.Faults = a.faults.Records()
	r.Recoveries = a.outages.list()
	if !a.zero.IsZero() {
		a.measure()
	}
	r.SetAlerts(a.alerts)
	r.Judge(a.experiment.Checks)
	r.Passed = r.Passed && err == nil && r.Aborted == nil
	return r
}

// measure computes the figures of the Result. The caller holds mu.
func (a *Account) measure() {
	r, end := a.result, a.loadLength()
	cut := &measure.Segmenter{
		System: &a.experiment.System, Schedule: a.schedule, Clients: a.clients, Services: a.samples,
		LoadStarted: r.LoadStarted, Recoveries: r.Recoveries, Tail: r.Tail,
	}
	r.Segments = cut.Segments(end)
	r.Processes = measure.Processes(&a.experiment.System, a.before, a.after, r.Segments[0].Services)
	r.Timeline = a.clients.Timeline(end)
	until := a.clients.Until(end)
	if r.Tail != nil {
		until = max(until, end+time.Duration(r.Tail.Length*1e9))
	}
	r.Windows = a.windows.List(a.services, until)
}

// loadLength is the elapsed time until which requests were sent: the planned
// length, unless the load was cut short or ended by a count. The wait for the last
// answers does not belong to the load. The caller holds mu.
func (a *Account) loadLength() time.Duration {
	report := a.result.Load
	if report == nil {
		return min(a.result.Ended.Sub(a.result.LoadStarted), a.length)
	}
	counted := slices.ContainsFunc(a.experiment.Load.Phases, func(p load.Phase) bool { return p.Count > 0 })
	if counted || a.result.Incomplete {
		return min(report.Elapsed, a.length)
	}
	return a.length
}
