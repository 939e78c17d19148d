package search

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// MaxValues bounds the values of one variation.
const MaxValues = 1000

// A Variation is one setting with the values that it takes.
type Variation struct {
	// Path names the setting: load.rate, cart.workers, web->cart.timeout,
	// faults.NAME.delay.
	Path string `json:"path"`
	// Values are as they were written; Numbers are the same as numbers, durations in
	// seconds, or nil where one is not a number.
	Values  []string  `json:"values"`
	Numbers []float64 `json:"numbers,omitempty"`
}

// ParseVariation reads "PATH=VALUES". Values are separated by commas; FROM..TO/STEP
// stands for all from the first to the last.
func ParseVariation(text string) (Variation, error) {
	at := strings.LastIndex(text, "=")
	if at <= 0 || at == len(text)-1 {
		return Variation{}, fmt.Errorf("%q varies nothing: write a setting and its values, such as load.rate=100..500/100 or web->cart.timeout=200ms,1s", text)
	}
	v := Variation{Path: strings.TrimSpace(text[:at])}
	for _, part := range strings.Split(text[at+1:], ",") {
		values, err := expand(strings.TrimSpace(part))
		if err != nil {
			return v, fmt.Errorf("%q: %w", text, err)
		}
		v.Values = append(v.Values, values...)
		if len(v.Values) > MaxValues {
			return v, fmt.Errorf("%q has more than %d values: take a wider step", text, MaxValues)
		}
	}
	for i, value := range v.Values {
		if slices.Contains(v.Values[:i], value) {
			return v, fmt.Errorf("%q has the value %s twice", text, value)
		}
		n, _, ok := number(value)
		if !ok {
			v.Numbers = nil
			return v, nil
		}
		v.Numbers = append(v.Numbers, n)
	}
	return v, nil
}

// expand lists the values of one part.
func expand(part string) ([]string, error) {
	from, rest, isRange := strings.Cut(part, "..")
	if !isRange {
		if part == "" {
			return nil, errors.New("there is a comma too many")
		}
		return []string{part}, nil
	}
	to, step, has := strings.Cut(rest, "/")
	if !has {
		return nil, fmt.Errorf("range %q has no step: write %s/STEP, such as 100..500/100", part, part)
	}
	a, unitA, okA := number(from)
	b, unitB, okB := number(to)
	s, unitS, okS := number(step)
	zero := func(n float64, text string) bool { return n == 0 && text == "0" }
	switch {
	case !okA || !okB || !okS:
		return nil, fmt.Errorf("range %q is not of numbers or durations: write such as 100..500/100 or 100ms..1s/100ms", part)
	case unitA != unitB && !zero(a, from) || unitA != unitS && !zero(a, from) || unitB != unitS:
		return nil, fmt.Errorf("range %q mixes numbers and durations", part)
	case s <= 0 || b < a:
		return nil, fmt.Errorf("range %q does not rise: write the lower end, the upper end and a step over 0", part)
	case (b-a)/s > MaxValues:
		return nil, fmt.Errorf("range %q has more than %d values: take a wider step", part, MaxValues)
	}
	var values []string
	for i := 0; ; i++ {
		// A step that does not fit leaves the last value out; rounding does not.
		x := a + float64(i)*s
		if x > b+s*1e-9 {
			return values, nil
		}
		if unitS {
			values = append(values, unit.Duration(math.Round(x*1e9)).String())
		} else {
			values = append(values, strconv.FormatFloat(roundTo(x, 1e-9), 'f', -1, 64))
		}
	}
}

// number reads a number, or a duration in seconds.
func number(text string) (n float64, duration, ok bool) {
	if n, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(n) && !math.IsInf(n, 0) {
		return n, false, true
	}
	d, err := unit.ParseDuration(text)
	return d.Seconds(), true, err == nil
}

// Set returns the experiment with one setting changed. The experiment stays as it
// is.
func Set(e experiment.Experiment, path, value string) (experiment.Experiment, error) {
	subject, field, has := cutPath(path)
	if !has {
		return e, fmt.Errorf("setting %q is not known: write load.rate, SERVICE.workers, CALLER->CALLEE.timeout or faults.NAME.delay", path)
	}
	var err error
	switch {
	case subject == "load" && e.System.Service("load") == nil || strings.HasPrefix(subject, "load."):
		err = setLoad(&e, strings.TrimPrefix(strings.TrimPrefix(subject, "load"), "."), field, value)
	case strings.HasPrefix(subject, "faults."):
		err = setOneFault(&e, strings.TrimPrefix(subject, "faults."), field, value)
	case strings.Contains(subject, "->"):
		err = setCalls(&e, subject, field, value)
	default:
		err = setService(&e, subject, field, value)
	}
	if err != nil {
		return e, fmt.Errorf("setting %s to %q: %w", path, value, err)
	}
	return e, nil
}

// cutPath parts a path into what is changed and which field of it. Names of
// faults and phases may have dots and spaces; those of services have none.
func cutPath(path string) (subject, field string, ok bool) {
	if strings.HasPrefix(path, "faults.") || strings.HasPrefix(path, "load.") {
		at := strings.LastIndex(path, ".")
		return path[:at], path[at+1:], at < len(path)-1 && at > 0
	}
	subject, field, ok = strings.Cut(path, ".")
	return strings.TrimSpace(subject), field, ok && subject != "" && field != ""
}

func setLoad(e *experiment.Experiment, phase, field, value string) error {
	e.Load.Phases = slices.Clone(e.Load.Phases)
	if phase != "" {
		var names []string
		for i := range e.Load.Phases {
			if p := &e.Load.Phases[i]; p.Name == phase {
				return set(reflect.ValueOf(p).Elem(), field, value)
			}
			names = append(names, e.Load.Phases[i].Name)
		}
		return fmt.Errorf("there is no phase %q (%s)", phase, didYouMean(phase, names))
	}
	switch field {
	case "rate", "users":
		return scaleLoad(e, field, value)
	case "timeout", "maxInFlight", "noKeepAlive":
		return set(reflect.ValueOf(&e.Load).Elem(), field, value)
	}
	if len(e.Load.Phases) != 1 {
		return fmt.Errorf("the load has %d phases: write load.PHASE.%s", len(e.Load.Phases), field)
	}
	return set(reflect.ValueOf(&e.Load.Phases[0]).Elem(), field, value)
}

// scaleLoad gives the highest phase a height, and all others in proportion.
func scaleLoad(e *experiment.Experiment, field, value string) error {
	want, err := strconv.ParseFloat(value, 64)
	if err != nil || !(want > 0) {
		return errors.New("write a number over 0")
	}
	template, err := Template(e.Load, "")
	if err != nil {
		return err
	}
	for i := range e.Load.Phases {
		p := &e.Load.Phases[i]
		if field == "rate" != p.IsOpen() {
			return fmt.Errorf("phase %q has no %s", p.Name, field)
		}
		scalePhase(p, want/Height(template))
	}
	return nil
}

func scalePhase(p *load.Phase, by float64) {
	p.Rate *= by
	if p.RateTo != nil {
		to := *p.RateTo * by
		p.RateTo = &to
	}
	if s := p.Sine; s != nil {
		scaled := *s
		scaled.Amplitude *= by
		p.Sine = &scaled
	}
	p.Users = int(math.Round(float64(p.Users) * by))
	if p.UsersTo != nil {
		to := int(math.Round(float64(*p.UsersTo) * by))
		p.UsersTo = &to
	}
}

func setOneFault(e *experiment.Experiment, name, field, value string) error {
	var names []string
	for i := range e.Faults {
		if label := e.Faults[i].Label(); label != name {
			names = append(names, label)
			continue
		}
		e.Faults = slices.Clone(e.Faults)
		return setFault(&e.Faults[i], field, value)
	}
	if len(names) == 0 {
		return errors.New("the experiment has no faults")
	}
	return fmt.Errorf("there is no fault %q (%s)", name, didYouMean(name, names))
}

func setService(e *experiment.Experiment, name, field, value string) error {
	system := e.System.Clone()
	s := system.Service(name)
	if s == nil {
		return fmt.Errorf("%q is not a service of the system (%s)", name, didYouMean(name, names(&system)))
	}
	e.System = system
	work, isWork := strings.CutPrefix(field, "work.")
	if !isWork {
		return set(reflect.ValueOf(s).Elem(), field, value)
	}
	kind, _, _ := strings.Cut(work, ".")
	found := false
	var problem error
	s.EachStep(func(step *topology.Step) {
		if step.Work == nil || problem != nil {
			return
		}
		if field, _ := fieldOf(reflect.ValueOf(step.Work).Elem(), kind); field.IsValid() && field.IsZero() {
			return // work of another kind
		}
		found = true
		problem = set(reflect.ValueOf(step.Work).Elem(), work, value)
	})
	if problem == nil && !found {
		return fmt.Errorf("service %q does no such work: write work.sleep, work.cpu or work.io, as it has", name)
	}
	return problem
}

// setCalls changes the calls of an edge; a star stands for all services.
func setCalls(e *experiment.Experiment, edge, field, value string) error {
	from, to, _ := strings.Cut(edge, "->")
	from, to = strings.TrimSpace(from), strings.TrimSpace(to)
	system := e.System.Clone()
	e.System = system
	found := false
	for i := range system.Services {
		s := &system.Services[i]
		if from != experiment.Everything && from != s.Name {
			continue
		}
		var problem error
		s.EachStep(func(step *topology.Step) {
			if c := step.Call; c != nil && (to == experiment.Everything || to == c.To) && problem == nil {
				found = true
				problem = setCall(c, field, value)
			}
		})
		if problem != nil {
			return problem
		}
	}
	if found {
		return nil
	}
	for _, name := range []string{from, to} {
		if name != experiment.Everything && system.Service(name) == nil {
			return fmt.Errorf("%q is not a service of the system (%s)", name, didYouMean(name, names(&system)))
		}
	}
	return fmt.Errorf("%s does not call %s", from, to)
}

// setCall changes a call. A policy that it does not have cannot be made of one
// field alone, but for a retry.
func setCall(c *topology.Call, path, value string) error {
	if name, _, deeper := strings.Cut(path, "."); deeper {
		field, _ := fieldOf(reflect.ValueOf(&c.Call).Elem(), name)
		switch {
		case field.IsValid() && field.Kind() == reflect.Pointer && field.IsNil() && name == "retry":
			c.Retry = &policy.Retry{Attempts: 1}
		case field.IsValid() && field.Kind() == reflect.Pointer && field.IsNil():
			return fmt.Errorf("the call of %s has no %s: describe one in the file, which is then varied", c.To, name)
		}
	}
	return set(reflect.ValueOf(c).Elem(), path, value)
}

func names(s *topology.System) (list []string) {
	for i := range s.Services {
		list = append(list, s.Services[i].Name)
	}
	return list
}
