package topology

import (
	"fmt"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// outside is a system in which web calls pay, which is at a URL.
func outside() *System {
	s := graph("web: pay", "pay:")
	s.Services[1].URL = "http://127.0.0.1:9000/v1"
	return s
}

func TestProgramsOfUsersAreValid(t *testing.T) {
	image := func(s *Service) { s.URL, s.Image = "", "ghcr.io/acme/pay:1@sha256:0123" }
	for name, change := range map[string]func(*System){
		"a URL":         func(*System) {},
		"an IPv6 URL":   func(s *System) { s.Services[1].URL = "http://[fd00::1]:9000" },
		"a host":        func(s *System) { s.Services[1].URL = "http://pay.example" },
		"any path":      func(s *System) { s.Services[0].Endpoints[0].Steps[0].Call.Endpoint = "/charge/{id}" },
		"readiness":     func(s *System) { s.Services[1].Readiness = &Probe{Path: "/healthz"} },
		"no endpoints":  func(s *System) { s.Services[1].Endpoints = nil },
		"listed":        func(s *System) { s.Services[1].Endpoints[0].Path = "/charge" },
		"a plain image": func(s *System) { image(&s.Services[1]) },
		"a whole image": func(s *System) {
			p := &s.Services[1]
			image(p)
			p.Port, p.Args, p.Env, p.Replicas = 80, []string{"-v"}, map[string]string{"A": "b"}, 3
		},
		"image liveness": func(s *System) { image(&s.Services[1]); s.Services[1].Liveness = &Probe{} },
		"image limits":   func(s *System) { image(&s.Services[1]); s.Services[1].Resources = &Resources{CPULimit: 1} },
	} {
		s := outside()
		change(s)
		if problems := s.Validate(); len(problems) > 0 {
			t.Errorf("%s: %v", name, problems.Err())
		}
	}
}

func TestProgramsOfUsersAreChecked(t *testing.T) {
	for want, change := range map[string]func(pay *Service){
		`services[1].url: invalid URL "9000"`:               func(p *Service) { p.URL = "9000" },
		`services[1].url: invalid URL "ftp://a"`:            func(p *Service) { p.URL = "ftp://a" },
		`services[1].url: URL "https://a" is encrypted`:     func(p *Service) { p.URL = "https://a" },
		`services[1].url: the URL has credentials`:          func(p *Service) { p.URL = "http://u:p@a" },
		`services[1].url: URL "http://a/?x=1" has a query`:  func(p *Service) { p.URL = "http://a/?x=1" },
		`invalid port "70000"`:                              func(p *Service) { p.URL = "http://a:70000" },
		`services[1].image: service "pay" has a URL`:        func(p *Service) { p.Image = "a" },
		`services[1].replicas: service "pay" has a URL`:     func(p *Service) { p.Replicas = 2 },
		`services[1].liveness: service "pay" has a URL`:     func(p *Service) { p.Liveness = &Probe{} },
		`services[1].resources: service "pay" has a URL`:    func(p *Service) { p.Resources = &Resources{} },
		`services[1].port: service "pay" has no image`:      func(p *Service) { p.Port = 1 },
		`services[1].env: service "pay" has no image`:       func(p *Service) { p.Env = map[string]string{"A": ""} },
		`services[1].workers: service "pay" is a program`:   func(p *Service) { p.Workers = 2 },
		`services[1].kind: service "pay" is a program`:      func(p *Service) { p.Kind = Redis },
		`services[1].runtime: service "pay" is a program`:   func(p *Service) { p.Runtime = "express" },
		`services[1].memory: service "pay" is a program`:    func(p *Service) { p.Memory = 1 },
		`services[1].onCancel: service "pay" is a program`:  func(p *Service) { p.OnCancel = Stop },
		`services[1].endpoints[0].steps: service "pay"`:     func(p *Service) { p.Endpoints[0].Steps = []Step{{Work: &Work{CPU: dist.Fixed(1)}}} },
		`services[1].endpoints[0].response: service "pay"`:  func(p *Service) { p.Endpoints[0].Response.Size = 10 },
		`services[1].endpoints[0].errorRate: service "pay"`: func(p *Service) { p.Endpoints[0].ErrorRate = 0.1 },
		`services[1].endpoints[0].timeout: service "pay"`:   func(p *Service) { p.Endpoints[0].Timeout = unit.Duration(1) },
		`service "pay" has no endpoint "/" (it has /x)`:     func(p *Service) { p.Endpoints[0].Path = "/x" },
		`services[1].image: invalid image "a b"`:            func(p *Service) { p.URL, p.Image = "", "a b" },
		`services[1].port: 70000 is out of range`:           func(p *Service) { p.URL, p.Image, p.Port = "", "a", 70000 },
		`the environment variable PORT is set by the`:       func(p *Service) { p.URL, p.Image, p.Env = "", "a", map[string]string{"PORT": "1"} },
		`invalid name "A B" of an environment variable`:     func(p *Service) { p.URL, p.Image, p.Env = "", "a", map[string]string{"A B": "1"} },
	} {
		s := outside()
		if strings.Contains(want, "no endpoint") {
			s.Services[0].Endpoints[0].Steps[0].Call.Endpoint = "/"
		}
		if strings.Contains(want, "has no image") {
			s.Services[1].URL = ""
		}
		change(&s.Services[1])
		if text := fmt.Sprint(s.Validate().Err()); !strings.Contains(text, want) {
			t.Errorf("%q does not contain %q", text, want)
		}
	}
}

func TestRequestPath(t *testing.T) {
	for _, c := range []struct{ url, path, want string }{
		{"", "/a", "/a"}, {"", "", ""},
		{"http://a", "", ""}, {"http://a", "/", "/"}, {"http://a", "/b", "/b"},
		{"http://a/", "", "/"}, {"http://a/", "/b", "/b"},
		{"http://a/v1", "", "/v1"}, {"http://a/v1", "/", "/v1"}, {"http://a/v1", "/b/{id}", "/v1/b/{id}"},
		{"http://a/v1/", "/", "/v1/"}, {"http://a/v1/", "/b?c=d", "/v1/b?c=d"},
	} {
		s := Service{URL: c.url}
		if got := s.RequestPath(c.path); got != c.want {
			t.Errorf("%q of %q is asked for at %q, want %q", c.path, c.url, got, c.want)
		}
	}
}

func TestReachedFromPods(t *testing.T) {
	for url, ok := range map[string]bool{
		"http://10.0.0.5:9000": true, "http://pay.example": true, "http://[fd00::1]": true,
		"http://127.0.0.1:9000": false, "http://localhost": false, "http://LOCALHOST:1": false, "http://[::1]:80": false, "http://0.0.0.0": false, "http://127.8.9.1": false,
	} {
		s := Service{URL: url}
		if err := s.ReachedFromPods(); (err == nil) != ok {
			t.Errorf("%s: %v, want reached %t", url, err, ok)
		}
	}
}

func TestAddress(t *testing.T) {
	for url, want := range map[string]string{"http://A:81/x": "a:81", "http://a": "a:80", "http://[::1]/": "[::1]:80"} {
		if got := (&Service{URL: url}).Address(); got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}
