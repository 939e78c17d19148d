package control

import (
	"bytes"
	"context"
	_ "embed" // for the page
	"encoding/json"
	"html/template"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// probeTimeout bounds one health probe of a replica.
const probeTimeout = 5 * time.Second

// The words for the health of a service.
const (
	healthy   = "healthy"
	unhealthy = "unhealthy"
)

// A serviceHealth is one line of the dashboard.
type serviceHealth struct{ Name, State string }

// health probes every replica as a client would: a replica whose workers stay
// busy does not answer. A service is healthy if one of its replicas is. The
// services are in the order of the file.
func (c *Server) health(ctx context.Context) ([]serviceHealth, error) {
	replicas, err := c.system.Replicas(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	good := make([]bool, len(replicas))
	var probes sync.WaitGroup
	for i := range replicas {
		probes.Go(func() { good[i] = c.probe(ctx, replicas[i]) })
	}
	probes.Wait()
	list := []serviceHealth{}
	system := c.system.System()
	for i := range system.Services {
		h := serviceHealth{system.Services[i].Name, unhealthy}
		for j, r := range replicas {
			if r.Service == h.Name && good[j] {
				h.State = healthy
			}
		}
		list = append(list, h)
	}
	return list, nil
}

func (c *Server) probe(ctx context.Context, r runner.Replica) bool {
	if r.URL == "" {
		return false
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL+control.HealthPath, nil)
	if err != nil {
		return false
	}
	answer, err := c.probes.Do(request)
	if err != nil {
		return false
	}
	_ = answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// newProbeClient opens a connection for each probe: a kept connection would
// hide that new ones are refused.
func newProbeClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

// A healthCache lets requests at about the same time share the probes.
type healthCache struct {
	mu   sync.Mutex
	at   time.Time
	last []serviceHealth
}

// healthAge is how long a result may be reused.
const healthAge = time.Second

func (c *Server) recentHealth(ctx context.Context) ([]serviceHealth, error) {
	c.looks.mu.Lock()
	defer c.looks.mu.Unlock()
	if c.looks.last != nil && time.Since(c.looks.at) < healthAge {
		return slices.Clone(c.looks.last), nil
	}
	list, err := c.health(ctx)
	if err == nil && ctx.Err() == nil {
		c.looks.last, c.looks.at = list, time.Now()
	}
	return list, err
}

// serveHealth answers GET /health: an object of services, in their order, each
// healthy or unhealthy.
func (c *Server) serveHealth(w http.ResponseWriter, r *http.Request) {
	list, err := c.recentHealth(r.Context())
	if err != nil {
		writeError(w, err)
		return
	}
	var b bytes.Buffer
	b.WriteByte('{')
	for i, h := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		name, _ := json.Marshal(h.Name) // a name always has a JSON form
		b.Write(name)
		b.WriteString(`:"` + h.State + `"`)
	}
	b.WriteString("}\n")
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(b.Bytes()) // the client may have gone
}

//go:embed dashboard.html
var dashboardPage string

// serveDashboard answers GET /: a page with a line for each service, which asks
// for their health again every 5 seconds.
func (c *Server) serveDashboard(w http.ResponseWriter, r *http.Request) {
	list, err := c.recentHealth(r.Context())
	if err != nil {
		writeError(w, err)
		return
	}
	page, err := template.New("dashboard").Parse(dashboardPage)
	if err != nil {
		writeError(w, err)
		return
	}
	var b bytes.Buffer
	if err := page.Execute(&b, struct {
		Name, At string
		Services []serviceHealth
	}{c.system.Name(), time.Now().Format(time.TimeOnly), list}); err != nil {
		writeError(w, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'")
	_, _ = w.Write(b.Bytes()) // the client may have gone
}

// isPage reports whether a request is for the dashboard or for the data that
// the dashboard fetches. The page itself may send these.
func isPage(r *http.Request) bool {
	return r.Method == http.MethodGet && (r.URL.Path == "/" || r.URL.Path == "/health")
}
