// Package store serves data stores: the embedded engine, which drives the model of
// package model/store on real connections and in real time, and a relay to a real
// server. A front speaks the protocol of one kind, so that the real clients of that
// kind can connect.
//
// Control is not on the port of the store, which speaks its own protocol, but at the
// handler that ControlHandler returns: health, metrics, faults.
package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/store/daemon"
	"github.com/microsim-dev/kubectl-microsim/workload/store/intake"
	"github.com/microsim-dev/kubectl-microsim/workload/store/kafkafront"
)

// Config describes a data store that is to be served.
type Config struct {
	// Service is the store.
	Service topology.Service
	// Replica counts from 1; 0 means 1.
	Replica int
	// Seed is the run's; random decisions and the items follow from it.
	Seed uint64
	// Token opens /admin; without one it is off.
	Token string
	// Data is the directory below which a real server keeps its data that this
	// program starts because the store names no address.
	Data string
	// OwnServer is the address of a real server that was started for this store alone, by
	// others: it is awaited, filled and broken as one that this program starts.
	OwnServer string
	// Prepare gives a real server the items of the store, and returns what takes
	// them back; nil leaves the server as it is.
	Prepare func(ctx context.Context, t *topology.Service, seed uint64) (undo func(context.Context) error, err error)
	// Console reaches a real server that this program has started, to put it under
	// faults; nil means that it has none.
	Console func(ctx context.Context, t *topology.Service) (Console, error)
	// Lags asks a real Kafka how far its groups of consumers are behind; nil means that their
	// lag is not known.
	Lags func(t *topology.Service) (store.LagReader, error)
	// ProcessMetrics adds the metrics of the process and of Go's runtime, for a program that
	// serves this store alone.
	ProcessMetrics bool
	// Logger gets faults that come and go at info level; nil means none.
	Logger *slog.Logger
}

// CanServe says why a store cannot run; nil means that it can.
func CanServe(t *topology.Service) error {
	if _, ok := frontOf(t.Kind); !ok {
		return fmt.Errorf("kind %s is no data store", t.Kind)
	}
	settings := t.StoreSettings()
	if settings.Image != "" {
		return fmt.Errorf("its image %q runs on clusters alone; leave store.image out to start a server that is installed, or use --on kind or --on cluster", settings.Image)
	}
	if settings.Engine == topology.Real && settings.Address == "" {
		return daemon.Check(t.Kind)
	}
	return nil
}

// A Server is one data store. Its methods may be called from many goroutines.
type Server struct {
	cfg   Config
	log   *slog.Logger
	front front
	// real says that a real server answers; relay is its address, once it is known.
	real  bool
	relay string
	// daemon is the real server, if this program has started it.
	daemon *daemon.Daemon
	// ownGone stops serving, and ownErr says why, when the server that others have started
	// for this store alone has ended; guarded by mu.
	ownGone func()
	ownErr  error
	// breaking is what real faults need.
	breaking breaking
	metrics  *metrics
	// lagReader asks a real Kafka; nil where nobody is asked. It is guarded by mu.
	lagReader store.LagReader
	// groups are the consumer groups of a Kafka.
	groups *kafkafront.Groups
	// intake is the memory that messages of clients may take.
	intake *intake.Budget
	began  time.Time
	ready  atomic.Bool

	mu    sync.Mutex
	model *store.Store
	// changed is closed when the conditions change.
	changed chan struct{}
	faults  []*runningFault
	conns   map[net.Conn]bool
	ended   bool
	// handlers counts the connections that are served.
	handlers sync.WaitGroup
}

// New returns a store that is ready to be served. Nothing runs yet.
func New(cfg Config) (*Server, error) {
	f, ok := frontOf(cfg.Service.Kind)
	if !ok {
		return nil, fmt.Errorf("serving store %q: %w", cfg.Service.Name, CanServe(&cfg.Service))
	}
	cfg.Replica = max(cfg.Replica, 1)
	s := &Server{
		cfg: cfg, front: f, log: cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler)).With("service", cfg.Service.Name, "replica", cfg.Replica),
		began: time.Now(), model: store.New(cfg.Seed, &cfg.Service), intake: intake.NewBudget(mostIntake), changed: make(chan struct{}), conns: map[net.Conn]bool{},
	}
	if settings := cfg.Service.StoreSettings(); settings.Engine == topology.Real {
		s.real, s.front.serve, s.relay = true, serveRelay, settings.Address
		s.breaking.unread = map[net.Conn]bool{}
	}
	s.metrics, s.groups = newMetrics(s), kafkafront.NewGroups()
	return s, nil
}

// mostIntake is how many bytes the messages of all clients may have that are under way.
const mostIntake = 256 << 20

// now is the time since the store's start, which the model is told.
func (s *Server) now() time.Duration { return time.Since(s.began) }

// Serve answers the connections of ln until ctx ends, and returns when every
// goroutine has ended. Any other end of the listener is an error. A store is served
// once.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	defer s.end()
	if s.real {
		stop, err := s.startReal(ctx, func() { ln.Close() })
		if err != nil {
			return err
		}
		defer stop()
		closeLags, err := s.openLags()
		if err != nil {
			return err
		}
		defer closeLags()
	}
	s.ready.Store(true)
	for {
		conn, err := ln.Accept()
		switch {
		case err != nil && ctx.Err() != nil:
			return nil //nolint:nilerr // it was to end
		case err != nil && s.serverEnded() != nil:
			return fmt.Errorf("serving store %q: %w", s.cfg.Service.Name, s.serverEnded())
		case err != nil:
			return fmt.Errorf("serving store %q on %s: %w", s.cfg.Service.Name, ln.Addr(), err)
		}
		if !s.take(conn) {
			continue
		}
		s.handlers.Go(func() {
			defer s.drop(conn)
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			s.front.serve(ctx, s, conn)
		})
	}
}

// end closes the connections, ends the faults and waits for what is under way.
func (s *Server) end() {
	s.ready.Store(false)
	s.mu.Lock()
	s.ended = true
	s.cut()
	s.mu.Unlock()
	s.handlers.Wait()
	s.clearAll()
}

// take asks the model whether a connection is taken in, and closes others, after the
// words of the protocol if there are any.
func (s *Server) take(conn net.Conn) bool {
	s.mu.Lock()
	code, ok := s.model.Connect(s.now())
	if ok {
		s.conns[conn] = true
	}
	s.mu.Unlock()
	if s.real {
		s.met(metConnection)
	}
	if ok {
		return true
	}
	if code == store.OK || s.real {
		conn.Close()
		return false
	}
	s.handlers.Go(func() { s.front.turnAway(conn, code) })
	return false
}

func (s *Server) drop(conn net.Conn) {
	conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.breaking.unread, conn)
	if s.conns[conn] {
		delete(s.conns, conn)
		s.model.Disconnect()
	}
}

// cut closes all connections. The caller holds mu.
func (s *Server) cut() {
	for conn := range s.conns {
		delete(s.conns, conn)
		s.model.Disconnect()
		conn.Close()
	}
}

// errEnded is that of an operation that the end of its store broke off.
var errEnded = errors.New("the store has ended")

// do lets the model do an operation in real time, and counts it. It returns an error
// if ctx ends first.
func (s *Server) do(ctx context.Context, q store.Query) (store.Answer, error) {
	start := s.now()
	var r store.Running
	s.mu.Lock()
	step, changed := s.model.Begin(&r, q, start), s.changed
	s.mu.Unlock()
	for !step.Done {
		if err := wait(ctx, step.Until-s.now(), step.Changes, changed); err != nil {
			return store.Answer{}, err
		}
		s.mu.Lock()
		step, changed = s.model.Next(&r, max(s.now(), minUntil(&step, changed))), s.changed
		s.mu.Unlock()
	}
	if step.Wakes {
		s.mu.Lock()
		s.wake()
		s.mu.Unlock()
	}
	if q.Operation == topology.OpConsume && !step.Answer.Found && step.Answer.Code == store.OK {
		return step.Answer, nil // looking for a message in vain is no operation
	}
	for range max(len(q.Batch), len(step.Answer.Messages), 1) {
		s.metrics.count(q.Operation, step.Answer.Code, s.now()-start)
	}
	return step.Answer, nil
}

// minUntil is the time that an operation has waited for: timers may be early by the
// resolution of the clock. It is 0 if the conditions have changed.
func minUntil(step *store.Step, changed <-chan struct{}) time.Duration {
	if step.Changes {
		select {
		case <-changed:
			return 0
		default:
		}
	}
	return step.Until
}

// wait waits for so long or, if changes, until the conditions change.
func wait(ctx context.Context, d time.Duration, changes bool, changed <-chan struct{}) error {
	if !changes {
		changed = nil
	}
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	case <-ctx.Done():
		return errEnded
	}
	return nil
}

// look asks the model something; nothing comes between.
func (s *Server) look(ask func(m *store.Store, now time.Duration)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ask(s.model, s.now())
}
