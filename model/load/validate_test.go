package load

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

const second = unit.Duration(time.Second)

func ptr[T any](v T) *T { return &v }

func TestValidProfilesPass(t *testing.T) {
	for name, phases := range map[string][]Phase{
		"constant":   {{Duration: second, Rate: 5}},
		"ramp from":  {{Duration: second, RateTo: ptr(5.0)}},
		"ramp to 0":  {{Duration: second, Rate: 5, RateTo: ptr(0.0), Arrivals: Poisson}},
		"sine":       {{Rate: 5, Sine: &Sine{Amplitude: 5, Period: second}}},
		"count":      {{Rate: 1, Count: 1, Burst: 10, Each: true}, {Duration: second, Users: 1}},
		"users":      {{Duration: second, Users: 3, UsersTo: ptr(0), Think: dist.Fixed(time.Second)}},
		"fixed beat": {{Users: 1, Every: second}},
	} {
		p := Profile{Phases: phases, Requests: []Request{{Service: "cart", Endpoint: "/x?y=1"}, {URL: "http://127.0.0.1:80/"}, {Chain: "{}"}}}.WithDefaults()
		if problems := p.Validate(); len(problems) > 0 {
			t.Errorf("%s: %v", name, problems.Err())
		}
	}
}

func TestValidateNamesEveryMistake(t *testing.T) {
	p := Profile{
		Timeout:     -1,
		MaxInFlight: MaxFlight + 1,
		Requests: []Request{
			{Weight: 1},
			{Service: "a", URL: "http://b", Weight: math.NaN()},
			{URL: "ftp://b", Weight: -1, Endpoint: "x y", Method: "G T"},
			{Chain: "{}", Body: "x", BodySize: 1, Weight: 1, Headers: map[string]string{"A B": "", "A": "\n"}},
			{Service: "a", BodySize: -1, Weight: math.Inf(1)},
		},
		Phases: []Phase{
			{Name: "a"},
			{Name: "a", Rate: 1, Users: 1, Arrivals: Constant, Burst: 1},
			{Name: "b", Duration: -second, Rate: -1, Arrivals: "bunched", Burst: MaxBurst + 1, Sine: &Sine{Amplitude: 2}, Count: -1},
			{Name: "c", RateTo: ptr(0.0), Arrivals: Constant, Burst: 1, Every: second},
			{Name: "d", UsersTo: ptr(0), Sine: &Sine{}, Think: dist.Fixed(-1), Every: -1},
			{Name: "e", Duration: second, Rate: math.Inf(1), RateTo: ptr(math.NaN()), Arrivals: Constant, Burst: 1},
		},
	}
	want := []string{
		"timeout", "maxInFlight", "requests[0]", "requests[1]", "requests[1].weight",
		"requests[2].url", "requests[2].endpoint", "requests[2].endpoint", "requests[2].method", "requests[2].weight",
		"requests[3].bodySize", "requests[3].body", "requests[3].headers", "requests[3].headers",
		"requests[4].bodySize", "requests[4].weight",
		"phases[0]", "phases[0].duration", "phases[1]", "phases[1].name", "phases[1].duration",
		"phases[2].duration", "phases[2].count", "phases[2].rate", "phases[2].arrivals", "phases[2].burst",
		"phases[2].sine.amplitude", "phases[2].sine.period",
		"phases[3].rate", "phases[3].rateTo", "phases[3]", "phases[3].duration",
		"phases[4]", "phases[4].users", "phases[4].usersTo", "phases[4].think", "phases[4].every", "phases[4].every",
		"phases[4].duration",
		"phases[5].rate", "phases[5].rateTo",
	}
	if got := paths(p.Validate()); !reflect.DeepEqual(got, want) {
		t.Errorf("problems at\n%q, want\n%q\n%v", got, want, p.Validate().Err())
	}
	if got := paths((&Profile{Timeout: 1, MaxInFlight: 1}).Validate()); !reflect.DeepEqual(got, []string{"phases"}) {
		t.Errorf("a profile without phases has problems at %q", got)
	}
}

func TestHeadersThatFrameTheBodyAreRefused(t *testing.T) {
	for _, name := range []string{"Content-Length", "content-length", "Transfer-Encoding", "Trailer"} {
		p := Profile{Requests: []Request{{URL: "http://a/", Headers: map[string]string{name: "5"}}}, Phases: []Phase{{Rate: 1}}}
		p = p.WithDefaults()
		if err := p.Validate().Err(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := Profile{Requests: []Request{{Chain: `{"designation":"a"}`, Method: "GET"}}, Phases: []Phase{{Rate: 1}}}
	p = p.WithDefaults()
	if err := p.Validate().Err(); err == nil || !strings.Contains(err.Error(), "chains are posted") {
		t.Errorf("a chain by GET: %v", err)
	}
}

func paths(problems problem.List) []string {
	var paths []string
	for _, p := range problems {
		paths = append(paths, p.Path)
	}
	return paths
}

func TestDefaultsLeaveTheOriginalAlone(t *testing.T) {
	p := Profile{Requests: []Request{{Service: "cart"}}, Phases: []Phase{{Rate: 1}, {Users: 1}}}
	q := p.WithDefaults()
	if p.Requests[0].Weight != 0 || p.Phases[0].Burst != 0 {
		t.Error("the original has changed")
	}
	if q.Timeout != DefaultTimeout || q.MaxInFlight != DefaultMaxInFlight || q.Requests[0].Weight != 1 || q.Requests[0].Name != "cart" ||
		q.Phases[0].Burst != 1 || q.Phases[0].Arrivals != Constant || q.Phases[1].Burst != 0 || q.Phases[1].Name != "2" {
		t.Errorf("defaults are %+v", q)
	}
}
