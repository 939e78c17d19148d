// Package federation is one door to the metrics of all services of a system: a page with
// all of them, a page for each replica, and the list by which Prometheus finds these.
package federation

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/webguard"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/observe/monitor"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// The paths of the door, beside those of Files.
const (
	// TargetsPath lists the pages to scrape (HTTP service discovery).
	TargetsPath = "/sd"
	// MetricsPath has the metrics of all replicas; below it, by service and replica, are
	// the pages of single ones.
	MetricsPath = "/metrics"
	// FaultsPath has a series for each fault that acts.
	FaultsPath = "/faults"
)

// A Config says what the door leads to.
type Config struct {
	// System is the name of the system.
	System   string
	Replicas func(context.Context) ([]runner.Replica, error)
	// Faults lists those that act. It may be nil: then there is no page of them.
	Faults func(context.Context) ([]runner.Injection, error)
	// Hosts are the values of the Host header by which programs reach the door; see
	// webguard.Guard.
	Hosts []string
	// Files are texts that are served, by path.
	Files map[string][]byte
	// Dial opens the connections to replicas; nil stands for a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

const (
	// listFor is for how long a list of replicas is good: Prometheus asks for the page of
	// each of them at about the same time.
	listFor = 300 * time.Millisecond
	// scrapeTimeout bounds a request to a replica, also where Prometheus allows more.
	scrapeTimeout = 10 * time.Second
	// maxPage bounds what a replica may answer.
	maxPage = 16 << 20
)

// A Door serves the metrics of one system. It starts nothing; Close forgets its
// connections to the replicas.
type Door struct {
	config Config
	guard  webguard.Guard
	client *http.Client
	mux    *http.ServeMux

	mu       sync.Mutex
	replicas []runner.Replica
	listed   time.Time
}

// New returns a door.
func New(config Config) *Door {
	if config.Dial == nil {
		config.Dial = (&net.Dialer{Timeout: 5 * time.Second}).DialContext
	}
	d := &Door{
		config: config, guard: webguard.Guard{Hosts: config.Hosts, Name: "this monitor"}, mux: http.NewServeMux(),
		client: &http.Client{
			Transport:     &http.Transport{DialContext: config.Dial, DisableCompression: true, MaxIdleConnsPerHost: 1, IdleConnTimeout: 30 * time.Second},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	for path, serve := range map[string]func(http.ResponseWriter, *http.Request) error{
		TargetsPath: d.targets, MetricsPath: d.all, MetricsPath + "/{service}/{replica}": d.one, FaultsPath: d.faults,
	} {
		d.mux.Handle("GET "+path, orError(serve))
	}
	for path, text := range config.Files {
		d.mux.Handle("GET "+path, orError(func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = w.Write(text) // the client may have gone
			return nil
		}))
	}
	return d
}

// Close closes the connections to the replicas.
func (d *Door) Close() { d.client.CloseIdleConnections() }

// ServeHTTP implements http.Handler. It refuses requests of web pages.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := d.guard.Check(r); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	d.mux.ServeHTTP(w, r)
}

// A statusError is an error with the HTTP status to respond with.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// orError answers errors: with their status or, if they have none, with 503, which
// Prometheus notes as a failed scrape.
func orError(serve func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := serve(w, r)
		if err == nil {
			return
		}
		status := http.StatusServiceUnavailable
		if s, ok := err.(*statusError); ok { //nolint:errorlint // handlers return it as it is
			status = s.status
		}
		http.Error(w, err.Error(), status)
	})
}

// list returns the replicas that tell figures, as they were a moment ago at most.
func (d *Door) list(ctx context.Context) ([]runner.Replica, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.listed) < listFor {
		return d.replicas, nil
	}
	replicas, err := d.config.Replicas(ctx)
	if err != nil {
		return nil, err
	}
	d.replicas = slices.DeleteFunc(replicas, func(r runner.Replica) bool { return r.Silent })
	d.listed = time.Now()
	return replicas, nil
}

// A targetGroup is an entry of HTTP service discovery, as Prometheus reads it:
// https://prometheus.io/docs/prometheus/latest/http_sd/.
type targetGroup struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// targets lists the page of each replica, those that are down included: a service that
// is away is a scrape that fails, and not one that nobody tries.
func (d *Door) targets(w http.ResponseWriter, r *http.Request) error {
	replicas, err := d.list(r.Context())
	if err != nil {
		return err
	}
	group := func(path, instance string, labels map[string]string) targetGroup {
		labels["__metrics_path__"], labels["instance"], labels[monitor.LabelSystem] = path, instance, d.config.System
		return targetGroup{[]string{r.Host}, labels}
	}
	groups := []targetGroup{}
	for i := range replicas {
		name, index := replicas[i].Service, strconv.Itoa(replicas[i].Index)
		groups = append(groups, group(MetricsPath+"/"+url.PathEscape(name)+"/"+index, name+"/"+index,
			map[string]string{monitor.LabelService: name, monitor.LabelReplica: index}))
	}
	if d.config.Faults != nil {
		groups = append(groups, group(FaultsPath, "faults", map[string]string{}))
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(groups) // the client may have gone
	return nil
}

// one passes the page of a replica on as it is.
func (d *Door) one(w http.ResponseWriter, r *http.Request) error {
	replicas, err := d.list(r.Context())
	if err != nil {
		return err
	}
	name, index := r.PathValue("service"), r.PathValue("replica")
	for i := range replicas {
		if replicas[i].Service != name || strconv.Itoa(replicas[i].Index) != index {
			continue
		}
		page, kind, err := d.scrape(r.Context(), &replicas[i])
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(page) // the client may have gone
		return nil
	}
	return &statusError{http.StatusNotFound, fmt.Errorf("system %q has no replica %s/%s", d.config.System, name, index)}
}

// scrape reads the page of a replica and its type.
func (d *Door) scrape(ctx context.Context, replica *runner.Replica) (page []byte, kind string, err error) {
	if replica.State == runner.Down {
		return nil, "", fmt.Errorf("%s/%d is down", replica.Service, replica.Index)
	}
	ctx, cancel := context.WithTimeout(ctx, scrapeTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, cmp.Or(replica.ControlURL, replica.URL)+control.MetricsPath, nil)
	if err != nil {
		return nil, "", err
	}
	response, err := d.client.Do(request)
	if err != nil {
		return nil, "", fmt.Errorf("asking %s/%d for its metrics: %w", replica.Service, replica.Index, err)
	}
	defer response.Body.Close()
	var body bytes.Buffer
	n, err := body.ReadFrom(io.LimitReader(response.Body, maxPage+1))
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("reading the metrics of %s/%d: %w", replica.Service, replica.Index, err)
	case response.StatusCode != http.StatusOK:
		return nil, "", fmt.Errorf("asking %s/%d for its metrics: it answered %s", replica.Service, replica.Index, response.Status)
	case n > maxPage:
		return nil, "", fmt.Errorf("reading the metrics of %s/%d: more than %d bytes", replica.Service, replica.Index, maxPage)
	}
	return body.Bytes(), response.Header.Get("Content-Type"), nil
}
