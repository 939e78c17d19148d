package topology

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// graph makes a system from lines such as "a: b c".
func graph(lines ...string) *System {
	s := &System{Name: "test"}
	for _, line := range lines {
		name, callees, _ := strings.Cut(line, ":")
		svc := NewService(name)
		for _, to := range strings.Fields(callees) {
			svc.Endpoints[0].Steps = append(svc.Endpoints[0].Steps, CallTo(to))
		}
		s.Services = append(s.Services, svc)
	}
	return s
}

func alphabet() *System {
	return graph("a: b c", "b: e f", "c: d f g", "d: h", "e: o p", "f: r", "g: j t u", "h: i", "i: j", "j: k", "k: l m n",
		"l:", "m:", "n:", "o: p", "p: q", "q: r", "r: s v w", "s:", "t: w", "u: z", "v: x", "w: x y", "x:", "y: z", "z: k")
}

func TestValidSystems(t *testing.T) {
	half := graph("a: b", "b: a")
	half.Services[1].Endpoints[0].Steps[0].Call.Probability = 0.5
	for name, s := range map[string]*System{"alphabet": alphabet(), "one": graph("a:"), "cycle that ends": half} {
		if problems := s.Validate(); len(problems) > 0 {
			t.Errorf("%s: %v", name, problems.Err())
		}
	}
}

func TestValidateNamesEveryMistake(t *testing.T) {
	cases := map[string]struct {
		spoil func(*System)
		want  []string
	}{
		"duplicate":   {func(s *System) { s.Services[1].Name = "a" }, []string{"services[1].name: service \"a\" is already described at services[0]"}},
		"callee":      {func(s *System) { s.Services[0].Endpoints[0].Steps[0].Call.To = "bb" }, []string{"services[0].endpoints[0].steps[0].call.to: callee \"bb\"", "did you mean \"b\"?"}},
		"probability": {func(s *System) { s.Services[0].Endpoints[0].Steps[0].Call.Probability = 1.3 }, []string{"probability 1.3 is not between 0 and 1"}},
		"NaN":         {func(s *System) { s.Services[0].Endpoints[0].ErrorRate = unit.Share(math.NaN()) }, []string{"errorRate"}},
		"negative": {func(s *System) {
			s.Services[0].Endpoints[0].Steps = append(s.Services[0].Endpoints[0].Steps, Step{Work: &Work{Sleep: dist.Fixed(-time.Second)}})
		}, []string{"steps[1].work.sleep: duration \"-1s\" is negative"}},
		"kind":     {func(s *System) { s.Services[0].Kind = "oracle" }, []string{"kind \"oracle\" is not known"}},
		"path":     {func(s *System) { s.Services[0].Endpoints[0].Path = "/metrics" }, []string{"kept for the service's own use"}},
		"name":     {func(s *System) { s.Services[0].Name = "Cart_1" }, []string{"services[0].name: invalid name \"Cart_1\""}},
		"memory":   {func(s *System) { s.Services[0].Memory = 1 << 50 }, []string{"services[0].memory", "out of range"}},
		"step":     {func(s *System) { s.Services[0].Endpoints[0].Steps[0] = Step{} }, []string{"give one of work, call and parallel"}},
		"endpoint": {func(s *System) { s.Services[0].Endpoints[0].Steps[0].Call.Endpoint = "/no" }, []string{"service \"b\" has no endpoint \"/no\" (it has /)"}},
		"several":  {func(s *System) { s.Name, s.Services[0].Replicas = "", -1 }, []string{"name: the name is missing", "services[0].replicas"}},
		"none":     {func(s *System) { s.Services = nil }, []string{"the system has no services"}},
		"entry":    {func(s *System) { s.Entry = []string{"z"} }, []string{"entry[0]: entry \"z\""}},
		"resources": {func(s *System) { s.Services[0].Resources = &Resources{CPURequest: 2, CPULimit: 1} },
			[]string{"services[0].resources.cpuRequest: request \"2\" is over the limit \"1\""}},
	}
	for name, c := range cases {
		s := graph("a: b", "b:")
		c.spoil(s)
		text := fmt.Sprint(s.Validate().Err())
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q does not contain %q", name, text, want)
			}
		}
	}
}

func TestEndlessCyclesAreRefused(t *testing.T) {
	doubled := graph("a: b b", "b: a")
	doubled.Services[1].Endpoints[0].Steps[0].Call.Probability = 0.6
	for want, s := range map[string]*System{
		"a -> a":           graph("a: a"),
		"b -> c -> d -> b": graph("a: b", "b: c", "c: d", "d: b"),
		"a -> b -> a":      doubled,
	} {
		if text := fmt.Sprint(s.Validate().Err()); !strings.Contains(text, want) {
			t.Errorf("%q does not name the cycle %s", text, want)
		}
	}
}

func TestExecutions(t *testing.T) {
	total := func(s *System, entry string) (sum float64) {
		for _, n := range s.Executions(EndpointRef{Service: entry}) {
			sum += n
		}
		return sum
	}
	if got := total(alphabet(), "a"); got != 88 {
		t.Errorf("a request to a of the alphabet runs %v services, want 88", got)
	}
	if got := total(graph("a: b c", "b: d", "c: e", "d:", "e:"), "a"); got != 5 {
		t.Errorf("got %v executions, want 5", got)
	}
	half := graph("a: b", "b: a")
	half.Services[1].Endpoints[0].Steps[0].Call.Probability = 0.5
	if got := total(half, "a"); math.Abs(got-4) > 1e-6 {
		t.Errorf("a geometric series runs %v services, want 4", got)
	}
}

func TestEntries(t *testing.T) {
	if got := fmt.Sprint(graph("a: b", "b:", "c: b").Entries()); got != "[a c]" {
		t.Errorf("entries %s, want [a c]", got)
	}
	s := graph("a: b", "b:")
	s.Entry = []string{"b"}
	if got := fmt.Sprint(s.Entries()); got != "[b]" {
		t.Errorf("entries %s, want [b]", got)
	}
}

func TestLargeGraphsAreChecked(t *testing.T) {
	s := &System{Name: "long"}
	for i := range 5000 {
		svc := NewService(fmt.Sprintf("s%d", i))
		if i < 4999 {
			svc.Endpoints[0].Steps = []Step{CallTo(fmt.Sprintf("s%d", i+1))}
		}
		svc.Memory = unit.Size(i)
		s.Services = append(s.Services, svc)
	}
	if problems := s.Validate(); len(problems) > 0 {
		t.Error(problems.Err())
	}
}
