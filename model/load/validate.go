package load

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// Bounds of a profile, so that a mistake in a file cannot take a machine down.
const (
	MaxRequests = 1000
	MaxPhases   = 1000
	MaxRate     = 1e6 // arrivals per second
	MaxUsers    = 100_000
	MaxBurst    = 10_000
	MaxFlight   = 1_000_000
	MaxCount    = 1_000_000_000
	MaxDuration = 30 * 24 * time.Hour
	MaxTimeout  = dist.Max
	MaxBody     = 64 << 20 // bytes
	MaxWeight   = 1e9
)

// Validate returns every mistake in a profile that has its defaults. It does not
// check that the services exist, which only the system knows.
func (p *Profile) Validate() (problems problem.List) {
	checkDuration(&problems, "timeout", p.Timeout, MaxTimeout)
	checkCount(&problems, "maxInFlight", p.MaxInFlight, 1, MaxFlight)
	if len(p.Requests) > MaxRequests {
		problems.Add("requests", "%d requests are more than the %d possible", len(p.Requests), MaxRequests)
	}
	for i := range p.Requests {
		problems.Under(problem.Index("requests", i), p.Requests[i].validate())
	}
	p.checkBeats(&problems)
	if p.TLS != nil {
		problems.Under("tls", p.TLS.validate(p.Requests))
	}
	if len(p.Phases) == 0 {
		problems.AddHint("phases", "describe at least one, with rate or users", "the load has no phases")
	}
	if len(p.Phases) > MaxPhases {
		problems.Add("phases", "%d phases are more than the %d possible", len(p.Phases), MaxPhases)
	}
	first := map[string]int{}
	for i := range p.Phases {
		phase, path := &p.Phases[i], problem.Index("phases", i)
		problems.CheckLabel(path+".name", phase.Name)
		problems.Under(path, phase.validate())
		if j, dup := first[phase.Name]; dup {
			problems.AddHint(path+".name", "give each phase its own name", "phase %q is already described at phases[%d]", phase.Name, j)
		} else {
			first[phase.Name] = i
		}
		if phase.Endless() && i < len(p.Phases)-1 {
			problems.AddHint(path+".duration", "give it a duration or a count", "the phases after %q would never begin: it has no end", phase.Name)
		}
	}
	return problems
}

func (r *Request) validate() (problems problem.List) {
	problems.CheckLabel("name", r.Name)
	given := 0
	for _, text := range []string{r.Service, r.URL, r.Chain} {
		if text != "" {
			given++
		}
	}
	if given != 1 {
		problems.AddHint("", "give exactly one of service, url and chain", "expected one destination, got %d", given)
	}
	if r.URL != "" {
		checkURL(&problems, "url", r.URL)
	}
	if r.Endpoint != "" {
		if r.Service == "" {
			problems.AddHint("endpoint", "name the service, or write the path into the url", "endpoint %q has no service", r.Endpoint)
		}
		if !strings.HasPrefix(r.Endpoint, "/") || strings.ContainsAny(r.Endpoint, " \t\r\n#") {
			problems.AddHint("endpoint", "write a path such as /checkout", "invalid endpoint %q", r.Endpoint)
		}
	}
	if r.Method != "" && !isToken(r.Method) {
		problems.AddHint("method", "write GET, POST, PUT, PATCH, DELETE, HEAD or OPTIONS", "method %q is not known", r.Method)
	}
	if r.Chain != "" && r.Method != "" && r.Method != "POST" {
		problems.AddHint("method", "remove it: chains are posted", "a chain cannot be sent by %s", r.Method)
	}
	if r.Body != "" && r.BodySize != 0 {
		problems.AddHint("bodySize", "give body or bodySize", "both a body and a size are given")
	}
	if r.Chain != "" && (r.Body != "" || r.BodySize != 0) {
		problems.AddHint("body", "remove it: the chain is the body", "a chain has no other body")
	}
	if r.BodySize < 0 || r.BodySize > MaxBody || len(r.Body) > MaxBody {
		problems.AddHint("bodySize", "the range is 0 to "+unit.Size(MaxBody).String(), "the body is out of range")
	}
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		if isFraming(name) {
			problems.AddHint("headers", "remove it: the body decides it", "header %q would say another length than the body has", name)
		}
		if value := r.Headers[name]; !isToken(name) || strings.ContainsAny(value, "\r\n\x00") {
			problems.Add("headers", "invalid HTTP header %q: %q", name, value)
		}
	}
	checkPositive(&problems, "weight", r.Weight, MaxWeight)
	if r.Beat != nil {
		problems.Under("beat", r.Beat.validate())
	}
	return problems
}

// isFraming reports whether a header says where the body of a request ends.
func isFraming(name string) bool {
	return strings.EqualFold(name, "Content-Length") || strings.EqualFold(name, "Transfer-Encoding") || strings.EqualFold(name, "Trailer")
}

func (p *Phase) validate() (problems problem.List) {
	if p.Duration != 0 {
		checkDuration(&problems, "duration", p.Duration, MaxDuration)
	}
	checkCount(&problems, "count", p.Count, 0, MaxCount)
	switch open, closed := p.IsOpen(), p.IsClosed(); {
	case open && closed:
		problems.AddHint("", "give rate for an open loop or users for a closed one", "a phase has both rate and users")
	case !open && !closed:
		problems.AddHint("", "give rate for an open loop or users for a closed one", "a phase has neither a rate nor users above 0")
	}
	if p.IsOpen() {
		p.validateOpen(&problems)
	} else if p.Arrivals != "" || p.Sine != nil || p.Burst != 0 {
		problems.AddHint("", "give a rate, or remove them", "arrivals, sine and burst belong to a phase with a rate")
	}
	if p.IsClosed() {
		p.validateClosed(&problems)
	} else if !p.Think.IsZero() || p.Every != 0 {
		problems.AddHint("", "give users, or remove them", "think and every belong to a phase with users")
	}
	return problems
}

func (p *Phase) validateOpen(problems *problem.List) {
	least := p.Rate
	checkPositiveOr0(problems, "rate", p.Rate, MaxRate)
	if p.RateTo != nil {
		least = min(least, *p.RateTo)
		checkPositiveOr0(problems, "rateTo", *p.RateTo, MaxRate)
		if p.Rate == 0 && *p.RateTo == 0 {
			problems.AddHint("rate", "write one over 0", "a rate that stays 0 sends nothing")
		}
		p.checkRamp(problems, "rateTo")
	}
	if p.Arrivals != Constant && p.Arrivals != Poisson {
		problems.AddHint("arrivals", "write constant or poisson", "arrivals %q are not known", p.Arrivals)
	}
	checkCount(problems, "burst", p.Burst, 1, MaxBurst)
	if s := p.Sine; s != nil {
		if !(s.Amplitude >= 0 && s.Amplitude <= least) {
			problems.AddHint("sine.amplitude", fmt.Sprintf("the range is 0 to %v, the least rate", least),
				"amplitude %v would make the rate negative", s.Amplitude)
		}
		checkDuration(problems, "sine.period", s.Period, MaxDuration)
	}
}

func (p *Phase) validateClosed(problems *problem.List) {
	checkCount(problems, "users", p.Users, 0, MaxUsers)
	if p.UsersTo != nil {
		checkCount(problems, "usersTo", *p.UsersTo, 0, MaxUsers)
		if p.Users == 0 && *p.UsersTo == 0 {
			problems.AddHint("users", "write at least 1", "no users send nothing")
		}
		p.checkRamp(problems, "usersTo")
	}
	problems.Under("think", p.Think.Validate())
	if p.Every != 0 {
		checkDuration(problems, "every", p.Every, MaxDuration)
		if !p.Think.IsZero() {
			problems.AddHint("every", "give think or every", "a user with a fixed beat has no time to think")
		}
	}
}

// checkRamp refuses a ramp that has no length.
func (p *Phase) checkRamp(problems *problem.List, path string) {
	if p.Duration == 0 {
		problems.AddHint(path, "give the phase a duration", "a ramp needs an end")
	}
}

func checkDuration(problems *problem.List, path string, v unit.Duration, longest time.Duration) {
	if v <= 0 || v.Std() > longest {
		problems.AddHint(path, "write a duration over 0 and up to "+unit.Duration(longest).String(), "duration %q is out of range", v)
	}
}

func checkCount(problems *problem.List, path string, v, lo, hi int) {
	if v < lo || v > hi {
		problems.AddHint(path, fmt.Sprintf("the range is %d to %d", lo, hi), "%d is out of range", v)
	}
}

func checkPositive(problems *problem.List, path string, v, hi float64) {
	if !(v > 0 && v <= hi) {
		problems.AddHint(path, fmt.Sprintf("write a number over 0 and up to %.0f", hi), "%v is out of range", v)
	}
}

func checkPositiveOr0(problems *problem.List, path string, v, hi float64) {
	if v != 0 {
		checkPositive(problems, path, v, hi)
	}
}

func checkURL(problems *problem.List, path, text string) {
	if err := CheckURL(text); err != nil {
		problems.Add(path, "%v", err)
	}
}

// CheckURL returns an error if requests cannot be sent to a URL.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || strings.ContainsAny(text, " \t\r\n") {
		return fmt.Errorf("%q is not an http or https URL; write one such as http://127.0.0.1:8080/path", problem.CleanURL(text))
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return fmt.Errorf("%q has no valid port: %s is not in the range 1 to 65535", problem.CleanURL(text), port)
		}
	}
	return nil
}

// isToken reports whether the text is a token of RFC 9110, section 5.6.2.
func isToken(text string) bool {
	for i := range len(text) {
		c := text[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if digit := c >= '0' && c <= '9'; !letter && !digit && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return text != ""
}
