package topology

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// Validate returns every mistake in the system. Paths are those of its JSON form.
func (s *System) Validate() (problems problem.List) {
	checkName(&problems, "name", s.Name)
	if s.Namespace != "" {
		checkName(&problems, "namespace", s.Namespace)
	}
	if len(s.Services) == 0 {
		problems.AddHint("services", "describe at least one", "the system has no services")
	}
	if len(s.Services) > MaxServices {
		problems.Add("services", "%d services are more than the %d possible", len(s.Services), MaxServices)
		return problems
	}
	first := map[string]int{}
	byName := map[string]*Service{}
	for i := range s.Services {
		name := s.Services[i].Name
		if j, dup := first[name]; dup {
			problems.AddHint(problem.Index("services", i)+".name", "give each service its own name",
				"service %q is already described at services[%d]", name, j)
			continue
		}
		first[name], byName[name] = i, &s.Services[i]
	}
	for i := range s.Services {
		problems.Under(problem.Index("services", i), s.Services[i].validate(byName))
	}
	for i, name := range s.Entry {
		if byName[name] == nil {
			problems.AddHint(problem.Index("entry", i), suggest(name, byName), "entry %q is not a service of the system", name)
		} else if byName[name].Kind.IsStore() {
			problems.AddHint(problem.Index("entry", i), "name a service that calls it", "entry %q is a data store, which takes no requests", name)
		}
	}
	for i, host := range s.AllowHosts {
		if host == "" || strings.ContainsAny(host, "/ @?#") {
			problems.AddHint(problem.Index("allowHosts", i), "write a host or host:port", "invalid host %q", host)
		}
	}
	if len(problems) == 0 {
		s.checkCycles(&problems)
	}
	return problems
}

func (s *Service) validate(byName map[string]*Service) (problems problem.List) {
	checkServiceName(&problems, s.Name)
	if !slices.Contains(Kinds(), s.Kind) {
		problems.AddHint("kind", "write "+kindNames(), "kind %q is not known", s.Kind)
	}
	s.checkRuntime(&problems)
	s.checkProgram(&problems)
	checkRange(&problems, "replicas", float64(s.Replicas), 0, MaxReplicas)
	checkRange(&problems, "workers", float64(s.Workers), 0, MaxWorkers)
	checkRange(&problems, "backlog", float64(s.Backlog), 0, MaxBacklog)
	checkSize(&problems, "memory", s.Memory, MaxMemory)
	s.checkStore(&problems)
	if r := s.Resources; r != nil {
		if r.CPULimit > 0 && r.CPURequest > r.CPULimit {
			problems.Add("resources.cpuRequest", "request %q is over the limit %q", r.CPURequest, r.CPULimit)
		}
		if r.MemoryLimit > 0 && r.MemoryRequest > r.MemoryLimit {
			problems.Add("resources.memoryRequest", "request %q is over the limit %q", r.MemoryRequest, r.MemoryLimit)
		}
	}
	if s.OnCancel != "" && s.OnCancel != Finish && s.OnCancel != Stop {
		problems.AddHint("onCancel", "write finish or stop", "onCancel %q is not known", s.OnCancel)
	}
	if s.Shed != nil {
		checkRange(&problems, "shed.queue", float64(s.Shed.Queue), 0, MaxQueue)
		if s.Workers == 0 {
			problems.AddHint("shed", "give the service workers", "nothing waits at a service whose workers have no bound")
		}
	}
	if s.Readiness != nil {
		problems.Under("readiness", s.Readiness.validate(false))
	}
	if s.Liveness != nil {
		problems.Under("liveness", s.Liveness.validate(true))
	}
	seen := map[string]bool{}
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		path := problem.Index("endpoints", i)
		if key := e.Method + " " + e.Path; seen[key] {
			problems.Add(path+".path", "endpoint %q is described twice", strings.TrimSpace(key))
		} else {
			seen[key] = true
		}
		problems.Under(path, e.validate(byName))
	}
	return problems
}

// reservedPaths lists the paths that belong to the service contract.
func reservedPaths() []string { return []string{"/healthz", "/readyz", "/metrics", "/admin"} }

func (e *Endpoint) validate(byName map[string]*Service) (problems problem.List) {
	if !strings.HasPrefix(e.Path, "/") || strings.ContainsAny(e.Path, " ?#\t\r\n") {
		problems.AddHint("path", "write a path such as /checkout", "invalid path %q", e.Path)
	}
	for _, reserved := range reservedPaths() {
		if e.Path == reserved || strings.HasPrefix(e.Path, reserved+"/") {
			problems.AddHint("path", "choose another", "path %q is kept for the service's own use", e.Path)
		}
	}
	checkMethod(&problems, "method", e.Method)
	checkProbability(&problems, "errorRate", e.ErrorRate)
	if e.ErrorStatus != 0 {
		checkRange(&problems, "errorStatus", float64(e.ErrorStatus), 400, 599)
	}
	checkRange(&problems, "response.status", float64(e.Response.Status), 200, 599)
	checkSize(&problems, "response.size", e.Response.Size, MaxBody)
	checkText(&problems, "response.body", e.Response.Body)
	if e.Response.Body != "" && e.Response.Size != 0 {
		problems.AddHint("response.body", "keep body or size", "a response has a body and a size")
	}
	if r := e.Require; r != nil {
		if r.Header == "" || strings.ContainsFunc(r.Header, notInHeader) {
			problems.AddHint("require.header", "write a name such as Authorization", "invalid header name %q", r.Header)
		}
		if r.Status != 0 {
			checkRange(&problems, "require.status", float64(r.Status), 400, 599)
		}
	}
	if e.Timeout < 0 {
		problems.Add("timeout", "timeout %q is negative", e.Timeout)
	}
	for i := range e.Steps {
		problems.Under(problem.Index("steps", i), e.Steps[i].validate(byName, e.Timeout, true))
	}
	checkMisses(&problems, e.Steps, byName)
	e.checkSegments(&problems)
	return problems
}

// checkSegments checks that names in braces are whole segments of the path.
func (e *Endpoint) checkSegments(problems *problem.List) {
	for segment := range strings.SplitSeq(e.Path, "/") {
		names := PathNames(segment)
		if strings.ContainsAny(segment, "{}") && (len(names) != 1 || segment != "{"+names[0]+"}") {
			problems.AddHint("path", "write a path such as /users/{id}", "segment %q is not a name in braces", segment)
		}
	}
}

func notInHeader(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
}

func (s *Step) validate(byName map[string]*Service, budget unit.Duration, outermost bool) (problems problem.List) {
	set := 0
	if s.Work != nil {
		set++
		problems.Under("work", s.Work.validate())
	}
	if s.Call != nil {
		set++
		problems.Under("call", s.Call.validate(byName, budget))
	}
	if s.Parallel != nil {
		set++
		if !outermost {
			problems.AddHint("parallel", "put the steps into one parallel list", "parallel steps stand inside parallel steps")
		}
		checkRange(&problems, "parallel", float64(len(s.Parallel)), 1, MaxParallel)
		for i := range s.Parallel {
			problems.Under(problem.Index("parallel", i), s.Parallel[i].validate(byName, budget, false))
		}
	}
	if set != 1 {
		problems.AddHint("", "give one of work, call and parallel", "a step has %d of its one content", set)
	}
	return problems
}

func (w *Work) validate() (problems problem.List) {
	problems.Under("sleep", w.Sleep.Validate())
	problems.Under("cpu", w.CPU.Validate())
	checkRange(&problems, "cpuUnits", w.CPUUnits, 0, MaxCPUUnits)
	checkSize(&problems, "io", w.IO, MaxIO)
	checkSize(&problems, "memory", w.Memory, MaxMemory)
	return problems
}

// validate returns the mistakes in a call. The budget is the timeout of the request
// that makes it; 0 means no bound.
func (c *Call) validate(byName map[string]*Service, budget unit.Duration) (problems problem.List) {
	callee := byName[c.To]
	if callee == nil {
		problems.AddHint("to", suggest(c.To, byName), "callee %q is not a service of the system", c.To)
	} else if !callee.Kind.IsStore() && (c.Endpoint != "" || len(callee.Endpoints) > 0) && !callee.HasEndpoint(c.Method, c.Endpoint) {
		problems.AddHint("endpoint", "it has "+callee.endpointNames(), "service %q has no endpoint %q", c.To, strings.TrimSpace(c.Method+" "+c.Endpoint))
	}
	c.checkOperations(&problems, callee)
	checkMethod(&problems, "method", c.Method)
	checkProbability(&problems, "probability", c.Probability)
	checkRange(&problems, "count", float64(c.Count), 1, MaxCount)
	checkSize(&problems, "requestSize", c.RequestSize, MaxBody)
	problems = append(problems, c.Call.Validate()...)
	if budget > 0 && c.Timeout > budget {
		problems.AddHint("timeout", "shorten it, or give the endpoint a longer timeout", "timeout %q is longer than the %q of the whole request", c.Timeout, budget)
	}
	c.checkAnswers(&problems)
	if c.OnError != Propagate && c.OnError != Ignore {
		problems.AddHint("onError", "write propagate or ignore", "onError %q is not known", c.OnError)
	}
	return problems
}

// checkAnswers refuses keys that no failure can have.
func (c *Call) checkAnswers(problems *problem.List) {
	for _, key := range slices.Sorted(maps.Keys(c.Answers)) {
		path, a := problem.Join("answers", key), c.Answers[key]
		status, err := strconv.Atoi(key)
		failures := slices.DeleteFunc(outcome.OfCalls(), func(c outcome.Class) bool { return c == outcome.OK })
		switch {
		case err == nil && (status < 400 || status > 599):
			problems.AddHint(path, "the range is 400 to 599", "a call that is answered %d has not failed", status)
		case err != nil && key != Other && !slices.Contains(failures, outcome.Class(key)):
			known := []string{Other}
			for _, class := range failures {
				known = append(known, string(class))
			}
			hint := problem.DidYouMean(key, known, "write a status such as 404, or one of "+strings.Join(known, ", "))
			problems.AddHint(path, hint, "%q is nothing that happens to a call", key)
		}
		checkRange(problems, path+".status", float64(a.Status), 200, 599)
		checkText(problems, path+".body", a.Body)
	}
}

func checkText(problems *problem.List, path, text string) {
	if len(text) > MaxText {
		problems.AddHint(path, fmt.Sprintf("at most %v are possible", unit.Size(MaxText)), "the text has %d bytes", len(text))
	}
}

func (s *Service) endpointNames() string {
	var names []string
	for _, e := range s.Endpoints {
		names = append(names, strings.TrimSpace(e.Method+" "+e.Path))
	}
	return strings.Join(names, ", ")
}

// checkServiceName refuses a name that is not an RFC 1035 label, as Kubernetes does
// for services, and a name that already means another host, because a call would
// never reach the service.
func checkServiceName(problems *problem.List, name string) {
	switch {
	case name == "localhost" || name == "kubernetes":
		problems.AddHint("name", "choose another name", "name %q means another host: this machine, or the API server of a cluster", name)
	case name != "" && name[0] >= '0' && name[0] <= '9':
		problems.AddHint("name", fmt.Sprintf("begin with a letter, such as %q", "s"+name), "name %q begins with a digit, which Kubernetes refuses for services", name)
	default:
		checkName(problems, "name", name)
	}
}

// checkName refuses a name that is not an RFC 1123 label, because it becomes a host
// name.
func checkName(problems *problem.List, path, name string) {
	if name == "" {
		problems.AddHint(path, "write one", "the name is missing")
		return
	}
	ok := len(name) <= 63 && name[0] != '-' && name[len(name)-1] != '-'
	for _, r := range name {
		ok = ok && (r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-')
	}
	if !ok {
		problems.AddHint(path, "use up to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit", "invalid name %q", name)
	}
}

func checkProbability(problems *problem.List, path string, p unit.Share) {
	if !(p >= 0 && p <= 1) {
		problems.AddHint(path, "write a share from 0 to 1, such as 0.3, or percents such as 30%", "probability %v is not between 0 and 1", p)
	}
}

func checkRange(problems *problem.List, path string, v, lo, hi float64) {
	if math.IsNaN(v) || v < lo || v > hi {
		problems.AddHint(path, fmt.Sprintf("the range is %.0f to %.0f", lo, hi), "%v is out of range", v)
	}
}

func checkSize(problems *problem.List, path string, v, most unit.Size) {
	if v < 0 || v > most {
		problems.AddHint(path, fmt.Sprintf("the range is 0 to %v", most), "size %q is out of range", v)
	}
}

func checkMethod(problems *problem.List, path, method string) {
	if method != "" && (method != strings.ToUpper(method) || strings.ContainsAny(method, " /\t\r\n") || len(method) > 20) {
		problems.AddHint(path, "write GET, POST, PUT, PATCH or DELETE", "invalid HTTP method %q", method)
	}
}

// suggest returns a hint with the service whose name is nearest.
func suggest(name string, byName map[string]*Service) string {
	return problem.DidYouMean(name, slices.Sorted(maps.Keys(byName)), "describe it under services, or remove the name")
}
