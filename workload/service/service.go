// Package service is the mock service: a net/http server that does what
// model/behave decides for chains and for the endpoints of a System, with real
// work, faults that come and go, bounded workers, and metrics.
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
// X-Request-ID is made (UUID v4) where it is missing and passed on. traceparent
// is passed on with the span of the attempt, or made from the seed and the
// request's id; tracestate goes with it.
// Microsim-Hop is the place in the tree of calls of one request: the indexes of
// the calls that led there, 0.2.1. Microsim-From names the calling service.
// Microsim-Deadline is the time left for the request as a whole in whole
// milliseconds; a service gives its own calls no more than what is left, and
// answers 504 once it is over. That a caller waits less for one answer, it is
// not told. Authorization is passed on to the system's own services.
package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
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
	// Seed is the run's; random decisions follow from it.
	Seed uint64
	// Peers are the base URLs of the replicas of each service that may be
	// called, itself included. The map must not be changed afterwards.
	Peers map[string][]string
	// AllowHosts are hosts, or host:port, outside the system that chains may
	// name by URL.
	AllowHosts []string
	// Stores are the data stores of the system, and NewDriver makes the driver of
	// one; without it, no store can be called. This package knows no driver, so that
	// programs that call no store stay small.
	Stores    []topology.Service
	NewDriver func(caller string, t *topology.Service) (store.Driver, error)
	// Token opens /admin and /set-delay; without one they are off.
	Token string
	// TraceSample is the share, from 0 to 1, of traces whose spans are kept
	// whatever becomes of the request; those of requests that fail are kept, too.
	// 0 makes no spans.
	TraceSample float64
	// Limits bound what a request may ask for.
	Limits chain.Limits
	// Logger gets a line per request at debug level, and faults that come and go at
	// info level; nil means none.
	Logger *slog.Logger
	// Transport sends the calls; nil means the service's own client, which never
	// sends a request twice and follows no redirects.
	Transport http.RoundTripper
	// Grace is how long Serve waits for requests in flight when it ends; 0 means
	// DefaultGrace.
	Grace time.Duration
	// TempDir is where io is written; empty means the system's.
	TempDir string
	// ProcessMetrics adds the metrics of the process and of Go's runtime, for a
	// process that serves nothing else.
	ProcessMetrics bool
	// OwnNetwork says that the process has a network namespace that it shares with no
	// other program. Only then its metrics tell what the network carried: the kernel
	// counts by namespace.
	OwnNetwork bool
}

// DefaultGrace is how long requests in flight may take when a service ends.
const DefaultGrace = 5 * time.Second

// A Service is one replica of a mock service. Its methods may be called from
// many goroutines.
type Service struct {
	cfg    Config
	limits chain.Limits
	log    *slog.Logger
	// served is what requests that begin are decided by; describing is held while it
	// changes.
	served     atomic.Pointer[served]
	describing sync.Mutex
	metrics    *metrics.Metrics
	faults     faultBoard
	tracer     tracer
	peers      atomic.Pointer[peer.Book]
	client     sender
	stores     *stores
	// admission lets requests wait inside; nil where they wait in the accept
	// queue.
	admission *workers.Admission
	// began is what the times of machines count from.
	began time.Time
	// held is the memory that is real.
	held atomic.Int64
	// units draws the numbers of units of CPU; it is made when it is first used.
	units func() *work.Units
	// slots are the processors that requests take turns on.
	slots chan struct{}
	// workFailed tells once that work cannot be done, as on a disk that is full.
	workFailed sync.Once
	ready      atomic.Bool
	// loopback is set if the service is reached by this machine alone.
	loopback atomic.Bool
	traffic  http1.Traffic
	// queue is the length of the accept queue, where Serve knows it.
	queue atomic.Pointer[func() int]

	exchanges sync.Pool
	// inFlight counts requests; working those and what they left running
	// beside them.
	inFlight, working atomic.Int64
	// idle gets a token when the last of working has ended after the stop.
	idle chan struct{}
	// stop ends all waiting and working; it is closed when the grace is over.
	stop     chan struct{}
	stopOnce sync.Once
}

// New returns a service that is ready to be served. Nothing runs yet. Data
// stores are served by package workload/store.
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
		stop: make(chan struct{}), idle: make(chan struct{}, 1), slots: make(chan struct{}, runtime.GOMAXPROCS(0)),
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
	return s, nil
}

// measured is what the metrics ask the service for.
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

// now is the time since the service's start, which machines are told.
func (s *Service) now() time.Duration { return time.Since(s.began) }

// clock is a time of machines on the clock; zero stands for exec.Never.
func (s *Service) clock(at time.Duration) time.Time {
	if at == exec.Never {
		return time.Time{}
	}
	return s.began.Add(at)
}

// Name returns the service's name.
func (s *Service) Name() string { return s.cfg.Service.Name }

// Handler returns the whole service as a handler: chains, endpoints, and what
// ControlHandler has. It does not bound workers; Serve does.
func (s *Service) Handler() http.Handler { return http.HandlerFunc(s.serveHTTP) }

// ControlHandler returns only /healthz, /readyz, /metrics, /admin and
// /set-delay, for a second listener that a full accept queue does not block.
func (s *Service) ControlHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setRequestID(w.Header(), r.Header)
		if s.mayServe(w, r) && !s.serveControl(w, r) {
			writeError(w, http.StatusNotFound, fmt.Sprintf("path %q is not served here", r.URL.Path))
		}
	})
}

// maxHeader bounds the header of a request.
const maxHeader = 64 << 10

// Serve answers the connections of ln until ctx ends. Then it takes no more,
// gives requests in flight the grace to end, closes what is left, and returns
// nil when every goroutine has ended and all memory is freed. Any other end of
// the listener is an error. A service is served once.
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
		// The grace is over; Close below ends what still works.
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

// Close ends all work, takes the faults back, closes the connections to other
// services and waits until all is gone. Serve does it at its end; a service
// that was used by its Handler alone must be closed.
func (s *Service) Close() {
	s.stopOnce.Do(func() { close(s.stop) })
	s.client.Close()
	s.stores.close()
	s.faults.clearAll(s)
	for s.working.Load() > 0 {
		<-s.idle
	}
	// Another Close may wait for the same token.
	s.signalIdle()
}

// enter counts a piece of work in, unless the service is stopping.
func (s *Service) enter() bool {
	s.working.Add(1)
	if s.stopping() {
		s.leave()
		return false
	}
	return true
}

func (s *Service) leave() {
	// The decrement comes first: Close has closed stop before it looks at the
	// count, so one of the two sees the other.
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
