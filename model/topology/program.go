package topology

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// DefaultPort is where the program of an image listens if its service has no port.
const DefaultPort = 8080

// ObeysContract reports whether the program of the service obeys the service contract.
// A program at a URL or of an image need not: this project neither controls it nor
// reads figures or spans from it.
func (s *Service) ObeysContract() bool { return s.URL == "" && s.Image == "" }

// Address returns the host:port of a service that has a URL, in lower case.
func (s *Service) Address() string {
	u, err := url.Parse(s.URL)
	if err != nil {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// RequestPath returns the path of a request, at the service's address, for one of the
// service's paths: the same path, after the prefix of its URL. The paths "/" and ""
// stand for the URL itself.
func (s *Service) RequestPath(path string) string {
	if s.URL == "" {
		return path
	}
	u, err := url.Parse(s.URL)
	if err != nil || u.EscapedPath() == "" {
		return path
	}
	if path == "" || path == DefaultPath {
		return u.EscapedPath()
	}
	return strings.TrimSuffix(u.EscapedPath(), "/") + path
}

// ServingPort returns the port on which the program of a service with an image
// listens.
func (s *Service) ServingPort() int {
	if s.Port != 0 {
		return s.Port
	}
	return DefaultPort
}

// HasEndpoint reports whether the service may answer requests of a method and path.
// A program that is not of this project may have any path, unless the file lists
// its endpoints.
func (s *Service) HasEndpoint(method, path string) bool {
	return s.Endpoint(method, path) != nil || !s.ObeysContract() && !s.listsEndpoints()
}

// listsEndpoints reports whether the file describes endpoints other than a plain one
// at "/".
func (s *Service) listsEndpoints() bool {
	return len(s.Endpoints) > 1 || len(s.Endpoints) == 1 && (s.Endpoints[0].Path != DefaultPath || s.Endpoints[0].Method != "")
}

// checkProgram reports mistakes in the settings of a program that is not of this
// project, and settings that such a program does not obey.
func (s *Service) checkProgram(problems *problem.List) {
	s.checkImage(problems)
	if s.ObeysContract() {
		return
	}
	if s.URL != "" {
		s.checkURL(problems)
	}
	field := s.Badge()
	refuse := func(path string, used bool, hint string) {
		if used {
			problems.AddHint(path, hint, "service %q is a program of its own, of which %s says all, and %s would have no effect", s.Name, field, lastField(path))
		}
	}
	const leaveOut = "leave it out"
	ownWork := "leave it out, or leave " + field + " out to simulate the service"
	refuse("kind", s.Kind != Base && slices.Contains(Kinds(), s.Kind), leaveOut)
	refuse("runtime", s.Runtime != "", leaveOut)
	refuse("store", s.Store != nil, leaveOut)
	refuse("workers", s.Workers != 0, ownWork)
	refuse("backlog", s.Backlog != 0, ownWork)
	refuse("shed", s.Shed != nil, ownWork)
	refuse("onCancel", s.OnCancel != "", ownWork)
	refuse("memory", s.Memory != 0, ownWork)
	usual := NewEndpoint("")
	for i := range s.Endpoints {
		e, path := &s.Endpoints[i], problem.Index("endpoints", i)
		refuse(path+".steps", len(e.Steps) > 0, ownWork)
		refuse(path+".require", e.Require != nil, ownWork)
		refuse(path+".response", e.Response != usual.Response, ownWork)
		refuse(path+".errorRate", e.ErrorRate != 0, ownWork)
		refuse(path+".errorStatus", e.ErrorStatus != usual.ErrorStatus && e.ErrorStatus != 0, ownWork)
		refuse(path+".timeout", e.Timeout != usual.Timeout, "give the calls of it a timeout")
	}
}

// lastField returns the name of the field at a path.
func lastField(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

// checkURL refuses an address that not everybody on the target can dial, and
// settings that need a target that starts the program.
func (s *Service) checkURL(problems *problem.List) {
	const example = "write one such as http://127.0.0.1:9000, or http://10.0.0.5:9000/api"
	u, err := url.Parse(s.URL)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || u.Opaque != "":
		problems.AddHint("url", example, "invalid URL %q", s.URL)
		return
	case u.Scheme == "https":
		problems.AddHint("url", "write an http URL; a TLS proxy before the server can give it one", "URL %q is encrypted, which gates cannot stand in front of", s.URL)
	case u.User != nil:
		problems.AddHint("url", "leave them out: calls do not send them", "the URL has credentials")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		problems.AddHint("url", "end it with the path", "URL %q has a query or a fragment, which calls do not send", s.URL)
	case strings.ContainsAny(u.Path, "{} "):
		problems.AddHint("url", "leave braces out", "the path of URL %q has names in braces", s.URL)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			problems.AddHint("url", "the range is 1 to 65535", "invalid port %q in URL %q", port, s.URL)
		}
	}
	refuse := func(field string, used bool, why string) {
		if used {
			problems.AddHint(field, "leave it out", "service %q has a URL: %s", s.Name, why)
		}
	}
	refuse("image", s.Image != "", "it is one server that runs already, and needs no image")
	refuse("replicas", s.Replicas != DefaultReplicas, "it is one address, whatever is behind it")
	refuse("liveness", s.Liveness != nil, "nothing restarts its server")
	refuse("resources", s.Resources != nil, "nothing is started for it")
}

// checkImage checks the fields of a service with an image. For a service without one,
// it refuses those fields.
func (s *Service) checkImage(problems *problem.List) {
	if s.Image == "" {
		for _, f := range []struct {
			name string
			set  bool
		}{{"port", s.Port != 0}, {"command", s.Command != nil}, {"args", s.Args != nil}, {"env", s.Env != nil}} {
			if f.set {
				problems.AddHint(f.name, "leave it out, or name an image", "service %q has no image, whose program %s is for", s.Name, f.name)
			}
		}
		return
	}
	if strings.ContainsFunc(s.Image, func(r rune) bool { return r <= ' ' || r > '~' }) || strings.Contains(s.Image, "://") || strings.HasPrefix(s.Image, "-") {
		problems.AddHint("image", "write a reference such as ghcr.io/acme/pay:1.2", "invalid image %q", s.Image)
	}
	if s.Port != 0 {
		checkRange(problems, "port", float64(s.Port), 1, 65535)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		if name == "" || strings.ContainsAny(name, "= \t\r\n\x00") {
			problems.AddHint("env", "write names such as LOG_LEVEL", "invalid name %q of an environment variable", name)
		}
		if name == "PORT" || strings.HasPrefix(name, "MICROSIM_") {
			hint := "write port instead"
			if name != "PORT" {
				hint = "choose another name"
			}
			problems.AddHint("env", hint, "the environment variable %s is set by the target", name)
		}
	}
}

// ReachedFromPods returns an error if the URL of a service leads nowhere, or to another
// server, from the pods of a cluster. It returns nil if the URL may lead to its server.
func (s *Service) ReachedFromPods() error {
	host, _, _ := net.SplitHostPort(s.Address())
	ip := net.ParseIP(host)
	switch {
	case host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && (ip.IsLoopback() || ip.IsUnspecified()):
		return fmt.Errorf("url %q means each pod itself on a cluster; write an address that pods reach, or use --on local", s.URL)
	}
	return nil
}
