package topology

import (
	"fmt"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// RuntimeName names the program that serves a service; empty means Agent.
type RuntimeName string

// Agent is the runtime of this project's own services.
const Agent RuntimeName = "agent"

// A Runtime is a program that obeys the service contract.
type Runtime struct {
	Name RuntimeName
	// Language and Framework are the ones in which the program is written.
	Language, Framework string
	// Level is how much of the contract the program obeys: 2 means all but policies
	// and workers, 3 means all. See docs/service.md.
	Level int
	// OneThread says that a replica answers no other request while it uses its
	// processor.
	OneThread bool
	// OneProcessor says that a replica uses no more than one processor.
	OneProcessor bool
}

// Runtimes lists all runtimes, the agent first.
func Runtimes() []Runtime {
	return []Runtime{
		{Agent, "go", "net/http", 3, false, false},
		{"gin", "go", "gin", 2, false, false},
		{"express", "node", "express", 2, true, true},
		{"fastify", "node", "fastify", 2, true, true},
		{"hono", "bun", "hono", 2, true, true},
		{"flask", "python", "flask", 2, false, true},
		{"fastapi", "python", "fastapi", 2, false, true},
		{"spring-boot", "java", "spring-boot", 2, false, false},
		{"axum", "rust", "axum", 2, false, false},
		{"actix", "rust", "actix", 2, false, false},
	}
}

// LookupRuntime returns the runtime of a name, which may have its language before
// it: node-express is express.
func LookupRuntime(name RuntimeName) (Runtime, bool) {
	all := Runtimes()
	i := slices.IndexFunc(all, func(r Runtime) bool {
		return name == r.Name || string(name) == r.Language+"-"+string(r.Name) || name == "" && r.Name == Agent
	})
	if i < 0 {
		return Runtime{}, false
	}
	return all[i], true
}

// Foreign returns the runtime of a service that is not the agent's.
func (s *Service) Foreign() (Runtime, bool) {
	r, ok := LookupRuntime(s.Runtime)
	return r, ok && r.Name != Agent
}

// Badge returns the word that a drawing shows beside the name of a service: url or
// image if its program is not of this project, its runtime if that is not the agent,
// or its kind; empty for an ordinary service.
func (s *Service) Badge() string {
	switch {
	case s.URL != "":
		return "url"
	case s.Image != "":
		return "image"
	}
	if r, ok := s.Foreign(); ok {
		return string(r.Name)
	}
	if s.Kind != Base {
		return string(s.Kind)
	}
	return ""
}

// Foreign lists the services whose runtime is not the agent.
func (s *System) Foreign() (names []string) {
	for i := range s.Services {
		if _, ok := s.Services[i].Foreign(); ok {
			names = append(names, s.Services[i].Name)
		}
	}
	return names
}

// frameworks returns the names of a runtime's framework in files of MicroSim.
func (r Runtime) frameworks() []string {
	if r.Name == Agent {
		return []string{r.Framework, "gorilla"} // gorilla/mux routes for net/http
	}
	return []string{r.Framework}
}

// TakeFrameworks gives each service the runtime that its language and framework name:
// express to a service with node and express. A service that has a runtime keeps it,
// and a service with neither label stays with the agent. The error names every
// service whose labels fit no runtime. It is also an error if no service without a
// runtime has labels.
func (s *System) TakeFrameworks() error {
	system := *s
	system.Services = slices.Clone(s.Services)
	var unknown []string
	given := false
	for i := range system.Services {
		service := &system.Services[i]
		if service.Runtime != "" || service.Language == "" && service.Framework == "" {
			continue
		}
		all := Runtimes()
		at := slices.IndexFunc(all, func(r Runtime) bool {
			return r.Language == service.Language && slices.Contains(r.frameworks(), service.Framework)
		})
		if at < 0 {
			unknown = append(unknown, fmt.Sprintf("service %q has %s/%s", service.Name, service.Language, service.Framework))
			continue
		}
		service.Runtime, given = all[at].Name, true
	}
	if !given && len(unknown) == 0 {
		return fmt.Errorf("giving the services of system %q the runtimes of their frameworks: none without a runtime has a language and a framework; give them some, such as node and express", s.Name)
	}
	if len(unknown) > 0 {
		return fmt.Errorf("giving the services of system %q the runtimes of their frameworks: %s; there are runtimes for %s", s.Name, strings.Join(unknown, ", "), frameworkNames())
	}
	*s = system
	return nil
}

// frameworkNames lists the labels that name a runtime.
func frameworkNames() string {
	var names []string
	for _, r := range Runtimes() {
		for _, framework := range r.frameworks() {
			names = append(names, r.Language+"/"+framework)
		}
	}
	return strings.Join(names, ", ")
}

// checkRuntime refuses unknown runtimes, and settings that a runtime does not
// support.
func (s *Service) checkRuntime(problems *problem.List) {
	r, ok := LookupRuntime(s.Runtime)
	if !ok {
		var names []string
		for _, known := range Runtimes() {
			names = append(names, string(known.Name))
		}
		problems.AddHint("runtime", "write one of "+strings.Join(names, ", "), "runtime %q is not known", s.Runtime)
		return
	}
	if r.Level >= 3 {
		return
	}
	refuse := func(path string, used bool) {
		if used {
			problems.AddHint(path, "leave it out, or leave the runtime out", "runtime %s has level L%d of the service contract, and %s needs L3", r.Name, r.Level, lastName(path))
		}
	}
	refuse("workers", s.Workers != 0)
	refuse("backlog", s.Backlog != 0)
	refuse("shed", s.Shed != nil)
	refuse("onCancel", s.OnCancel == Stop)
	for i := range s.Endpoints {
		e, path := &s.Endpoints[i], problem.Index("endpoints", i)
		refuse(path+".require", e.Require != nil)
		refuse(path+".path", len(PathNames(e.Path)) > 0)
		refuse(path+".response.body", len(PathNames(e.Response.Body)) > 0)
		eachCall(e.Steps, path, func(path string, c *Call) {
			refuse(path+".endpoint", len(PathNames(c.Endpoint)) > 0)
			refuse(path+".ifMissed", c.IfMissed != "")
			for _, field := range policyFields(&c.Call) {
				refuse(path+"."+field, true)
			}
		})
	}
}

// lastName returns the last name of a path, in words if the path is about names in
// braces.
func lastName(path string) string {
	switch name := path[strings.LastIndexByte(path, '.')+1:]; name {
	case "path", "endpoint", "body":
		return fmt.Sprintf("a name in braces in %s", name)
	case "onCancel":
		return "onCancel: stop"
	default:
		return name
	}
}

// policyFields lists the policies that a call has beside its timeout.
func policyFields(p *policy.Call) (fields []string) {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"retry", p.Retry != nil}, {"breaker", p.Breaker != nil}, {"bulkhead", p.Bulkhead != nil},
		{"rateLimit", p.RateLimit != nil}, {"hedge", p.Hedge != nil}, {"fallback", p.Fallback != nil},
	} {
		if f.set {
			fields = append(fields, f.name)
		}
	}
	return fields
}

// eachCall visits the calls of steps, with their paths.
func eachCall(steps []Step, path string, visit func(path string, c *Call)) {
	for i := range steps {
		at := path + "." + problem.Index("steps", i)
		if steps[i].Call != nil {
			visit(at+".call", steps[i].Call)
		}
		for j := range steps[i].Parallel {
			if c := steps[i].Parallel[j].Call; c != nil {
				visit(at+"."+problem.Index("parallel", j)+".call", c)
			}
		}
	}
}
