package service

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/service/metrics"
	"github.com/microsim-dev/kubectl-microsim/workload/service/peer"
)

// stores are the data stores of the system, as far as the service knows them.
type stores struct {
	names []string
	// called are those that the service calls, by name.
	called map[string]*calledStore
	// ctx ends what is under way.
	ctx context.Context
	end context.CancelFunc
}

// A calledStore is one that the service calls.
type calledStore struct {
	driver store.Driver
	items  int
	series map[topology.Operation]*metrics.Operation
}

// openStores makes a driver for each store that the service calls.
func (s *Service) openStores() error {
	s.stores = &stores{called: map[string]*calledStore{}}
	s.stores.ctx, s.stores.end = context.WithCancel(context.Background())
	for i := range s.cfg.Stores {
		s.stores.names = append(s.stores.names, s.cfg.Stores[i].Name)
	}
	for _, call := range s.plan.Sites {
		if !call.ToStore() || s.stores.called[call.To] != nil {
			continue
		}
		at := slices.Index(s.stores.names, call.To)
		if at < 0 || s.cfg.NewDriver == nil {
			s.stores.close()
			return fmt.Errorf("service %q calls the data store %q, and this program has no driver for it; start the system with kubectl microsim up --on local --isolation inprocess", s.Name(), call.To)
		}
		t := &s.cfg.Stores[at]
		driver, err := s.cfg.NewDriver(s.Name(), t)
		if err != nil {
			s.stores.close()
			return fmt.Errorf("service %q: %w", s.Name(), err)
		}
		called := &calledStore{driver: driver, items: t.StoreSettings().Items}
		called.series = s.metrics.Store(call.To, t.Kind, driver.Usage)
		s.stores.called[call.To] = called
	}
	return nil
}

func (s *stores) has(name string) bool { return slices.Contains(s.names, name) }

// keepOnly closes connections to addresses that are none of the peers'.
func (s *stores) keepOnly(book *peer.Book) {
	for name, called := range s.called {
		var addresses []string
		for _, r := range book.Replicas(name) {
			addresses = append(addresses, r.Addr())
		}
		called.driver.KeepOnly(addresses)
	}
}

func (s *stores) close() {
	s.end()
	for _, called := range s.called {
		_ = called.driver.Close() // nothing is under way any more
	}
}

// items is how many items a store has.
func (s *stores) items(name string) int { return s.called[name].items }

// operate does the operations of an attempt one after another, up to the first that
// fails. missed says that a read found no item.
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
	called := s.stores.called[call.To]
	for n, op := range call.Operations {
		q := s.query(x.machine.Who(), sent.toStore, n, op)
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

// query is the n-th operation of a call.
func (s *Service) query(who behave.Request, op *behave.Op, n int, kind topology.Operation) store.Query {
	item := s.plan.ItemOf(who, op, n, s.stores.items)
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
