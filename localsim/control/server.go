// Package control is the control plane of a system on this machine: the server
// through which other programs of the user reach the system, its client, and the
// client of the replicas' own /admin.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/controlhttp"
	"github.com/microsim-dev/kubectl-microsim/internal/webguard"
	"github.com/microsim-dev/kubectl-microsim/localsim/supervise"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// A System is the system to which the control plane gives access.
type System interface {
	// Name is the name of the system; System describes it as it runs now, and
	// must not be changed.
	Name() string
	System() *topology.System
	Status(ctx context.Context) (*Status, error)
	Replicas(ctx context.Context) ([]runner.Replica, error)
	// Entrance returns the host:port by which clients outside of the system reach
	// the replica at an address.
	Entrance(address string) string

	// CheckUpdate returns an error if Update cannot change the running system to
	// the given one.
	CheckUpdate(ctx context.Context, next *topology.System) error
	Update(ctx context.Context, next *topology.System) error
	// Order kills, pauses, resumes or restarts one replica by hand.
	Order(ctx context.Context, service string, index int, order string) error
	// RequestShutdown asks the program that holds the system to end it.
	RequestShutdown()

	runner.SpanSource
	runner.Injector
	Active(ctx context.Context) ([]runner.Injection, error)
}

// ErrClosed is the error of a System that has been taken down.
var ErrClosed = errors.New("the system has been taken down")

// Config has the settings of a control plane.
type Config struct {
	System System
	// Token is the bearer token that requests to /admin need.
	Token string
	// Seed is the seed of the system; the random decisions of chains depend on it.
	Seed uint64
	// Port is on the loopback interface; 0 means any.
	Port   int
	Logger *slog.Logger
}

// A Server is the control plane of one system: a server on the loopback
// interface through which other programs of the user reach the system.
type Server struct {
	config Config
	system System
	url    string
	web    webguard.Guard
	server *http.Server
	ended  chan error
	calls  *http.Client
}

// maxDescription bounds, in bytes, the description of a system in a request.
const maxDescription = 64 << 20

// Start starts a control plane.
func Start(config Config) (*Server, error) {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(config.Port))
	ln, err := supervise.Listen(address)
	if err != nil {
		return nil, fmt.Errorf("starting the control plane: %w", err)
	}
	c := &Server{
		config: config, system: config.System, url: "http://" + ln.Addr().String(),
		web:   webguard.Guard{Hosts: webguard.LoopbackHosts(ln.Addr()), Name: "this control plane", OwnPage: isPage},
		ended: make(chan error, 1), calls: newCallClient(),
	}
	c.server = &http.Server{
		Handler: c.guard(c.routes()), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(config.Logger.Handler(), slog.LevelDebug),
	}
	go func() { c.ended <- c.server.Serve(ln) }()
	return c, nil
}

// URL is where the control plane listens.
func (c *Server) URL() string { return c.url }

// Stop closes the listener and waits until all requests have ended.
func (c *Server) Stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if c.server.Shutdown(ctx) != nil {
		c.server.Close()
	}
	<-c.ended
	c.calls.CloseIdleConnections()
}

// guard refuses requests of web pages in the user's browser.
func (c *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := c.web.Check(r); err != nil {
			writeError(w, &refusal{http.StatusForbidden, err})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (c *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST "+control.CallPath+"{$}", http.HandlerFunc(c.call))
	mux.Handle("GET "+control.CallPath+"{$}", http.HandlerFunc(c.serveDashboard))
	mux.Handle("GET "+control.SystemHealthPath, http.HandlerFunc(c.serveHealth))
	for pattern, handle := range map[string]func(*http.Request) (any, error){
		"GET " + control.StatusPath:                                    c.status,
		"GET " + control.SystemPath:                                    c.getSystem,
		"PUT " + control.SystemPath:                                    c.putSystem,
		"GET " + control.FaultsPath:                                    c.faults,
		"PUT " + control.FaultsPath + "/{id}":                          c.putFault,
		"DELETE " + control.FaultsPath + "/{id}":                       c.deleteFault,
		"POST " + control.FaultsPath:                                   c.checkFault,
		"DELETE " + control.FaultsPath:                                 c.deleteFaults,
		"POST " + control.ReplicasPath + "/{service}/{index}/{action}": c.order,
		"POST " + control.SpansPath:                                    c.spans,
		"POST " + control.ShutdownPath:                                 c.shutdown,
	} {
		mux.Handle(pattern, c.authorized(handle))
	}
	return mux
}

// authorized runs a handler if the request carries the token, and writes what
// the handler returns.
func (c *Server) authorized(handle func(*http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !controlhttp.Authorized(r, c.config.Token) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeError(w, refuse(http.StatusUnauthorized, "the token of system %q is missing or wrong", c.system.Name()))
			return
		}
		answer, err := handle(r)
		if err != nil {
			writeError(w, err)
			return
		}
		writeJSON(w, http.StatusOK, answer)
	})
}

// A refusal is an error with the HTTP status to respond with.
type refusal struct {
	status int
	err    error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, fmt.Errorf(format, args...)}
}

func writeError(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	var r *refusal
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		status = http.StatusRequestEntityTooLarge
	case errors.As(err, &r):
		status = r.status
	case errors.Is(err, ErrClosed):
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, control.Refusal{Error: err.Error()})
}

func writeJSON(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // the client may have gone
}

// readJSON reads the body strictly into the value.
func readJSON(r *http.Request, limit int64, into any) error {
	if err := controlhttp.ReadJSON(nil, r, limit, into); err != nil {
		return &refusal{http.StatusBadRequest, err}
	}
	return nil
}

func (c *Server) status(r *http.Request) (any, error) { return c.system.Status(r.Context()) }

func (c *Server) getSystem(*http.Request) (any, error) { return c.system.System(), nil }

func (c *Server) putSystem(r *http.Request) (any, error) {
	var next topology.System
	if err := readJSON(r, maxDescription, &next); err != nil {
		return nil, err
	}
	if err := c.system.CheckUpdate(r.Context(), &next); err != nil {
		return nil, &refusal{http.StatusUnprocessableEntity, err}
	}
	// A client that disconnects must not leave the system half changed, and
	// undoing the change takes as long as finishing it.
	if err := c.system.Update(context.WithoutCancel(r.Context()), &next); err != nil {
		return nil, err
	}
	return c.system.Status(r.Context())
}

func (c *Server) faults(r *http.Request) (any, error) { return c.system.Active(r.Context()) }

// newFaultRequest returns the defaults into which a request's body is read: without
// a probability a fault always acts, as in files and at the services.
func newFaultRequest() control.FaultRequest {
	return control.FaultRequest{Fault: fault.Fault{Probability: 1}}
}

// checkFault responds whether a fault would be possible.
func (c *Server) checkFault(r *http.Request) (any, error) {
	request := newFaultRequest()
	if err := readJSON(r, maxChain, &request); err != nil {
		return nil, err
	}
	if err := c.system.CanInject(&request.Fault); err != nil {
		return nil, &refusal{http.StatusUnprocessableEntity, err}
	}
	return control.FaultPossible{Possible: true}, nil
}

func (c *Server) putFault(r *http.Request) (any, error) {
	request := newFaultRequest()
	if err := readJSON(r, maxChain, &request); err != nil {
		return nil, err
	}
	if err := c.system.CanInject(&request.Fault); err != nil {
		return nil, &refusal{http.StatusUnprocessableEntity, err}
	}
	if err := c.system.Inject(r.Context(), r.PathValue("id"), request.Fault, request.Deadline); err != nil {
		return nil, err
	}
	return c.system.Active(r.Context())
}

func (c *Server) deleteFault(r *http.Request) (any, error) {
	if err := c.system.Clear(context.WithoutCancel(r.Context()), r.PathValue("id")); err != nil {
		return nil, err
	}
	return c.system.Active(r.Context())
}

func (c *Server) deleteFaults(r *http.Request) (any, error) {
	active, err := c.system.Active(r.Context())
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, f := range active {
		errs = append(errs, c.system.Clear(context.WithoutCancel(r.Context()), f.ID))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return []control.Injection{}, nil
}

// order lets a user act on one replica by hand.
func (c *Server) order(r *http.Request) (any, error) {
	service, action := r.PathValue("service"), r.PathValue("action")
	index, err := strconv.Atoi(r.PathValue("index"))
	if err != nil || index < 1 {
		return nil, refuse(http.StatusBadRequest, "invalid replica %q: use a whole number from 1", r.PathValue("index"))
	}
	if err := c.system.Order(r.Context(), service, index, action); err != nil {
		return nil, &refusal{http.StatusUnprocessableEntity, err}
	}
	return c.system.Status(r.Context())
}

func (c *Server) shutdown(*http.Request) (any, error) {
	c.system.RequestShutdown()
	return control.ShutdownBegun{State: "ending", System: c.system.Name()}, nil
}
