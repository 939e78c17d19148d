package topology

import (
	"fmt"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/policy"
)

func TestLookupRuntime(t *testing.T) {
	for name, want := range map[RuntimeName]RuntimeName{"": Agent, "agent": Agent, "express": "express", "node-express": "express"} {
		if r, ok := LookupRuntime(name); !ok || r.Name != want {
			t.Errorf("%q is %v, %v", name, r, ok)
		}
	}
	for _, name := range []RuntimeName{"expres", "python-express", "Express", "node-"} {
		if r, ok := LookupRuntime(name); ok {
			t.Errorf("%q is %v", name, r)
		}
	}
}

func TestBadge(t *testing.T) {
	for want, change := range map[string]func(*Service){
		"":        func(*Service) {},
		"express": func(s *Service) { s.Runtime = "node-express" },
		"redis":   func(s *Service) { s.Kind = Redis },
	} {
		s := NewService("web")
		change(&s)
		if got := s.Badge(); got != want {
			t.Errorf("the badge is %q, want %q", got, want)
		}
	}
	s := NewService("web")
	if s.Runtime = Agent; s.Badge() != "" {
		t.Errorf("the agent has the badge %q", s.Badge())
	}
}

// Labels give services the runtimes that they name, or the error says which there are.
func TestTakeFrameworks(t *testing.T) {
	labelled := func(language, framework string, runtime RuntimeName) Service {
		s := NewService("web")
		s.Language, s.Framework, s.Runtime = language, framework, runtime
		return s
	}
	for _, tt := range []struct {
		language, framework string
		runtime, want       RuntimeName
	}{
		{"node", "express", "", "express"}, {"python", "flask", "", "flask"}, {"go", "gorilla", "", Agent}, {"go", "net/http", "", Agent}, {"rust", "actix", "", "actix"},
		{"java", "spring-boot", "", "spring-boot"}, {"", "", "", ""}, {"node", "express", Agent, Agent}, {"perl", "mojolicious", "gin", "gin"},
	} {
		system := System{Name: "x", Services: []Service{labelled(tt.language, tt.framework, tt.runtime), labelled("go", "gin", "")}}
		if err := system.TakeFrameworks(); err != nil || system.Services[0].Runtime != tt.want {
			t.Errorf("%s/%s with runtime %q is served by %q, want %q: %v", tt.language, tt.framework, tt.runtime, system.Services[0].Runtime, tt.want, err)
		}
	}
	system := System{Name: "x", Services: []Service{labelled("node", "express", ""), labelled("ruby", "rails", ""), labelled("python", "express", ""), labelled("node", "", "")}}
	err := fmt.Sprint(system.TakeFrameworks())
	for _, want := range []string{"ruby/rails", "python/express", "node/;", "there are runtimes for go/net/http, go/gorilla, go/gin, node/express"} {
		if !strings.Contains(err, want) {
			t.Errorf("%s\ndoes not say %q", err, want)
		}
	}
	if system.Services[0].Runtime != "" {
		t.Error("an error changed the system")
	}
	system.Services = []Service{labelled("", "", ""), labelled("node", "express", Agent)}
	if err := system.TakeFrameworks(); err == nil || !strings.Contains(err.Error(), "none without a runtime has a language") {
		t.Errorf("without labels: %v", err)
	}
}

// A runtime of a lower level refuses each field that needs a higher one, and the
// agent takes them all.
func TestRuntimesRefuseWhatTheyCannotDo(t *testing.T) {
	call := func(change func(*policy.Call)) func(*Service) {
		return func(s *Service) {
			c := NewCall("db")
			change(&c.Call)
			s.Endpoints[0].Steps = []Step{{Parallel: []Step{{Call: &c}}}}
		}
	}
	for want, change := range map[string]func(*Service){
		"services[0].workers: ":                    func(s *Service) { s.Workers = 2 },
		"services[0].backlog: ":                    func(s *Service) { s.Backlog = 2 },
		"services[0].shed: ":                       func(s *Service) { s.Workers, s.Shed = 1, &Shed{} },
		"services[0].onCancel: ":                   func(s *Service) { s.OnCancel = Stop },
		"services[0].endpoints[0].require: ":       func(s *Service) { s.Endpoints[0].Require = &Require{Header: "X"} },
		"services[0].endpoints[0].path: ":          func(s *Service) { s.Endpoints[0].Path = "/x/{id}" },
		"services[0].endpoints[0].response.body: ": func(s *Service) { s.Endpoints[0].Response.Body = `{"a":{db}}` },
		"steps[0].parallel[0].call.retry: ":        call(func(p *policy.Call) { p.Retry = &policy.Retry{Attempts: 2} }),
		"call.breaker: ":                           call(func(p *policy.Call) { p.Breaker = &policy.Breaker{Failures: 2, Reset: 1e9} }),
		"call.bulkhead: ":                          call(func(p *policy.Call) { p.Bulkhead = &policy.Bulkhead{MaxConcurrent: 2} }),
		"call.rateLimit: ":                         call(func(p *policy.Call) { p.RateLimit = &policy.RateLimit{Rate: 2} }),
		"call.hedge: ":                             call(func(p *policy.Call) { p.Hedge = &policy.Hedge{After: 1e9} }),
		"call.fallback: ":                          call(func(p *policy.Call) { p.Fallback = &policy.Fallback{Kind: policy.EmptyFallback} }),
	} {
		for name, refused := range map[RuntimeName]bool{"express": true, Agent: false} {
			web := NewService("web")
			web.Runtime = name
			change(&web)
			text := fmt.Sprint((&System{Name: "x", Services: []Service{web, NewService("db")}}).Validate().Err())
			if got := strings.Contains(text, want) && strings.Contains(text, "needs L3"); got != refused {
				t.Errorf("runtime %s, %s refused: %v\n%s", name, want, got, text)
			}
		}
	}
	// A timeout is no policy that a runtime lacks.
	web := NewService("web")
	web.Runtime = "express"
	call(func(p *policy.Call) { p.Timeout = 1e9 })(&web)
	if err := (&System{Name: "x", Services: []Service{web, NewService("db")}}).Validate().Err(); err != nil {
		t.Error(err)
	}
}
