package experiment

import (
	"math"
	"slices"
	"strconv"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// Scale returns the experiment with every time multiplied by a factor and every
// rate divided by it. With 0.1, the experiment has the same course but runs ten
// times as fast, if the machine keeps up. The bounds of checks are scaled, too.
func Scale(e Experiment, factor float64) Experiment {
	s := scaler(factor)
	e.System = e.System.Clone()
	for i := range e.System.Services {
		s.service(&e.System.Services[i])
	}
	e.Load = s.load(e.Load)
	e.Faults = slices.Clone(e.Faults)
	for i := range e.Faults {
		s.fault(&e.Faults[i])
	}
	e.Checks, e.AbortOn = s.checks(e.Checks), s.checks(e.AbortOn)
	e.Variants = slices.Clone(e.Variants)
	for i := range e.Variants {
		s.variant(&e.Variants[i])
	}
	e.Alerts = s.alerts(e.Alerts)
	e.Tail = s.span(e.Tail)
	if e.Window > 0 {
		e.Window = max(MinWindow, s.span(e.Window))
	}
	if e.AbortWindow > 0 {
		e.AbortWindow = max(MinWindow, s.span(e.AbortWindow))
	}
	return e
}

// A scaler multiplies times by its value.
type scaler float64

func (s scaler) span(d unit.Duration) unit.Duration {
	return unit.Duration(math.Round(float64(d) * float64(s)))
}

func (s scaler) delay(d dist.Delay) dist.Delay { return d.Scale(float64(s)) }

func (s scaler) service(svc *topology.Service) {
	for i := range svc.Endpoints {
		svc.Endpoints[i].Timeout = s.span(svc.Endpoints[i].Timeout)
	}
	svc.EachStep(func(step *topology.Step) {
		if w := step.Work; w != nil {
			w.Sleep, w.CPU, w.CPUUnits = s.delay(w.Sleep), s.delay(w.CPU), w.CPUUnits*float64(s)
		}
		if c := step.Call; c != nil {
			c.Call = s.policies(c.Call)
		}
	})
}

func (s scaler) policies(c policy.Call) policy.Call {
	c.Timeout = s.span(c.Timeout)
	c.Retry, c.Breaker, c.RateLimit = clone(c.Retry), clone(c.Breaker), clone(c.RateLimit)
	c.Hedge, c.Fallback = clone(c.Hedge), clone(c.Fallback)
	if r := c.Retry; r != nil {
		r.Backoff, r.Cap = s.span(r.Backoff), s.span(r.Cap)
	}
	if b := c.Breaker; b != nil {
		b.Reset, b.SlowAfter = s.span(b.Reset), s.span(b.SlowAfter)
	}
	if l := c.RateLimit; l != nil {
		l.Rate /= float64(s)
	}
	if h := c.Hedge; h != nil {
		h.After = s.span(h.After)
	}
	if f := c.Fallback; f != nil {
		f.MaxAge = s.span(f.MaxAge)
	}
	return c
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	copied := *p
	return &copied
}

func (s scaler) load(p load.Profile) load.Profile {
	p.Timeout = s.span(p.Timeout)
	p.Phases = slices.Clone(p.Phases)
	for i := range p.Phases {
		phase := &p.Phases[i]
		phase.Duration, phase.Every = s.span(phase.Duration), s.span(phase.Every)
		phase.Think = s.delay(phase.Think)
		phase.Rate /= float64(s)
		if phase.RateTo = clone(phase.RateTo); phase.RateTo != nil {
			*phase.RateTo /= float64(s)
		}
		if phase.Sine = clone(phase.Sine); phase.Sine != nil {
			phase.Sine.Amplitude, phase.Sine.Period = phase.Sine.Amplitude/float64(s), s.span(phase.Sine.Period)
		}
	}
	return p
}

func (s scaler) fault(f *fault.Fault) {
	f.Start, f.Duration = s.span(f.Start), s.span(f.Duration)
	f.Args.Delay, f.Args.Jitter, f.Args.Hold = s.delay(f.Args.Delay), s.span(f.Args.Jitter), s.span(f.Args.Hold)
	if f.Rounds = clone(f.Rounds); f.Rounds != nil {
		f.Rounds.Interval = s.span(f.Rounds.Interval)
	}
}

func (s scaler) variant(v *Variant) {
	v.Set = slices.Clone(v.Set)
	for i := range v.Set {
		p := &v.Set[i]
		scaled := s.policies(p.policies(policy.Call{}))
		if p.Timeout = clone(p.Timeout); p.Timeout != nil {
			*p.Timeout = scaled.Timeout
		}
		p.Retry, p.Breaker, p.RateLimit, p.Hedge, p.Fallback = scaled.Retry, scaled.Breaker, scaled.RateLimit, scaled.Hedge, scaled.Fallback
	}
	if v.Load != nil {
		scaled := s.load(*v.Load)
		v.Load = &scaled
	}
	v.Alerts = s.alerts(v.Alerts)
	v.Checks = s.checks(v.Checks)
}

// alerts scales the For of alerts. The expressions, with the windows in them, stay
// as they are.
func (s scaler) alerts(alerts []Alert) []Alert {
	alerts = slices.Clone(alerts)
	for i := range alerts {
		alerts[i].For = s.span(alerts[i].For)
	}
	return alerts
}

// checks scales bounds that are times or rates.
func (s scaler) checks(checks []Check) []Check {
	checks = slices.Clone(checks)
	for i := range checks {
		c, err := ParseCheck(checks[i].Expr)
		if err != nil {
			continue
		}
		switch {
		case c.Alert != "":
			checks[i].Expr = c.alertText(c.Bound * float64(s))
			continue
		case c.Metric.IsAboutAlerts():
			continue
		}
		switch c.Dimension {
		case Seconds:
			checks[i].Expr = string(c.Metric) + " " + c.Op + " " + strconv.FormatFloat(c.Bound*float64(s), 'f', -1, 64) + "s"
		case PerSecond:
			checks[i].Expr = string(c.Metric) + " " + c.Op + " " + strconv.FormatFloat(c.Bound/float64(s), 'f', -1, 64)
		default: // shares and counts do not depend on the length
		}
	}
	return checks
}
