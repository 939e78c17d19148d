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

// mayServe refuses what a web page in a browser sends, to any path: it needs no
// permission to post a form, and a chain may ask for memory and load. On a
// loopback address, names that lead there are refused as well.
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

// isLoopbackHost reports whether the host of a request, with or without a port, is
// this machine's own, at any port: a gate may stand in front of the service. Behind
// any other name on a loopback address is an attacker who has pointed the name
// there, for a browser to take the answers for those of his site.
func isLoopbackHost(host string) bool {
	if strings.HasPrefix(host, "127.0.0.1:") {
		return true // nearly always
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

// refuseMethod answers a method that the path does not have with those that it
// has (RFC 9110, section 15.5.6).
func (x *exchange) refuseMethod() {
	s, path := x.service, x.r.URL.Path
	x.w.Header()["Allow"] = []string{allowed(x.by.plan.Methods(path), path)}
	x.fail(http.StatusMethodNotAllowed, fmt.Sprintf("service %q does not answer %s on %q", s.Name(), x.r.Method, problem.Excerpt(path)))
}

// allowed is the value of the header Allow. An endpoint of any method takes all
// but those that a server answers about itself.
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
