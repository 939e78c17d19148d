// Package apitest is an API server for tests of clients: it stores objects of any
// kind, lists and watches them by label and field, applies them on the server's
// side as Kubernetes does, and checks preconditions and resource versions. It has no
// controllers and no admission; Intercept stands in for them. A client that uses a right
// which package rights does not list fails the test.
package apitest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
)

// A Server is an API server. Its methods may be called at the same time.
type Server struct {
	// Intercept may answer a request itself, and then returns true. It is set
	// before the first request.
	Intercept func(w http.ResponseWriter, r *http.Request) bool
	// Proxy answers what is sent to a pod through the server; path is that on the
	// pod. It is set before the first request.
	Proxy func(w http.ResponseWriter, r *http.Request, pod, path string)
	// RunJobs stands in for the controller of Jobs and the kubelet: each Job has a
	// running pod, JOB-pod, which goes with it. It is set before the first request.
	RunJobs bool

	url string

	mu       sync.Mutex
	version  int
	objects  map[key]map[string]any
	log      []event
	changed  chan struct{} // closed, and made anew, with each event
	progress []string
	requests []string
	// unlisted are the rights that clients have used and that package rights lacks.
	unlisted []string
	// allowed are the rights that clients have; nil is all.
	allowed func(namespace, verb, group, resource, name string) bool
}

// A key names an object.
type key struct{ group, resource, namespace, name string }

type event struct {
	version int
	kind    string
	key     key
	object  map[string]any
}

// New starts a server, which ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{objects: map[key]map[string]any{}, changed: make(chan struct{})}
	server := httptest.NewServer(s)
	s.url = server.URL
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		for _, right := range s.unlisted {
			t.Errorf("the right to %s was used, which is in no purpose of package rights: add it there", right)
		}
	})
	return s
}

// Outsider is the user agent of tests themselves: they stand in for other users and
// for controllers, whose rights do not count.
const Outsider = "apitest"

// Outside returns a client of the same server as c for what others do: users,
// controllers and the kubelet. It has all rights.
func Outside(t testing.TB, c *kubeapi.Client) kubernetes.Interface {
	t.Helper()
	config := rest.CopyConfig(c.Config.REST)
	config.UserAgent = Outsider
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// Client returns a client of the server. Its progress is kept; see Progress.
func (s *Server) Client(t testing.TB, c kubeapi.Config) *kubeapi.Client {
	t.Helper()
	c.REST = &rest.Config{Host: s.url, ContentConfig: rest.ContentConfig{ContentType: "application/json", AcceptContentTypes: "application/json"}}
	c.Progress = func(line string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.progress = append(s.progress, line)
	}
	client, err := kubeapi.NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.HTTP.CloseIdleConnections)
	return client
}

// Progress is what clients have reported so far, a line each.
func (s *Server) Progress() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.progress, "\n")
}

// Requests are the requests that change something, each as METHOD PATH?QUERY.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Names lists the objects there are, each as RESOURCE/NAME, in order.
func (s *Server) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for k := range s.objects {
		names = append(names, k.resource+"/"+k.name)
	}
	slices.Sort(names)
	return names
}

// ServeHTTP answers requests of clients.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		s.mu.Lock()
		s.requests = append(s.requests, r.Method+" "+r.URL.RequestURI())
		s.mu.Unlock()
	}
	k, sub := parse(r.URL.Path)
	if denied := s.authorize(r, k, sub); denied != "" {
		Fail(w, http.StatusForbidden, metav1.StatusReasonForbidden, denied)
		return
	}
	if s.Intercept != nil && s.Intercept(w, r) {
		return
	}
	switch {
	case k.resource == "pods" && (sub == "proxy" || strings.HasPrefix(sub, "proxy/")) && s.Proxy != nil:
		_, pod, _ := strings.Cut(k.name, ":")
		pod, _, _ = strings.Cut(pod, ":")
		s.Proxy(w, r, pod, strings.TrimPrefix(sub, "proxy"))
	case kinds[k.resource] == "" || sub != "" && sub != "status":
		Fail(w, http.StatusNotFound, metav1.StatusReasonNotFound, "the server could not find the requested resource")
	case r.Method == http.MethodGet && r.URL.Query().Get("watch") != "":
		s.watch(w, r, k)
	default:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.serve(w, r, k)
	}
}

// parse takes the path of a request apart.
func parse(path string) (k key, sub string) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	at := 2
	if parts[0] == "apis" && len(parts) > 1 {
		k.group, at = parts[1], 3
	}
	if parts = parts[min(at, len(parts)):]; len(parts) > 2 && parts[0] == "namespaces" {
		k.namespace, parts = parts[1], parts[2:]
	}
	if len(parts) > 0 {
		k.resource = parts[0]
	}
	if len(parts) > 1 {
		k.name = parts[1]
	}
	return k, strings.Join(parts[min(2, len(parts)):], "/")
}

// serve answers a request that is not a watch. It needs mu.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, k key) {
	switch r.Method {
	case http.MethodGet:
		s.get(w, r, k)
	case http.MethodPost:
		s.create(w, r, k)
	case http.MethodPut:
		s.update(w, r, k)
	case http.MethodPatch:
		s.patch(w, r, k)
	case http.MethodDelete:
		s.delete(w, r, k)
	}
}

func (s *Server) get(w http.ResponseWriter, r *http.Request, k key) {
	if k.name != "" {
		if o := s.objects[k]; o != nil {
			answer(w, o)
			return
		}
		notFound(w, k)
		return
	}
	answer(w, map[string]any{
		"kind": kinds[k.resource] + "List", "apiVersion": k.apiVersion(),
		"metadata": map[string]any{"resourceVersion": fmt.Sprint(s.version)}, "items": s.matching(r, k),
	})
}

// matching returns the objects that a list or watch means. It needs mu.
func (s *Server) matching(r *http.Request, k key) []map[string]any {
	found := []map[string]any{}
	for _, at := range slices.SortedFunc(maps.Keys(s.objects), func(a, b key) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }) {
		if matches(r, k, at, s.objects[at]) {
			found = append(found, s.objects[at])
		}
	}
	return found
}

// watch sends changes until the client leaves.
func (s *Server) watch(w http.ResponseWriter, r *http.Request, k key) {
	query := r.URL.Query()
	s.mu.Lock()
	from := s.version
	_, _ = fmt.Sscan(query.Get("resourceVersion"), &from)
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	send := func(kind string, o map[string]any) { _ = encoder.Encode(map[string]any{"type": kind, "object": o}) }
	if query.Get("sendInitialEvents") == "true" {
		from = s.version
		for _, o := range s.matching(r, k) {
			send("ADDED", o)
		}
		send("BOOKMARK", map[string]any{"kind": kinds[k.resource], "apiVersion": k.apiVersion(), "metadata": map[string]any{
			"resourceVersion": fmt.Sprint(s.version), "annotations": map[string]any{metav1.InitialEventsAnnotationKey: "true"},
		}})
	}
	for {
		var news []event
		for _, e := range s.log {
			if e.version > from && matches(r, k, e.key, e.object) {
				news = append(news, e)
			}
		}
		from = s.version
		changed := s.changed
		s.mu.Unlock()
		for _, e := range news {
			send(e.kind, e.object)
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
		s.mu.Lock()
	}
}
