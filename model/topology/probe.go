package topology

import (
	"cmp"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// A Probe is a health check of each replica of a service, with the fields of a
// probe of Kubernetes. A zero field means its default.
type Probe struct {
	// Path is requested with GET at the service's port, where faults act and a
	// request needs a worker. The check succeeds with a status from 200 to 399.
	// Empty means a check at the replica's control port, on which no fault acts.
	Path string `json:"path,omitempty"`
	// Period is the time from one check to the next.
	Period unit.Duration `json:"period,omitzero"`
	// Timeout bounds the answer to one check.
	Timeout unit.Duration `json:"timeout,omitzero"`
	// FailureThreshold is how many checks in a row have to fail before the
	// replica counts as not healthy.
	FailureThreshold int `json:"failureThreshold,omitempty"`
	// SuccessThreshold is how many checks in a row have to succeed before a
	// replica that was not healthy counts as healthy again.
	SuccessThreshold int `json:"successThreshold,omitempty"`
}

// Defaults of probes. Every service gets a readiness probe with them, and also a
// liveness probe on targets that restart replicas that hang.
const (
	DefaultReadinessPeriod  = 5 * time.Second
	DefaultLivenessPeriod   = 10 * time.Second
	DefaultProbeTimeout     = 5 * time.Second
	DefaultFailureThreshold = 3
)

// Bounds of probes.
const (
	MinProbePeriod    = time.Second
	MaxProbePeriod    = time.Hour
	MaxProbeThreshold = 1000
)

// ReadinessProbe returns the readiness probe of the service with its defaults.
func (s *Service) ReadinessProbe() Probe { return s.Readiness.withDefaults(DefaultReadinessPeriod) }

// LivenessProbe returns the liveness probe of the service with its defaults.
func (s *Service) LivenessProbe() Probe { return s.Liveness.withDefaults(DefaultLivenessPeriod) }

// withDefaults returns the probe with every field set but Path; it may be nil.
func (p *Probe) withDefaults(period time.Duration) Probe {
	if p == nil {
		p = &Probe{}
	}
	return Probe{
		Path: p.Path, Period: cmp.Or(p.Period, unit.Duration(period)), Timeout: cmp.Or(p.Timeout, unit.Duration(DefaultProbeTimeout)),
		FailureThreshold: cmp.Or(p.FailureThreshold, DefaultFailureThreshold), SuccessThreshold: cmp.Or(p.SuccessThreshold, 1),
	}
}

// validate reports values that a probe of Kubernetes would not accept: its periods
// and timeouts are whole seconds.
func (p *Probe) validate(liveness bool) (problems problem.List) {
	if p.Path != "" && (!strings.HasPrefix(p.Path, "/") || strings.ContainsAny(p.Path, " \t\r\n{}#")) {
		problems.AddHint("path", "begin it with / and leave out spaces, # and braces", "path %q cannot be asked", p.Path)
	}
	for _, d := range []struct {
		field string
		value unit.Duration
	}{{"period", p.Period}, {"timeout", p.Timeout}} {
		if d.value == 0 {
			continue
		}
		if v := d.value.Std(); v < MinProbePeriod || v > MaxProbePeriod || v%time.Second != 0 {
			problems.AddHint(d.field, "write whole seconds from 1s to 1h", "%s %v is not possible in a probe of Kubernetes", d.field, v)
		}
	}
	checkRange(&problems, "failureThreshold", float64(p.FailureThreshold), 0, MaxProbeThreshold)
	checkRange(&problems, "successThreshold", float64(p.SuccessThreshold), 0, MaxProbeThreshold)
	if liveness && p.SuccessThreshold > 1 {
		problems.AddHint("successThreshold", "leave it out", "one success is enough for a liveness probe, as in Kubernetes")
	}
	return problems
}
