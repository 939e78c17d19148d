package service

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/internal/webguard"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// mayServe refuses requests that a web page sends from a browser, to any path: a
// page needs no permission to post a form, and a chain may ask for memory and load.
// On a loopback address it also refuses requests whose Host is not this machine.
func (s *Service) mayServe(w http.ResponseWriter, r *http.Request) bool {
	if err := (webguard.Guard{Name: "this service"}).Check(r); err != nil {
		writeError(w, http.StatusForbidden, err.Error())
		return false
	}
	if s.loopback.Load() && !isLoopbackHost(r.Host) {
		writeError(w, http.StatusForbidden, fmt.Sprintf("host %q is not this service: use its address", problem.Excerpt(r.Host)))
		return false
	}
	return true
}

// isLoopbackHost reports whether the Host of a request names this machine. The port
// does not matter, because a gate may stand in front of the service. Any other name
// on a loopback address is an attack by DNS rebinding: a browser would take the
// answers for those of the attacker's site.
func isLoopbackHost(host string) bool {
	if strings.HasPrefix(host, "127.0.0.1:") {
		return true // the usual case
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// refuseMethod answers a request whose method the path does not have, with the
// methods that it has (RFC 9110, section 15.5.6).
func (x *exchange) refuseMethod() {
	s, path := x.service, x.r.URL.Path
	x.w.Header()["Allow"] = []string{allowed(x.by.plan.Methods(path), path)}
	x.fail(http.StatusMethodNotAllowed, fmt.Sprintf("service %q does not answer %s on %q", s.Name(), x.r.Method, problem.Excerpt(path)))
}

// allowed returns the value of the header Allow. An endpoint without a method takes
// all methods, except those that a server answers about itself.
func allowed(methods []string, path string) string {
	if slices.Contains(methods, "") {
		methods = []string{"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}
	}
	if path == topology.DefaultPath && !slices.Contains(methods, http.MethodPost) {
		methods = append(methods, http.MethodPost) // chains
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}
