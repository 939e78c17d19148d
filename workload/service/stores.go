package service

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/service/metrics"
	"github.com/microsim-dev/kubectl-microsim/workload/service/peer"
)

// stores has the data stores that the service knows.
type stores struct {
	known atomic.Pointer[[]topology.Service]
	// called has, by name, the stores that the service calls or has called. The map is
	// never changed, but replaced by another.
	called atomic.Pointer[map[string]*calledStore]
	// ctx ends the operations under way.
	ctx context.Context
	end context.CancelFunc
}

// A calledStore is a data store that the service calls.
type calledStore struct {
	driver store.Driver
	// of is the store that the driver was made for.
	of     topology.Service
	items  int
	series map[topology.Operation]*metrics.Operation
}

func newStores() *stores {
	s := &stores{}
	s.known.Store(new([]topology.Service))
	s.called.Store(&map[string]*calledStore{})
	s.ctx, s.end = context.WithCancel(context.Background())
	return s
}

// openStores makes a driver for each store that the plan calls, if it has none yet. On
// an error it keeps the drivers made so far: the next plan uses them, or close closes
// them.
func (s *Service) openStores(plan *behave.Service, all []topology.Service) error {
	for _, call := range plan.Sites {
		if !call.ToStore() || (*s.stores.called.Load())[call.To] != nil {
			continue
		}
		at := slices.IndexFunc(all, func(t topology.Service) bool { return t.Name == call.To })
		if at < 0 || s.cfg.NewDriver == nil {
			return fmt.Errorf("service %q calls the data store %q, and this program has no driver for it; start the system with kubectl microsim up --on local --isolation inprocess", s.Name(), call.To)
		}
		t := &all[at]
		driver, err := s.cfg.NewDriver(s.Name(), t)
		if err != nil {
			return fmt.Errorf("service %q: %w", s.Name(), err)
		}
		called := &calledStore{driver: driver, of: *t, items: t.StoreSettings().Items}
		called.series = s.metrics.Store(call.To, t.Kind, driver.Usage)
		next := maps.Clone(*s.stores.called.Load())
		next[call.To] = called
		s.stores.called.Store(&next)
	}
	s.stores.known.Store(&all)
	return nil
}

// changed returns the name of a store whose settings in the list differ from those
// that its driver was made with, or "". Such a driver cannot follow the list.
func (s *stores) changed(all []topology.Service) string {
	called := *s.called.Load()
	for i := range all {
		t := all[i]
		if was := called[t.Name]; was != nil {
			if t.Replicas = was.of.Replicas; !reflect.DeepEqual(t, was.of) {
				return t.Name
			}
		}
	}
	return ""
}

// has reports whether a name is that of a data store.
func (s *stores) has(name string) bool {
	return slices.ContainsFunc(*s.known.Load(), func(t topology.Service) bool { return t.Name == name })
}

// keepOnly closes the connections to stores at addresses that are not in the book.
func (s *stores) keepOnly(book *peer.Book) {
	for name, called := range *s.called.Load() {
		var addresses []string
		for _, r := range book.Replicas(name) {
			addresses = append(addresses, r.Addr())
		}
		called.driver.KeepOnly(addresses)
	}
}

func (s *stores) close() {
	s.end()
	for _, called := range *s.called.Load() {
		_ = called.driver.Close() // no operation is under way any more, so none is lost
	}
}

// items returns how many items a store has.
func (s *stores) items(name string) int { return (*s.called.Load())[name].items }

// operate does the operations of an attempt one after another, until one fails.
// missed says that a read found no item.
func (x *exchange) operate(sent *sending) (missed bool, err error) {
	s := x.service
	ctx, cancel := context.WithCancel(s.stores.ctx)
	defer cancel()
	if !sent.until.IsZero() {
		ctx, cancel = context.WithDeadline(ctx, sent.until)
		defer cancel()
	}
	if sent.cancel != nil {
		defer context.AfterFunc(sent.cancel, cancel)()
	}
	call := sent.toStore.Call
	called := (*s.stores.called.Load())[call.To]
	for n, op := range call.Operations {
		q := x.query(sent.toStore, n, op)
		start := time.Now()
		found, err := called.driver.Do(ctx, sent.address, &q)
		if err != nil && s.stores.ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", outcome.ErrStopping, err)
		}
		called.series[op].Count(store.Class(err), time.Since(start))
		if err != nil {
			return false, err
		}
		missed = missed || op == topology.OpRead && !found
	}
	return missed, nil
}

// query returns the query for the n-th operation of a call.
func (x *exchange) query(op *behave.Op, n int, kind topology.Operation) store.Query {
	item := x.by.plan.ItemOf(x.machine.Who(), op, n, x.service.stores.items)
	q := store.Query{Operation: kind, Item: store.ItemName(item)}
	if kind == topology.OpRange {
		for i := range topology.RangeItems {
			q.Items = append(q.Items, store.ItemName(item+i))
		}
	}
	if kind.Writes() {
		size := op.Call.RequestBytes
		if size == 0 {
			size = topology.DefaultValueSize
		}
		q.Value = make([]byte, size)
		for i := range q.Value {
			q.Value[i] = '0'
		}
	}
	return q
}
