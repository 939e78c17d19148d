package topology

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// Engine says which program answers the operations of a data store.
type Engine string

// The engines.
const (
	// Embedded is this project's own model of a store, which speaks the store's
	// protocol.
	Embedded Engine = "embedded"
	// Real is a server of that kind, at an address or started for the system.
	Real Engine = "real"
)

// A Store describes a data store: its engine, its items, its speed, and the driver
// by which each replica of its callers reaches it. A zero field means its default;
// see Service.StoreSettings.
type Store struct {
	// Reads is how many items a call looks up if the call has no reads, writes or
	// query of its own.
	Reads int `json:"reads,omitempty"`
	// Writes is how many writes such a call makes, after its reads.
	Writes int `json:"writes,omitempty"`
	// Engine is what answers: embedded or real; empty means embedded.
	Engine Engine `json:"engine,omitempty"`
	// Address is the host:port of a real server; empty starts one that is installed.
	Address string `json:"address,omitempty"`
	// Image is the image of a real server on clusters, in place of the official image of
	// the kind.
	Image string `json:"image,omitempty"`
	// Items is how many items there are at the beginning: item:0, item:1 and so on.
	// Each operation draws one of them; of Kafka, they are the keys of messages.
	Items int `json:"items,omitempty"`
	// Latency is how long the embedded store works on an operation, in addition to
	// the time that the machine takes.
	Latency dist.Delay `json:"latency,omitzero"`
	// WriteLatency takes the place of Latency for writes and transactions.
	WriteLatency dist.Delay `json:"writeLatency,omitzero"`
	// MaxConnections is how many clients may be connected; 0 means the default of
	// the kind.
	MaxConnections int `json:"maxConnections,omitempty"`
	// LockTimeout bounds the wait for a row that another operation has locked; 0
	// means the default of the kind.
	LockTimeout unit.Duration `json:"lockTimeout,omitzero"`
	// Space bounds the bytes that writes may add; 0 means no bound.
	Space unit.Size `json:"space,omitzero"`
	// Partitions is how many partitions the topic of a Kafka has. One consumer of a
	// group takes the messages of a partition, in order.
	Partitions int `json:"partitions,omitempty"`
	// Retention bounds the bytes of the messages that a partition keeps; the oldest
	// are removed first, consumed or not.
	Retention unit.Size `json:"retention,omitzero"`
	// Pool bounds the connections that one replica of a caller keeps to the store.
	Pool Pool `json:"pool,omitzero"`
	// Timeout is how long the driver waits for the answer to one operation.
	Timeout unit.Duration `json:"timeout,omitzero"`
	// Retries is how often the driver itself sends a failed operation again. Real
	// drivers do so by default; here 0 means never, so that failures are visible.
	Retries int `json:"retries,omitempty"`
}

// A Pool is the connection pool of a driver.
type Pool struct {
	// Size is how many connections there may be at once.
	Size int `json:"size,omitempty"`
	// Wait is how long an operation waits for a free connection. An operation that
	// gets none ends as rejected.
	Wait unit.Duration `json:"wait,omitzero"`
}

// Operation names one kind of operation of a data store.
type Operation string

// The operations.
const (
	// OpRead looks one item up by its key.
	OpRead Operation = "read"
	// OpWrite stores one item.
	OpWrite Operation = "write"
	// OpRange reads RangeItems items that follow one another.
	OpRange Operation = "range"
	// OpTransaction reads an item and writes it, both or none.
	OpTransaction Operation = "transaction"
	// OpPublish appends one message to the partition of its key.
	OpPublish Operation = "publish"
	// OpConsume takes the next message for the consumer group of the caller, and
	// waits ConsumePatience for one. The group is the service that calls.
	OpConsume Operation = "consume"
)

// ConsumePatience is how long a consumer waits for a message, which is
// fetch.max.wait.ms of Kafka's consumers.
const ConsumePatience = unit.Duration(500e6)

// RangeItems is how many items a range has.
const RangeItems = 10

// Operations lists all operations.
func Operations() []Operation {
	return []Operation{OpRead, OpWrite, OpRange, OpTransaction, OpPublish, OpConsume}
}

// Operations lists the operations of a kind of store; none for a kind that is not a
// store.
func (k Kind) Operations() []Operation {
	switch {
	case k == Kafka:
		return []Operation{OpPublish, OpConsume}
	case k == Memcached:
		return []Operation{OpRead, OpWrite, OpRange}
	case k.IsStore():
		return []Operation{OpRead, OpWrite, OpRange, OpTransaction}
	default:
		return nil
	}
}

// Writes reports whether the operation stores data.
func (o Operation) Writes() bool { return o == OpWrite || o == OpTransaction || o == OpPublish }

// Defaults of stores.
const (
	// DefaultItems is how many documents VECROsim seeds its stores with.
	DefaultItems        = 100_000
	DefaultPoolSize     = 10
	DefaultPoolWait     = unit.Duration(1e9)
	DefaultStoreTimeout = unit.Duration(5e9)
	// DefaultValueSize is how many bytes a write stores if its call has no
	// requestSize.
	DefaultValueSize = 64
	// DefaultPartitions is num.partitions of Kafka.
	DefaultPartitions = 1
	DefaultRetention  = 16 << 20
)

// Bounds of stores.
const (
	MaxItems       = 10_000_000
	MaxPool        = 10_000
	MaxConnections = 1_000_000
	MaxRetries     = 10
	MaxSpace       = 4 << 30
	MaxPartitions  = 1000
	// MaxMessage is how long a message of Kafka may be: max.message.bytes is 1 MiB,
	// and drivers send at most 1 MB with what they add.
	MaxMessage = 900_000
)

// kindDefaults are the defaults of the real servers of a kind.
type kindDefaults struct {
	connections int
	// lock is innodb_lock_wait_timeout of MySQL; PostgreSQL's lock_timeout and
	// MongoDB's wait have no bound.
	lock unit.Duration
}

func (k Kind) defaults() kindDefaults {
	switch k {
	case MySQL:
		return kindDefaults{151, unit.Duration(50e9)} // max_connections, MySQL 8.0
	case Postgres:
		return kindDefaults{100, 0} // max_connections, PostgreSQL 15
	case MongoDB:
		return kindDefaults{65536, 0} // net.maxIncomingConnections
	case Memcached:
		return kindDefaults{1024, 0} // -c
	case Kafka:
		return kindDefaults{math.MaxInt32, 0} // max.connections
	default:
		return kindDefaults{10000, 0} // maxclients of Redis
	}
}

// StoreSettings returns the settings of a data store with their defaults.
func (s *Service) StoreSettings() Store {
	var t Store
	if s.Store != nil {
		t = *s.Store
	}
	usual := s.Kind.defaults()
	t.Engine = cmp.Or(t.Engine, Embedded)
	t.Items = cmp.Or(t.Items, DefaultItems)
	t.MaxConnections = cmp.Or(t.MaxConnections, usual.connections)
	t.LockTimeout = cmp.Or(t.LockTimeout, usual.lock)
	t.Pool.Size = cmp.Or(t.Pool.Size, DefaultPoolSize)
	t.Pool.Wait = cmp.Or(t.Pool.Wait, DefaultPoolWait)
	t.Timeout = cmp.Or(t.Timeout, DefaultStoreTimeout)
	if t.WriteLatency.IsZero() {
		t.WriteLatency = t.Latency
	}
	if s.Kind == Kafka {
		t.Partitions = cmp.Or(t.Partitions, DefaultPartitions)
		t.Retention = cmp.Or(t.Retention, DefaultRetention)
	}
	return t
}

// Operations returns the operations of a call of a store, in order; none for a call
// of another service.
func (c *Call) Operations() []Operation {
	list := make([]Operation, 0, c.Reads+c.Writes+len(c.Query))
	for range c.Reads {
		list = append(list, OpRead)
	}
	for range c.Writes {
		list = append(list, OpWrite)
	}
	return append(list, c.Query...)
}

// WithOperations completes a call of a store. A call without operations gets the reads and
// writes of the store or, if that has none, one read (one publish if the store is Kafka). A
// call of another service stays as it is.
func (c Call) WithOperations(callee *Service) Call {
	if !callee.Kind.IsStore() || c.Reads > 0 || c.Writes > 0 || len(c.Query) > 0 {
		return c
	}
	if callee.Kind == Kafka {
		c.Query = []Operation{OpPublish}
		return c
	}
	if t := callee.Store; t != nil {
		c.Reads, c.Writes = t.Reads, t.Writes
	}
	if c.Reads == 0 && c.Writes == 0 {
		c.Reads = 1
	}
	return c
}

// Stores lists the services that are data stores.
func (s *System) Stores() (names []string) {
	for i := range s.Services {
		if s.Services[i].Kind.IsStore() {
			names = append(names, s.Services[i].Name)
		}
	}
	return names
}

// CallsStore reports whether a service of the system calls a data store.
func (s *System) CallsStore(caller *Service) bool {
	for _, name := range caller.Calls() {
		if t := s.Service(name); t != nil && t.Kind.IsStore() {
			return true
		}
	}
	return false
}

func kindNames() string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, string(k))
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

// checkStore reports mistakes in the store settings of a service.
func (s *Service) checkStore(problems *problem.List) {
	if !s.Kind.IsStore() {
		if s.Store != nil {
			problems.AddHint("store", "set kind to "+strings.TrimPrefix(kindNames(), "base, "), "a service of kind %q has no store operations", s.Kind)
		}
		return
	}
	refuse := func(path string, set bool, hint string) {
		if set {
			problems.AddHint(path, hint, "a store of kind %s answers operations and no requests, so %s has no effect", s.Kind, path)
		}
	}
	for i := range s.Endpoints {
		plain := NewEndpoint(DefaultPath)
		if e := s.Endpoints[i]; !reflect.DeepEqual(e, plain) {
			problems.AddHint(problem.Index("endpoints", i), "leave them out; latency and items stand under store",
				"a store of kind %s answers operations and no requests, so its endpoints, work, calls and response have no effect", s.Kind)
		}
	}
	const leaveOut = "leave it out"
	refuse("runtime", s.Runtime != "" && s.Runtime != Agent, leaveOut)
	refuse("backlog", s.Backlog != 0, "write store: {maxConnections: ...}")
	refuse("shed", s.Shed != nil, "write store: {maxConnections: ...}")
	refuse("onCancel", s.OnCancel != "", leaveOut)
	refuse("memory", s.Memory != 0, leaveOut)
	refuse("readiness.path", s.Readiness != nil && s.Readiness.Path != "", leaveOut)
	refuse("liveness.path", s.Liveness != nil && s.Liveness.Path != "", leaveOut)
	if s.Replicas > 1 {
		problems.AddHint("replicas", "write 1; the faults replica-lag and failover show what replicas do", "a store has one address, and not %d replicas", s.Replicas)
	}
	if s.Workers > 0 && s.StoreSettings().Engine == Real {
		problems.AddHint("workers", "leave it out, or write engine: embedded", "a real server of kind %s has its own workers", s.Kind)
	}
	if s.Store != nil {
		problems.Under("store", s.Store.validate(s))
	}
}

func (t *Store) validate(s *Service) (problems problem.List) {
	checkRange(&problems, "reads", float64(t.Reads), 0, MaxStoreOps)
	checkRange(&problems, "writes", float64(t.Writes), 0, MaxStoreOps)
	checkRange(&problems, "items", float64(t.Items), 0, MaxItems)
	checkRange(&problems, "maxConnections", float64(t.MaxConnections), 0, MaxConnections)
	checkRange(&problems, "pool.size", float64(t.Pool.Size), 0, MaxPool)
	checkRange(&problems, "retries", float64(t.Retries), 0, MaxRetries)
	checkRange(&problems, "partitions", float64(t.Partitions), 0, MaxPartitions)
	checkSize(&problems, "space", t.Space, MaxSpace)
	checkSize(&problems, "retention", t.Retention, MaxSpace)
	for _, d := range []struct {
		path string
		v    unit.Duration
	}{{"lockTimeout", t.LockTimeout}, {"pool.wait", t.Pool.Wait}, {"timeout", t.Timeout}} {
		if d.v < 0 {
			problems.Add(d.path, "%s %q is negative", d.path, d.v)
		}
	}
	problems.Under("latency", t.Latency.Validate())
	problems.Under("writeLatency", t.WriteLatency.Validate())
	if t.Retries > 0 && s.Kind != Redis && s.Kind != MongoDB {
		problems.AddHint("retries", "leave it out, and give the calls a retry", "the driver of %s sends nothing again by itself", s.Kind)
	}
	if t.Retries > 1 && s.Kind == MongoDB {
		problems.AddHint("retries", "write 1, and give the calls a retry for more", "the driver of mongodb sends a read again once at most, and not %d times", t.Retries)
	}
	if t.LockTimeout != 0 && !s.Kind.HasRowLocks() {
		problems.AddHint("lockTimeout", "leave it out", "%s has no locks on rows", s.Kind)
	}
	t.checkLog(&problems, s)
	switch t.Engine {
	case "", Embedded:
		if t.Address != "" {
			problems.AddHint("address", "write engine: real, or leave address out", "the embedded engine chooses its own address")
		}
		if t.Image != "" {
			problems.AddHint("image", "write engine: real, or leave image out", "the embedded engine has its own program")
		}
	case Real:
		t.checkReal(&problems, s)
	default:
		problems.AddHint("engine", "write embedded or real", "engine %q is not known", t.Engine)
	}
	return problems
}

// checkReal refuses settings that a real server decides by itself.
func (t *Store) checkReal(problems *problem.List, s *Service) {
	host, port, ok := strings.Cut(t.Address, ":")
	if t.Address != "" && (!ok || host == "" || port == "" || strings.ContainsAny(t.Address, " /@?#")) {
		problems.AddHint("address", "write its host and port, such as 127.0.0.1:6379, or leave it out to start a server that is installed", "invalid address %q", t.Address)
	}
	switch {
	case t.Image != "" && t.Address != "":
		problems.AddHint("image", "leave out image or address", "the server at address %q runs already, and image would have no effect", t.Address)
	case strings.ContainsAny(t.Image, " \t\n$"):
		problems.AddHint("image", "write one such as redis:7.2.5", "invalid image %q", t.Image)
	}
	for _, f := range []struct {
		path string
		set  bool
	}{
		{"latency", !t.Latency.IsZero()}, {"writeLatency", !t.WriteLatency.IsZero()}, {"maxConnections", t.MaxConnections != 0},
		{"lockTimeout", t.LockTimeout != 0}, {"space", t.Space != 0}, {"retention", t.Retention != 0},
	} {
		if f.set {
			problems.AddHint(f.path, "leave it out, or write engine: embedded", "a real server of kind %s has its own %s", s.Kind, f.path)
		}
	}
}

// checkLog refuses the settings of a log for a store without a log, and the settings
// of items for a store with a log.
func (t *Store) checkLog(problems *problem.List, s *Service) {
	if s.Kind != Kafka {
		for _, f := range []struct {
			path string
			set  bool
		}{{"partitions", t.Partitions != 0}, {"retention", t.Retention != 0}} {
			if f.set {
				problems.AddHint(f.path, "leave it out; only stores of kind kafka have it", "%s has no %s", s.Kind, f.path)
			}
		}
		return
	}
	for _, f := range []struct {
		path, hint string
		set        bool
	}{
		{"reads", "write query: [consume] at the calls", t.Reads != 0}, {"writes", "write query: [publish] at the calls", t.Writes != 0},
		{"space", "write retention, which bounds what a partition keeps", t.Space != 0},
	} {
		if f.set {
			problems.AddHint(f.path, f.hint, "kafka publishes and consumes messages, and has no %s", f.path)
		}
	}
}

// HasRowLocks reports whether writes of one item wait for each other.
func (k Kind) HasRowLocks() bool { return k == MySQL || k == Postgres || k == MongoDB }

// SharesConnections reports whether the operations of a caller share one connection,
// over which the driver sends one after another without waiting for answers.
func (k Kind) SharesConnections() bool { return k == Kafka }

// checkOperations reports mistakes in the operations of a call; callee may be nil.
func (c *Call) checkOperations(problems *problem.List, callee *Service) {
	checkRange(problems, "reads", float64(c.Reads), 0, MaxStoreOps)
	checkRange(problems, "writes", float64(c.Writes), 0, MaxStoreOps)
	checkRange(problems, "query", float64(len(c.Query)), 0, MaxStoreOps)
	for i, op := range c.Query {
		if !slices.Contains(Operations(), op) {
			problems.AddHint(problem.Index("query", i), "write "+OrList(Operations()), "operation %q is not known", op)
		} else if callee != nil && callee.Kind.IsStore() && !slices.Contains(callee.Kind.Operations(), op) {
			problems.AddHint(problem.Index("query", i), "write "+OrList(callee.Kind.Operations()), "%s has no operation %s", callee.Kind, op)
		}
	}
	if callee == nil {
		return
	}
	if callee.Kind == Kafka {
		c.checkMessages(problems)
	}
	if callee.Kind.IsStore() {
		for _, f := range []struct {
			path string
			set  bool
		}{{"endpoint", c.Endpoint != ""}, {"method", c.Method != ""}} {
			if f.set {
				problems.AddHint(f.path, "write reads, writes or query", "a store of kind %s has no %s", callee.Kind, f.path)
			}
		}
		return
	}
	if first := firstSet(map[string]bool{"reads": c.Reads > 0, "writes": c.Writes > 0, "query": len(c.Query) > 0}); first != "" {
		problems.AddHint(first, "leave it out, or make the callee a store such as kind: redis", "service %q is no data store", c.To)
	}
}

// checkMessages refuses operations that Kafka does not have.
func (c *Call) checkMessages(problems *problem.List) {
	for _, f := range []struct {
		path, hint string
		n          int
	}{{"reads", "write query: [consume]", c.Reads}, {"writes", "write query: [publish]", c.Writes}} {
		if f.n > 0 {
			problems.AddHint(f.path, f.hint, "kafka publishes and consumes messages, and has no %s", f.path)
		}
	}
	if c.RequestSize > MaxMessage {
		problems.AddHint("requestSize", "the largest is "+unit.Size(MaxMessage).String(), "a message of %s is larger than kafka takes", c.RequestSize)
	}
}

// OrList lists operations for a hint, such as "read, write or range".
func OrList(ops []Operation) string {
	names := make([]string, len(ops))
	for i, op := range ops {
		names[i] = string(op)
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

func firstSet(set map[string]bool) string {
	for _, name := range []string{"reads", "writes", "query"} {
		if set[name] {
			return name
		}
	}
	return ""
}

func (o Operation) plural() string {
	if o == OpPublish {
		return "publishes"
	}
	return string(o) + "s"
}

// DescribeOperations returns the operations of a call in words, such as "2 reads, 1
// write".
func DescribeOperations(ops []Operation) string {
	var parts []string
	for _, o := range Operations() {
		n := 0
		for _, op := range ops {
			if op == o {
				n++
			}
		}
		switch {
		case n == 1:
			parts = append(parts, "1 "+string(o))
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", n, o.plural()))
		}
	}
	return strings.Join(parts, ", ")
}
