package experiment

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// A Variant is the experiment with some changes, for a comparison with others.
type Variant struct {
	// Name is a word of letters, digits, dots, plus signs and hyphens: it names
	// directories, too.
	Name string `json:"name"`
	Doc  string `json:"doc,omitempty"`
	// Set lists the changes of the system.
	Set []Patch `json:"set,omitempty"`
	// Faults names the faults of the experiment that act in this variant; without
	// it, all act.
	Faults []string `json:"faults,omitzero"`
	// Load, if given, replaces the experiment's load.
	Load *load.Profile `json:"load,omitempty"`
	// Alerts, if given, replace the experiment's alerts.
	Alerts []Alert `json:"alerts,omitempty"`
	// Checks are judged in this variant in addition to the experiment's own.
	Checks []Check `json:"checks,omitempty"`
}

// Everything is the name that a patch uses for every service or callee.
const Everything = "*"

// A Patch changes a service or, if Call is given, the policies of its calls to
// another service. A given field replaces the old value as a whole; other fields
// stay. If two patches change the same field, the more specific one wins.
type Patch struct {
	// Service is the service that is changed, or the caller. "*" means every
	// service; with Call, an empty name does so, too.
	Service string `json:"service,omitempty"`
	// Call is the callee whose calls are changed.
	Call string `json:"call,omitempty"`

	// Workers, Backlog and Replicas are new values of a service.
	Workers  *int `json:"workers,omitempty"`
	Backlog  *int `json:"backlog,omitempty"`
	Replicas *int `json:"replicas,omitempty"`
	// OnCancel and Shed are new values of a service. Without can remove Shed.
	OnCancel *topology.OnCancel `json:"onCancel,omitempty"`
	Shed     *topology.Shed     `json:"shed,omitempty"`
	// Runtime is the program that serves the service.
	Runtime *topology.RuntimeName `json:"runtime,omitempty"`
	// Pool is the new connection pool of the callers of a data store.
	Pool *topology.Pool `json:"pool,omitempty"`

	// Timeout and the next fields are new policies of calls.
	Timeout   *unit.Duration    `json:"timeout,omitempty"`
	Retry     *policy.Retry     `json:"retry,omitempty"`
	Breaker   *policy.Breaker   `json:"breaker,omitempty"`
	Bulkhead  *policy.Bulkhead  `json:"bulkhead,omitempty"`
	RateLimit *policy.RateLimit `json:"rateLimit,omitempty"`
	Hedge     *policy.Hedge     `json:"hedge,omitempty"`
	Fallback  *policy.Fallback  `json:"fallback,omitempty"`
	// Coalesce is the new value of calls that follow a miss.
	Coalesce *bool `json:"coalesce,omitempty"`
	// Without removes policies, by the names of their fields.
	Without []string `json:"without,omitempty"`
}

// serviceFields and callFields return the fields of a Patch that change a service
// or a call, by their names in files.
func serviceFields() []string {
	return []string{"workers", "backlog", "replicas", "onCancel", "shed", "runtime", "pool"}
}

func callFields() []string {
	return []string{"timeout", "retry", "breaker", "bulkhead", "rateLimit", "hedge", "fallback", "coalesce"}
}

// removable returns the fields that Without may name.
func removable() []string {
	return []string{"timeout", "retry", "breaker", "bulkhead", "rateLimit", "hedge", "fallback", "shed"}
}

// field returns the value of one of a patch's fields; it is not valid if the patch
// does not have it.
func (p *Patch) field(name string) reflect.Value {
	v := reflect.ValueOf(p).Elem()
	for i := range v.NumField() {
		key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if key == name && v.Field(i).Kind() == reflect.Pointer && !v.Field(i).IsNil() {
			return v.Field(i).Elem()
		}
	}
	return reflect.Value{}
}

func (p *Patch) gives(name string) bool { return p.field(name).IsValid() }

// given lists the fields that the patch sets or removes.
func (p *Patch) given() (fields []string) {
	for _, name := range append(serviceFields(), callFields()...) {
		if p.gives(name) {
			fields = append(fields, name)
		}
	}
	return append(fields, p.Without...)
}

// weight orders patches: a patch that names more comes later, and wins.
func (p *Patch) weight() int {
	weight := 0
	if p.Service != "" && p.Service != Everything {
		weight++
	}
	if p.Call != "" && p.Call != Everything {
		weight++
	}
	return weight
}

func matches(pattern, name string) bool {
	return pattern == "" || pattern == Everything || pattern == name
}

// Variant returns the variant of that name.
func (e *Experiment) Variant(name string) (Variant, bool) {
	at := slices.IndexFunc(e.Variants, func(v Variant) bool { return v.Name == name })
	if at < 0 {
		return Variant{}, false
	}
	return e.Variants[at], true
}

// Apply returns the experiment as a variant describes it, without variants of
// its own, and every mistake in the variant. The experiment stays as it is.
// Paths of problems are relative to the variant: set[1].service.
func (e *Experiment) Apply(v Variant) (Experiment, problem.List) {
	var problems problem.List
	applied := *e
	applied.System = e.System.Clone()
	applied.Variants, applied.AppliedVariant = nil, v.Name
	order := make([]int, len(v.Set))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(v.Set[a].weight(), v.Set[b].weight()) })
	a := applier{system: &applied.System, settled: map[string]int{}, set: v.Set}
	for _, i := range order {
		problems.Under(problem.Index("set", i), a.apply(i))
	}
	if v.Faults != nil {
		applied.Faults = nil
		for i, name := range v.Faults {
			problems.Under(problem.Index("faults", i), applied.keepFault(e, name))
		}
	}
	if v.Load != nil {
		applied.Load = v.Load.WithDefaults()
	}
	if v.Alerts != nil {
		applied.Alerts = v.Alerts
	}
	applied.Checks = e.ChecksOf(v)
	if v.withoutFaults() && IsFaultPart(applied.Rank.Phase) {
		applied.Rank.Phase = ""
	}
	return applied, problems
}

// withoutFaults reports whether a variant has none of the experiment's faults.
func (v *Variant) withoutFaults() bool { return v.Faults != nil && len(v.Faults) == 0 }

// ChecksOf returns the checks that a variant is judged by: the experiment's and its
// own. Without faults there are no parts relative to them to be judged.
func (e *Experiment) ChecksOf(v Variant) []Check {
	checks := slices.Concat(e.Checks, v.Checks)
	if !v.withoutFaults() {
		return checks
	}
	return slices.DeleteFunc(checks, func(c Check) bool {
		condition, err := ParseCheck(c.Expr)
		return IsFaultPart(c.Phase) || err == nil && condition.Fault != ""
	})
}

// keepFault adds one of the original's faults, by its name.
func (e *Experiment) keepFault(original *Experiment, name string) (problems problem.List) {
	var known []string
	for _, f := range original.Faults {
		if f.Name == name && name != "" {
			if slices.ContainsFunc(e.Faults, func(kept fault.Fault) bool { return kept.Name == name }) {
				problems.AddHint("", "name it once", "fault %q is named twice", name)
				return problems
			}
			e.Faults = append(e.Faults, f)
			return nil
		}
		if f.Name != "" {
			known = append(known, f.Name)
		}
	}
	hint := "give the fault this name"
	if len(known) > 0 {
		hint = "known are " + strings.Join(known, ", ")
	}
	problems.AddHint("", problem.DidYouMean(name, known, hint), "%q is the name of no fault", name)
	return problems
}

// An applier changes a system by the patches of one variant.
type applier struct {
	system *topology.System
	set    []Patch
	// settled has, by target and field, the patch that set the field last.
	settled map[string]int
}

func (a *applier) apply(i int) (problems problem.List) {
	p := &a.set[i]
	wrong := serviceFields()
	if p.Call == "" {
		wrong = callFields()
	}
	given := p.given()
	for _, field := range given {
		if slices.Contains(p.Without, field) && !slices.Contains(removable(), field) {
			problems.AddHint("without", "known are "+strings.Join(removable(), ", "), "%q cannot be taken away", field)
		} else if slices.Contains(wrong, field) {
			hint := "name the callee by call: its name, or \"*\" for all"
			if p.Call != "" {
				hint = "leave call out"
			}
			problems.AddHint(field, hint, "%s is nothing that a %s has", field, map[bool]string{true: "service", false: "call"}[p.Call == ""])
		}
	}
	switch {
	case p.Service == "" && p.Call == "":
		problems.AddHint("service", "name a service, or a callee by call", "the patch changes nothing: it names neither a service nor a call")
	case len(given) == 0:
		problems.AddHint("", "write what to change, such as timeout: 500ms", "the patch changes nothing")
	}
	problems = append(problems, p.validate()...)
	if len(problems) > 0 {
		return problems
	}
	if p.Call == "" {
		return a.patchServices(i)
	}
	return a.patchCalls(i)
}

func (p *Patch) validate() (problems problem.List) {
	calls := p.policies(policy.Call{})
	problems = calls.Validate()
	for _, name := range p.Without {
		if p.gives(name) {
			problems.AddHint("without", "keep one of them", "%s is given and taken away", name)
		}
	}
	for _, name := range []string{"workers", "backlog", "replicas"} {
		least := 0
		if name == "workers" {
			least = 1
		}
		if v := p.field(name); v.IsValid() && v.Int() < int64(least) {
			problems.AddHint(name, fmt.Sprintf("write %d or more", least), "%d %s are not possible", v.Int(), name)
		}
	}
	return problems
}

func (a *applier) patchServices(i int) (problems problem.List) {
	p, found := &a.set[i], false
	for j := range a.system.Services {
		s := &a.system.Services[j]
		if !matches(p.Service, s.Name) {
			continue
		}
		found = true
		a.settle(&problems, i, s.Name)
		for _, change := range []struct{ to, from *int }{{&s.Workers, p.Workers}, {&s.Backlog, p.Backlog}, {&s.Replicas, p.Replicas}} {
			if change.from != nil {
				*change.to = *change.from
			}
		}
		if p.OnCancel != nil {
			s.OnCancel = *p.OnCancel
		}
		if p.Runtime != nil {
			s.Runtime = *p.Runtime
		}
		if p.Pool != nil && (s.Kind.IsStore() || p.Service == s.Name) {
			var changed topology.Store
			if s.Store != nil {
				changed = *s.Store
			}
			changed.Pool = *p.Pool
			s.Store = &changed
		}
		if p.Shed != nil || slices.Contains(p.Without, "shed") {
			s.Shed = p.Shed
		}
	}
	if !found {
		problems.AddHint("service", a.suggest(p.Service), "%q is not a service of the system", p.Service)
	}
	return problems
}

func (a *applier) patchCalls(i int) (problems problem.List) {
	p := &a.set[i]
	for _, end := range []struct{ path, name string }{{"service", p.Service}, {"call", p.Call}} {
		if end.name != "" && end.name != Everything && a.system.Service(end.name) == nil {
			problems.AddHint(end.path, a.suggest(end.name), "%q is not a service of the system", end.name)
		}
	}
	if len(problems) > 0 {
		return problems
	}
	found := false
	for j := range a.system.Services {
		s := &a.system.Services[j]
		if !matches(p.Service, s.Name) {
			continue
		}
		eachCall(s, func(c *topology.Call) {
			if matches(p.Call, c.To) {
				found = true
				a.settle(&problems, i, s.Name+"->"+c.To)
				setPolicies(c, p)
			}
		})
	}
	if !found {
		problems.AddHint("call", a.called(p.Service), "%s does not call %s", orAny(p.Service), orAny(p.Call))
	}
	return problems
}

// settle records that a patch sets fields of a target, and reports a problem if
// another patch of the same weight sets a field to another value.
func (a *applier) settle(problems *problem.List, i int, target string) {
	p := &a.set[i]
	for _, field := range p.given() {
		key := target + " " + field
		j, before := a.settled[key]
		a.settled[key] = i
		if !before || j == i || a.set[j].weight() != p.weight() || p.same(&a.set[j], field) {
			continue
		}
		problems.AddHint(field, "keep one of them", "%s of %s is changed otherwise by set[%d]", field, target, j)
	}
}

// same reports whether two patches do the same to a field.
func (p *Patch) same(o *Patch, field string) bool {
	a, b := p.field(field), o.field(field)
	if !a.IsValid() || !b.IsValid() {
		return a.IsValid() == b.IsValid()
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

func (a *applier) suggest(name string) string {
	var names []string
	for i := range a.system.Services {
		names = append(names, a.system.Services[i].Name)
	}
	return problem.DidYouMean(name, names, "known are "+strings.Join(names, ", "))
}

// called lists the callees of a service, for a hint.
func (a *applier) called(name string) string {
	s := a.system.Service(name)
	if s == nil {
		return "name a service that is called"
	}
	if calls := s.Calls(); len(calls) > 0 {
		return "it calls " + strings.Join(calls, ", ")
	}
	return "it calls nothing"
}

func orAny(name string) string {
	if name == "" || name == Everything {
		return "any service"
	}
	return fmt.Sprintf("service %q", name)
}

// policies returns policies in which the fields of the patch replace the old ones.
func (p *Patch) policies(c policy.Call) policy.Call {
	to := reflect.ValueOf(&c).Elem()
	for i := range to.NumField() {
		name, _, _ := strings.Cut(to.Type().Field(i).Tag.Get("json"), ",")
		switch v := p.field(name); {
		case slices.Contains(p.Without, name):
			to.Field(i).SetZero()
		case !v.IsValid():
		case to.Field(i).Kind() == reflect.Pointer:
			to.Field(i).Set(v.Addr())
		default:
			to.Field(i).Set(v)
		}
	}
	return c
}

// setPolicies changes the policies of a call.
func setPolicies(c *topology.Call, p *Patch) {
	c.Call = p.policies(c.Call)
	if p.Coalesce != nil {
		c.Coalesce = *p.Coalesce
	}
}
