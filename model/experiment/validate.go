package experiment

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/program"
	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// MaxLength bounds a run whose load ends only by a count.
const MaxLength = load.MaxDuration

// Validate returns every mistake in an experiment whose load has its defaults.
// Paths are those of its JSON form: faults[1].target.service.
func (e *Experiment) Validate() (problems problem.List) {
	problems.CheckLabel("name", e.Name)
	problems.Under("system", e.System.Validate())
	problems.Under("load", e.Load.Validate())
	v := validator{experiment: e, services: map[string]*topology.Service{}, edges: map[[2]string]bool{}}
	for i := range e.System.Services {
		v.services[e.System.Services[i].Name] = &e.System.Services[i]
	}
	for _, edge := range e.System.Edges() {
		v.edges[[2]string{edge.From.Service, edge.To.Service}] = true
	}
	v.length, v.bounded = Length(e.Load)
	v.checkRequests()
	v.checkPhases()
	v.checkFaults()
	v.checkChecks("checks", e.Checks)
	v.checkAlerts()
	v.checkAborts()
	v.checkTexts()
	v.checkSpans()
	v.checkTimeouts()
	problems = append(problems, v.problems...)
	if len(problems) == 0 {
		// Each variant is validated as a whole, which needs an experiment without
		// mistakes.
		problems = e.validateVariants()
	}
	return problems
}

// Length returns the longest time that the load may last. It returns false if a
// phase ends only by its count, because then the length is not known in advance.
func Length(profile load.Profile) (time.Duration, bool) {
	var length time.Duration
	for _, p := range profile.Phases {
		if p.Duration <= 0 {
			return MaxLength, false
		}
		length += p.Duration.Std()
	}
	return length, true
}

type validator struct {
	experiment *Experiment
	services   map[string]*topology.Service
	edges      map[[2]string]bool
	length     time.Duration
	bounded    bool
	problems   problem.List
}

func (v *validator) checkRequests() {
	for i, r := range v.experiment.Load.Requests {
		if r.Service == "" {
			continue
		}
		path := problem.Index("load.requests", i)
		svc := v.service(path+".service", r.Service)
		if svc != nil && svc.Kind.IsStore() {
			v.problems.AddHint(path+".service", "name a service that calls it", "service %q is a data store, which takes no requests", r.Service)
		} else if svc != nil && r.Endpoint != "" {
			v.endpoint(path+".endpoint", svc, r.Method, r.Endpoint)
		}
	}
}

func (v *validator) checkPhases() {
	for i, p := range v.experiment.Load.Phases {
		if IsFaultPart(p.Name) || p.Name == AfterLoad {
			v.problems.AddHint(problem.Index("load.phases", i)+".name", "choose another name",
				"%q names a part of every run", p.Name)
		}
		if p.Endless() {
			v.problems.AddHint(problem.Index("load.phases", i)+".duration", "give it a duration or a count", "the run would never end")
		}
	}
}

func IsFaultPart(name string) bool { return name == Before || name == During || name == After }

func (v *validator) checkFaults() {
	named := map[string]int{}
	for i := range v.experiment.Faults {
		f := &v.experiment.Faults[i]
		path := problem.Index("faults", i)
		v.problems.Under(path, f.Validate())
		if f.Name != "" {
			if j, dup := named[f.Name]; dup {
				v.problems.AddHint(path+".name", "give each fault its own name", "fault %q is already described at faults[%d]", f.Name, j)
			} else {
				named[f.Name] = i
			}
		}
		v.checkTarget(path, f)
		v.checkWindow(path, f)
	}
}

func (v *validator) checkTarget(path string, f *fault.Fault) {
	if f.Rounds != nil {
		for j, victim := range f.Rounds.Victims {
			if victim != fault.Nobody {
				if svc := v.service(path+"."+problem.Index("rounds.victims", j), victim); svc != nil {
					if err := cmp.Or(store.Can(svc, f), program.Can(svc, nil, f)); err != nil {
						v.problems.Add(path+"."+problem.Index("rounds.victims", j), "%v", err)
					}
				}
			}
		}
	}
	t := f.Target
	if t.Service == "" {
		return
	}
	svc := v.service(path+".target.service", t.Service)
	if t.From != "" && v.service(path+".target.from", t.From) != nil && svc != nil {
		v.edge(path+".target.from", t.From, t.Service)
	}
	if svc == nil {
		return
	}
	if err := cmp.Or(store.Can(svc, f), program.Can(svc, v.services[t.From], f)); err != nil {
		message, hint, _ := strings.Cut(err.Error(), "; ")
		v.problems.AddHint(path+".type", hint, "%s", message)
	}
	if t.Replica > svc.Replicas {
		v.problems.AddHint(path+".target.replica", replicaHint(svc.Replicas), "service %q has no replica %d", t.Service, t.Replica)
	}
	if t.Endpoint != "" {
		v.endpoint(path+".target.endpoint", svc, "", t.Endpoint)
	}
}

func replicaHint(n int) string {
	switch n {
	case 0:
		return "it has none"
	case 1:
		return "it has one; leave replica out"
	}
	return fmt.Sprintf("it has 1 to %d; leave replica out for all", n)
}

// checkWindow refuses a fault that reaches beyond the end of the run. A file may
// leave the duration out, so a duration beyond the end is a mistake.
func (v *validator) checkWindow(path string, f *fault.Fault) {
	if !v.bounded || v.length == 0 || f.Start < 0 || f.Duration < 0 {
		return
	}
	start, where := f.Start.Std(), ".start"
	if r := f.Rounds; r != nil && r.Count > 0 && r.Interval > 0 && start < v.length {
		// Compared by division, since the product may overflow.
		if time.Duration(r.Count-1) > (v.length-1-start)/r.Interval.Std() {
			v.problems.AddHint(path+".rounds.count", "take fewer rounds, shorten the interval, or lengthen a phase",
				"%d rounds every %s do not fit into the run of %s", r.Count, r.Interval, v.length)
			return
		}
		start, where = start+time.Duration(r.Count-1)*r.Interval.Std(), ".duration"
	}
	switch {
	case start >= v.length:
		v.problems.AddHint(path+where, "begin earlier, or lengthen a phase of the load", "the fault would begin at %s, but the run ends at %s", start, v.length)
	case f.Duration.Std() > v.length-start:
		v.problems.AddHint(path+".duration", "leave it out to let the fault act until the end",
			"the fault would end after the run, which ends at %s", v.length)
	}
}

func (v *validator) checkChecks(list string, checks []Check) {
	for i, c := range checks {
		path := problem.Index(list, i)
		condition, err := ParseCheck(c.Expr)
		if err != nil {
			v.problems.Add(path+".check", "%s", err.Error())
		} else if hint := c.misfit(condition); hint != "" {
			v.problems.AddHint(path+".check", hint, "check %q cannot be judged for %s", c.Expr, c.Subject())
		}
		if condition.Fault != "" {
			v.checkFaultOf(path, condition)
		}
		v.checkSubject(path, c)
		v.checkTold(path, c, condition)
		if condition.Metric.isOfStores() {
			v.checkStoreFigure(path, c, condition.Metric)
		}
		v.checkPhase(path, c.Phase)
	}
}

// misfit says why the subject does not have a figure; empty if it has.
func (c Check) misfit(condition Condition) string {
	m := condition.Metric
	switch {
	case m.IsAboutAlerts() && c.From != "":
		return "alerts have the label service and no caller; leave from out"
	case m.IsAboutAlerts() && c.Phase != "":
		return "it is known of the whole run only; leave phase out"
	case c.Service != "" && (m == Min || m == Max):
		return "services count latencies in buckets; use p999 or mean"
	case c.Service != "" && c.From == "" && condition.Class != "":
		return "a service counts requests and errors; ask about an edge by from, or about the clients"
	case (m == Attempts || m == Fallbacks) && c.From == "":
		return "calls have it; name the caller by from and the callee by service"
	case m.isOfStores() && (c.Service == "" || c.From != ""):
		return "a data store counts it; name the store by service, without from"
	case m == Offered && c.Service != "":
		return "only the load's clients know when a request was to start; leave service out, or ask for rate"
	case c.Phase == AfterLoad && c.Service == "" && !m.isSpan():
		return "the clients send nothing in the tail; name a service"
	case m == TailTime && c.Service != "":
		return "it is known of the whole system only; leave service out"
	case m.isSpan():
		if c.From != "" {
			return "replicas fall, not edges; leave from out"
		}
		if c.Phase != "" {
			return "it is known of the whole run only; leave phase out"
		}
	}
	return ""
}

func (v *validator) checkSubject(path string, c Check) {
	switch {
	case c.From != "" && c.Service == "":
		v.problems.AddHint(path+".service", "name the service that is called, beside from", "the edge from %q leads nowhere", c.From)
		v.service(path+".from", c.From)
	case c.Service != "":
		svc := v.service(path+".service", c.Service)
		if c.From != "" && v.service(path+".from", c.From) != nil && svc != nil {
			v.edge(path+".from", c.From, c.Service)
		}
	}
}

// checkTold refuses figures of programs that report none, which are the programs
// that are not of this project.
func (v *validator) checkTold(path string, c Check, condition Condition) {
	subject, hint := c.From, "ask about edges to it"
	if subject == "" {
		subject, hint = c.Service, "ask about an edge by from"
	}
	if svc := v.services[subject]; svc != nil && !svc.ObeysContract() && !condition.Metric.isSpan() {
		v.problems.AddHint(path+".check", hint, "check %q cannot be judged for %s: its program is not of this project and tells no figures", c.Expr, subject)
	}
}

// checkStoreFigure refuses figures that a data store does not report.
func (v *validator) checkStoreFigure(path string, c Check, m Metric) {
	svc := v.services[c.Service]
	switch {
	case svc == nil:
	case !svc.Kind.IsStore():
		v.problems.AddHint(path+".check", "name a data store, such as one of kind redis", "check %q cannot be judged for %s: it is a service of kind %s", c.Expr, c.Service, svc.Kind)
	case m == Lag && svc.Kind != topology.Kafka:
		v.problems.AddHint(path+".check", "name a store of kind kafka, which has consumers", "check %q cannot be judged for %s: it is a store of kind %s", c.Expr, c.Service, svc.Kind)
	case m != Lag && svc.StoreSettings().Engine == topology.Real: // of which the relay asks for lags
		v.problems.AddHint(path+".check", "write engine: embedded, or ask about an edge by from", "check %q cannot be judged for %s: a real server does not tell it", c.Expr, c.Service)
	}
}

func (v *validator) checkPhase(path, phase string) {
	if phase == "" {
		return
	}
	if phase == AfterLoad {
		if v.experiment.Tail == 0 {
			v.problems.AddHint(path+".phase", "write tail: 30s at the experiment to watch the system after its load", "the run has no tail")
		}
		return
	}
	if IsFaultPart(phase) {
		if len(v.experiment.Faults) == 0 {
			v.problems.AddHint(path+".phase", "leave it out, or describe faults", "there is no time %s the faults, because there are none", phase)
		}
		return
	}
	var names []string
	for _, p := range v.experiment.Load.Phases {
		names = append(names, p.Name)
	}
	if !slices.Contains(names, phase) {
		known := append(slices.DeleteFunc(names, func(s string) bool { return s == "" }), Before, During, After)
		v.problems.AddHint(path+".phase", "known are "+strings.Join(known, ", "), "there is no phase %q", phase)
	}
}

func (v *validator) service(path, name string) *topology.Service {
	svc := v.services[name]
	if svc == nil {
		v.problems.AddHint(path, v.knownServices(), "%q is not a service of the system", name)
	}
	return svc
}

// knownServices lists the names of services for a hint, if they are few.
func (v *validator) knownServices() string {
	services := v.experiment.System.Services
	if len(services) == 0 || len(services) > 20 {
		return "name one of system.services"
	}
	var names []string
	for i := range services {
		names = append(names, services[i].Name)
	}
	return "known are " + strings.Join(names, ", ")
}

// endpoint refuses a path that the service does not answer.
func (v *validator) endpoint(path string, svc *topology.Service, method, endpoint string) {
	if answers(svc, method, endpoint) {
		return
	}
	v.problems.AddHint(path, otherEndpoints(svc), "service %q has no endpoint %q", svc.Name, strings.TrimSpace(method+" "+endpoint))
}

// edge refuses a pair of services of which one never calls the other. With
// chains in the load any service may call any other.
func (v *validator) edge(path, from, to string) {
	if v.edges[[2]string{from, to}] {
		return
	}
	for _, r := range v.experiment.Load.Requests {
		if r.Chain != "" {
			return
		}
	}
	hint := "it calls nothing"
	if calls := v.services[from].Calls(); len(calls) > 0 {
		hint = "it calls " + strings.Join(calls, ", ")
	}
	v.problems.AddHint(path, hint, "service %q does not call %q", from, to)
}
