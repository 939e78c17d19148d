package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A Condition is a fault that acts on a store, since a moment.
type Condition struct {
	ID    string
	Fault fault.Fault
	Since time.Duration
	hits  *int64
}

// Hits counts the operations, or the connections, that it has acted on.
func (c *Condition) Hits() int64 { return *c.hits }

// Short names of the conditions.
const (
	slow      = fault.SlowQuery
	exhausted = fault.ConnectionsExhausted
	lockedRow = fault.LockWait
	readOnly  = fault.Failover
	lagging   = fault.ReplicaLag
	noAuth    = fault.AuthRevoked
	noSpace   = fault.DiskFull
)

// Apply puts the store under a condition from now on, in place of one with the same
// id. cut says that the connections of all clients are to be closed. The operations
// whose step says Changes are to be told.
func (s *Store) Apply(id string, f fault.Fault, now time.Duration) (cut bool) {
	s.remove(id)
	c := Condition{ID: id, Fault: f.WithDefaults(), Since: now, hits: new(int64)}
	s.conditions = append(s.conditions, c)
	switch f.Type {
	case fault.CacheFlush:
		*c.hits = int64(s.Flush(now))
	case exhausted, fault.Failover, noAuth:
		*c.hits = int64(s.open)
		s.counts.Cut++
		return true
	default: // they act on operations that come
	}
	return false
}

// Clear ends a condition; one that is not there is no mistake. The operations whose
// step says Changes are to be told.
func (s *Store) Clear(id string) {
	s.remove(id)
	s.topic.clean(id)
	if !s.has(lagging) {
		s.items.forget()
	}
}

func (s *Store) remove(id string) {
	s.conditions = slices.DeleteFunc(slices.Clone(s.conditions), func(c Condition) bool { return c.ID == id })
}

// has reports whether the store is under a condition.
func (s *Store) has(t fault.Type) bool {
	return slices.ContainsFunc(s.conditions, func(c Condition) bool { return c.Fault.Type == t })
}

// note counts what a condition has done to a connection.
func (s *Store) note(t fault.Type) {
	for i := range s.conditions {
		if s.conditions[i].Fault.Type == t {
			*s.conditions[i].hits++
		}
	}
}

// away reports whether there is no primary: for the hold of a failover.
func (s *Store) away(now time.Duration) bool {
	return slices.ContainsFunc(s.conditions, func(c Condition) bool {
		return c.Fault.Type == fault.Failover && now < c.Since+c.Fault.Args.Hold.Std()
	})
}

// hit decides whether a condition acts on an operation, and counts it.
func (s *Store) hit(t fault.Type, r *Running) bool {
	_, hit := s.hitBy(t, r)
	return hit
}

// hitBy is hit, and says by which.
func (s *Store) hitBy(t fault.Type, r *Running) (id string, hit bool) {
	for i := range s.conditions {
		if c := &s.conditions[i]; c.Fault.Type == t && c.acts(r) {
			*c.hits++
			return c.ID, true
		}
	}
	return "", false
}

func (c *Condition) acts(r *Running) bool {
	if only := c.Fault.Args.Operation; only != "" && only != string(r.query.Operation) {
		return false
	}
	return r.key.With("fault").With(c.ID).Chance(float64(c.Fault.Probability))
}

// slowness is what slow queries add to an operation.
func (s *Store) slowness(r *Running) (sum time.Duration) {
	for i := range s.conditions {
		if c := &s.conditions[i]; c.Fault.Type == slow && c.acts(r) {
			*c.hits++
			sum += c.Fault.Args.EffectiveDelay().Draw(r.key.With("delay").With(c.ID))
		}
	}
	return sum
}

// behind is the moment that a read sees: now, or what a replica that lags has. It
// is never before the lag began, from when on former versions are kept.
func (s *Store) behind(r *Running, now time.Duration) time.Duration {
	for i := range s.conditions {
		if c := &s.conditions[i]; c.Fault.Type == lagging && c.acts(r) {
			*c.hits++
			return max(now-c.Fault.Args.Delay.Fixed.Std(), c.Since)
		}
	}
	return now
}

// Can says why a store of a kind cannot have a fault; nil means that it can. Faults
// that do not act in a store are not looked at, but for those in services.
func Can(t *topology.Service, f *fault.Fault) error {
	entry, _ := fault.Lookup(f.Type)
	if !t.Kind.IsStore() {
		if entry.Layer == fault.InStore {
			return fmt.Errorf("fault type %q acts on data stores, and %q is a service of kind %s; write latency or error", f.Type, t.Name, t.Kind)
		}
		return nil
	}
	switch {
	case f.Type == fault.Unreachable:
		return nil // it acts in the callers
	case entry.Layer == fault.InService:
		return fmt.Errorf("fault type %q acts on requests, and %q is a data store of kind %s; write %s", f.Type, t.Name, t.Kind, strings.Join(instead(f.Type), " or "))
	case entry.Layer == fault.OnProcess || entry.Layer == fault.OnHost:
		switch settings := t.StoreSettings(); {
		case settings.Engine != topology.Real:
			return nil
		case settings.Address != "":
			return fmt.Errorf("fault type %q is not possible on %q: its server, at %s, is not ours to stop; break the way to it, such as with refuse", f.Type, t.Name, settings.Address)
		case entry.Layer == fault.OnHost:
			return fmt.Errorf("fault type %q is not possible on %q: it would take from the relay and not from the real server behind it; write engine: embedded", f.Type, t.Name)
		}
		return nil
	case entry.Layer != fault.InStore:
		return nil
	}
	if settings := t.StoreSettings(); settings.Engine == topology.Real {
		if err := canReally(t, &settings, f); err != nil {
			return fmt.Errorf("fault type %q is not possible on %q: %w, or break the way to it, such as with net-delay or refuse", f.Type, t.Name, err)
		}
	}
	if op := f.Args.Operation; op != "" && !slices.Contains(t.Kind.Operations(), topology.Operation(op)) {
		return fmt.Errorf("fault type %q is not possible on %q: %s has no operation %s; write %s", f.Type, t.Name, t.Kind, op, topology.OrList(t.Kind.Operations()))
	}
	lacks := ""
	switch {
	case t.Kind == topology.Kafka && f.Type == lagging:
		lacks = "answers from leaders alone; write consumer-lag"
	case t.Kind != topology.Kafka && slices.Contains([]fault.Type{behind, poison}, f.Type):
		lacks = "has no consumers"
	case f.Type == lockedRow && !t.Kind.HasRowLocks():
		lacks = "has no locks on rows"
	case f.Type == fault.CacheFlush && t.Kind != topology.Redis && t.Kind != topology.Memcached:
		lacks = "is no cache"
	case t.Kind == topology.Memcached && slices.Contains([]fault.Type{fault.Failover, lagging}, f.Type):
		lacks = "has no replicas"
	case t.Kind == topology.Memcached && f.Type == noAuth:
		lacks = "asks for no credentials"
	case t.Kind == topology.Memcached && f.Type == noSpace:
		lacks = "has no disk"
	}
	if lacks != "" {
		return fmt.Errorf("fault type %q is not possible on %q: %s %s", f.Type, t.Name, t.Kind, lacks)
	}
	return nil
}

// RealFaults lists the faults that servers of a kind can be put under by their own
// means.
func RealFaults(kind topology.Kind) []fault.Type {
	switch kind {
	case topology.Redis:
		return []fault.Type{exhausted, readOnly, fault.CacheFlush, noAuth, noSpace}
	case topology.Postgres, topology.MySQL:
		return []fault.Type{exhausted, readOnly, noAuth, lockedRow}
	case topology.Memcached:
		return []fault.Type{fault.CacheFlush}
	default:
		return nil
	}
}

// canReally says why a real server cannot have a fault.
func canReally(t *topology.Service, settings *topology.Store, f *fault.Fault) error {
	switch {
	case f.Type == slow: // the relay before the server holds operations
		return nil
	case settings.Address != "":
		return fmt.Errorf("its server, at %s, is not ours to change; leave address out to start one", settings.Address)
	case !slices.Contains(RealFaults(t.Kind), f.Type):
		return fmt.Errorf("a real server of kind %s cannot be told to; write engine: embedded", t.Kind)
	case f.Probability > 0 && f.Probability < 1:
		return errors.New("a real server fails for all operations or for none; write probability: 1, or engine: embedded")
	}
	return nil
}

// instead are the faults of stores that come close to one of services.
func instead(t fault.Type) []string {
	switch t {
	case fault.Latency, fault.CPU, fault.IO:
		return []string{string(slow)}
	case fault.Hang:
		return []string{string(slow), string(fault.NetPartition)}
	case fault.Abort, fault.Panic:
		return []string{string(fault.Failover), string(fault.Reset)}
	case fault.Corrupt:
		return []string{string(fault.CorruptData)}
	default: // Error, MemoryLeak
		return []string{string(noAuth), string(noSpace)}
	}
}
