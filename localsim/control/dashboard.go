package control

import (
	"bytes"
	"context"
	_ "embed" // for the page
	"encoding/json"
	"html/template"
	"net/http"
	"time"

	"github.com/microsim-dev/kubectl-microsim/runner"
)

// The words for the health of a service.
const (
	healthy   = "healthy"
	unhealthy = "unhealthy"
)

// A serviceHealth is one line of the dashboard.
type serviceHealth struct{ Name, State string }

// health returns the health of all services from the supervisor's knowledge: a
// service is healthy if one of its replicas is ready. So this page, the status and
// the restarts agree. The services are in the order of the file.
func (c *Server) health(ctx context.Context) ([]serviceHealth, error) {
	replicas, err := c.system.Replicas(ctx)
	if err != nil {
		return nil, err
	}
	ready := map[string]bool{}
	for i := range replicas {
		if replicas[i].State == runner.Ready {
			ready[replicas[i].Service] = true
		}
	}
	list := []serviceHealth{}
	system := c.system.System()
	for i := range system.Services {
		h := serviceHealth{system.Services[i].Name, unhealthy}
		if ready[h.Name] {
			h.State = healthy
		}
		list = append(list, h)
	}
	return list, nil
}

// serveHealth answers GET /health: an object of services, in their order, each
// healthy or unhealthy.
func (c *Server) serveHealth(w http.ResponseWriter, r *http.Request) {
	list, err := c.health(r.Context())
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

// serveDashboard answers GET /: a page with a line for each service, which updates
// their health every 5 seconds.
func (c *Server) serveDashboard(w http.ResponseWriter, r *http.Request) {
	list, err := c.health(r.Context())
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

// isPage reports whether a request is for the dashboard or for the data that the
// dashboard fetches. The page itself may send these requests.
func isPage(r *http.Request) bool {
	return r.Method == http.MethodGet && (r.URL.Path == "/" || r.URL.Path == "/health")
}
