// Package service is the mock service: a net/http server that answers chains and
// the endpoints of a System. model/exec and model/behave decide about each request;
// this package carries out the decisions with real work, faults, bounded workers,
// calls and metrics.
//
// # Which POST on / is a chain
//
// An endpoint at / and chains share POST /. A POST with an empty body, or whose
// Content-Type is neither JSON nor a form's (curl's default), goes to the
// endpoint. Any other body is a chain, except a JSON object without
// "designation" where the System has an endpoint for POST /. A body that cannot
// be read as a chain gets 400 and MicroSim's response document.
//
// # Headers
//
// X-Request-ID is passed on; a missing one is made (UUID v4). traceparent is passed
// on with the span of the attempt, or made from the seed and the request's id;
// tracestate goes with it. Microsim-Hop is the place in the tree of calls of one
// request: the indexes of the calls that led there, such as 0.2.1. Microsim-From
// names the calling service. Microsim-Deadline is the time left for the whole
// request in whole milliseconds: a service gives its calls no more than that, and
// answers 504 when it is over. It does not tell the timeout of a single attempt.
// Authorization is passed on to services of the same system only.
package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/http1"
	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/exec"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/service/metrics"
	"github.com/microsim-dev/kubectl-microsim/workload/service/peer"
	"github.com/microsim-dev/kubectl-microsim/workload/service/work"
	"github.com/microsim-dev/kubectl-microsim/workload/service/workers"
)

// Config describes one replica of a service.
type Config struct {
	// System is the name of the system that the service belongs to.
	System string
	// Service is the service itself, bound by behave.Bind.
	Service topology.Service
	// Replica counts from 1; 0 means 1.
	Replica int
	// Seed is the seed of the run, from which random decisions follow.
	Seed uint64
	// Peers are the base URLs of the replicas of each service that may be called,
	// this one included. Do not change the map afterwards.
	Peers map[string][]string
	// AllowHosts are hosts, or host:port, outside the system that chains may
	// name by URL.
	AllowHosts []string
	// Stores are the data stores of the system. NewDriver makes the driver of a
	// store; without it no store can be called. It is passed in, so that programs
	// that call no store stay small.
	Stores    []topology.Service
	NewDriver func(caller string, t *topology.Service) (store.Driver, error)
	// Token is the token that /admin and /set-delay demand; if it is empty, they
	// are off.
	Token string
	// TraceSample is the share, from 0 to 1, of requests whose spans are kept. The
	// spans of requests that fail are always kept, except that 0 makes no spans at
	// all.
	TraceSample float64
	// Limits bound what a request may ask for.
	Limits chain.Limits
	// Logger gets a line for each request at debug level, and for each change of a
	// fault at info level; nil means no logs.
	Logger *slog.Logger
	// Transport sends the calls; nil means the service's own client, which never
	// sends a request twice and follows no redirects.
	Transport http.RoundTripper
	// Grace is how long Serve, at its end, waits for requests in flight; 0 means
	// DefaultGrace.
	Grace time.Duration
	// TempDir is where work of kind io writes; empty means os.TempDir.
	TempDir string
	// ProcessMetrics adds the metrics of the process and of Go's runtime, for a
	// process that serves nothing else.
	ProcessMetrics bool
	// OwnNetwork says that the process shares its network namespace with no other
	// program. Only then metrics include network traffic, because the kernel counts
	// it by namespace.
	OwnNetwork bool
	// Processors do work of kind OpCPU; nil means the service's own. Services of one
	// program share them.
	Processors *work.Processors
}

// DefaultGrace is the default of Config.Grace.
const DefaultGrace = 5 * time.Second

// A Service is one replica of a mock service. Many goroutines may call its methods
// at once.
type Service struct {
	cfg    Config
	limits chain.Limits
	log    *slog.Logger
	// served is the description that new requests follow; describing is held while
	// it changes.
	served     atomic.Pointer[served]
	describing sync.Mutex
	metrics    *metrics.Metrics
	faults     faultBoard
	tracer     tracer
	peers      atomic.Pointer[peer.Book]
	client     sender
	stores     *stores
	// admission is the queue of requests inside the service; nil if they wait in
	// the accept queue.
	admission *workers.Admission
	// began is the time from which the times of machines count.
	began time.Time
	// held is the memory that is really allocated, in bytes.
	held atomic.Int64
	// units does units of arithmetic; it is made when it is first used.
	units func() *work.Units
	// processors are those on which requests take turns. left is done when the service
	// has left them.
	processors *work.Processors
	left       sync.Once
	// workFailed logs once that work cannot be done, such as on a full disk.
	workFailed sync.Once
	ready      atomic.Bool
	// loopback is set if only this machine can reach the service.
	loopback atomic.Bool
	traffic  http1.Traffic
	// queue returns the length of the accept queue; nil if Serve does not know it.
	queue atomic.Pointer[func() int]

	exchanges sync.Pool
	// inFlight counts requests. working counts requests and leaks, which go on
	// after their request.
	inFlight, working atomic.Int64
	// idle gets a token when, after the stop, working has come to 0.
	idle chan struct{}
	// stop ends all waiting and work. It is closed when the grace is over.
	stop     chan struct{}
	stopOnce sync.Once
}

// New returns a service that is ready for Serve or Handler. It starts nothing. Data
// stores are served by package workload/store instead.
func New(cfg Config) (*Service, error) {
	if cfg.Service.Kind.IsStore() {
		return nil, fmt.Errorf("service %q is a data store of kind %q, and this program serves services of kind %q; start the system with kubectl microsim up --on local", cfg.Service.Name, cfg.Service.Kind, topology.Base)
	}
	if cfg.Service.Name == "" {
		return nil, errors.New("the service has no name: set Service.Name")
	}
	cfg.Replica = max(cfg.Replica, 1)
	cfg.Grace = cmp.Or(cfg.Grace, DefaultGrace)
	s := &Service{
		cfg: cfg, limits: cfg.Limits.WithDefaults(), log: cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler)).With("system", cfg.System, "service", cfg.Service.Name, "replica", cfg.Replica),
		stop: make(chan struct{}), idle: make(chan struct{}, 1), processors: cfg.Processors,
	}
	s.began = time.Now()
	plan := behave.New(cfg.Seed, &s.cfg.Service)
	first := &served{service: s.cfg.Service, plan: plan, replica: exec.NewReplica(plan, &s.cfg.Service, int64(s.limits.Leak))}
	var err error
	description := control.Description{Service: s.cfg.Service, Stores: cfg.Stores}
	if first.fingerprint, err = description.Fingerprint(); err != nil {
		return nil, err
	}
	s.tracer = newTracer(&s.cfg, s.began)
	s.units = sync.OnceValue(work.NewUnits)
	s.exchanges.New = func() any { return &exchange{service: s} }
	s.metrics = metrics.New(s.measured())
	s.client = peer.NewClient(cfg.Transport, &s.traffic)
	s.stores = newStores()
	if err := s.openStores(plan, cfg.Stores); err != nil {
		s.stores.close()
		return nil, err
	}
	s.serve(first)
	if rules := first.replica.Workers; rules.Inside {
		s.admission = workers.NewAdmission(rules)
	}
	if err := s.SetPeers(cfg.Peers); err != nil {
		return nil, err
	}
	if s.processors == nil {
		s.processors = work.NewProcessors()
	}
	s.processors.Join()
	return s, nil
}

// measured returns the functions by which metrics read the service's state.
func (s *Service) measured() metrics.Source {
	return metrics.Source{
		Service: s.Name(), Callees: s.cfg.Service.Calls(), Process: s.cfg.ProcessMetrics, OwnNetwork: s.cfg.OwnNetwork,
		InFlight: s.inFlight.Load, Held: s.held.Load, Traffic: &s.traffic,
		Queue: func() int {
			if length := s.queue.Load(); length != nil {
				return (*length)()
			}
			return 0
		},
		Breakers: func() []string { return s.served.Load().replica.BreakerCallees() },
		Breaker:  func(callee string) policy.BreakerState { return s.served.Load().replica.Breaker(callee, s.now()) },
	}
}

// now returns the time since the service's start, as machines are told it.
func (s *Service) now() time.Duration { return time.Since(s.began) }

// clock converts a time of machines to a time of the clock; exec.Never becomes the
// zero time.
func (s *Service) clock(at time.Duration) time.Time {
	if at == exec.Never {
		return time.Time{}
	}
	return s.began.Add(at)
}

// Name returns the service's name.
func (s *Service) Name() string { return s.cfg.Service.Name }

// Handler returns the whole service as a handler: chains, endpoints, and the paths
// of ControlHandler. It does not bound workers; Serve does.
func (s *Service) Handler() http.Handler { return http.HandlerFunc(s.serveHTTP) }

// ControlHandler returns a handler of /healthz, /readyz, /metrics, /admin and
// /set-delay only, for a second listener that answers although the accept queue is
// full.
func (s *Service) ControlHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setRequestID(w.Header(), r.Header)
		if s.mayServe(w, r) && !s.serveControl(w, r) {
			writeError(w, http.StatusNotFound, fmt.Sprintf("path %q is not served here", r.URL.Path))
		}
	})
}

// maxHeader bounds the header of a request, in bytes.
const maxHeader = 64 << 10

// Serve answers the connections of ln until ctx ends. Then it accepts no more,
// waits for requests in flight as long as the grace allows, ends the rest, and
// returns nil when every goroutine has ended and all memory is freed. It returns an
// error if the listener ends before ctx. Call it once.
func (s *Service) Serve(ctx context.Context, ln net.Listener) error {
	defer ln.Close()
	held := work.NewBlock(&s.held, int64(s.cfg.Service.Memory))
	if err := held.Take(); err != nil {
		s.Close()
		return fmt.Errorf("holding the memory of service %q: %w", s.Name(), err)
	}
	defer held.Free()

	rules := s.served.Load().replica.Workers
	limited, err := workers.NewListener(ln, rules.AtAccept(), rules.Backlog, &s.traffic)
	if err != nil {
		s.Close()
		return fmt.Errorf("serving %q on %s: %w", s.Name(), ln.Addr(), err)
	}
	length := limited.QueueLength
	if s.admission != nil {
		length = s.admission.Waiting
	}
	s.queue.Store(&length)
	s.loopback.Store(isLoopback(ln.Addr()))
	server := &http.Server{
		Handler: s.Handler(), MaxHeaderBytes: maxHeader, ReadHeaderTimeout: rules.HeaderPatience(),
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), ConnContext: workers.RememberConn,
	}
	server.SetKeepAlivesEnabled(rules.KeepAlive())
	served := make(chan error, 1)
	go func() { served <- server.Serve(limited) }()
	s.ready.Store(true)

	select {
	case err = <-served:
		served <- err
	case <-ctx.Done():
	}
	s.ready.Store(false)
	limited.CloseSilent()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Grace)
	defer cancel()
	if server.Shutdown(grace) != nil {
		// The grace is over. Close, below, ends the work that is left.
		_ = server.Close()
	}
	s.queue.Store(nil)
	s.Close()
	limited.CloseAll()
	if e := <-served; err != nil && ctx.Err() == nil && !errors.Is(e, http.ErrServerClosed) {
		return fmt.Errorf("serving %q on %s: %w", s.Name(), ln.Addr(), e)
	}
	return nil
}

func isLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// Close ends all work, clears the faults, closes the connections to other services
// and waits until all of that has ended. Serve calls it at its end. Call it for a
// service of which only Handler was used.
func (s *Service) Close() {
	s.stopOnce.Do(func() { close(s.stop) })
	s.client.Close()
	s.stores.close()
	s.faults.clearAll(s)
	for s.working.Load() > 0 {
		<-s.idle
	}
	// Pass the token on: another Close may wait for it, too.
	s.signalIdle()
	s.left.Do(s.processors.Leave)
}

// enter counts a piece of work, or reports false if the service is stopping.
func (s *Service) enter() bool {
	s.working.Add(1)
	if s.stopping() {
		s.leave()
		return false
	}
	return true
}

func (s *Service) leave() {
	// Decrement before looking at stop. Close closes stop before it looks at the
	// count, so at least one of the two sees the other.
	if s.working.Add(-1) == 0 && s.stopping() {
		s.signalIdle()
	}
}

func (s *Service) signalIdle() {
	select {
	case s.idle <- struct{}{}:
	default:
	}
}

// stopping reports whether the grace is over.
func (s *Service) stopping() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}
