package fault

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// Type names a kind of fault.
type Type string

// The types of faults.
const (
	Latency    Type = "latency"
	Error      Type = "error"
	Abort      Type = "abort"
	Hang       Type = "hang"
	Corrupt    Type = "corrupt"
	MemoryLeak Type = "memory-leak"
	CPU        Type = "cpu"
	IO         Type = "io"
	Panic      Type = "panic"
	// Unreachable acts in the callers of its target.
	Unreachable Type = "unreachable"

	Kill    Type = "kill"
	Pause   Type = "pause"
	Restart Type = "restart"

	CPUStress    Type = "cpu-stress"
	IOStress     Type = "io-stress"
	MemoryStress Type = "memory-stress"

	NetDelay     Type = "net-delay"
	NetLoss      Type = "net-loss"
	NetDuplicate Type = "net-duplicate"
	NetCorrupt   Type = "net-corrupt"
	NetReorder   Type = "net-reorder"
	NetRate      Type = "net-rate"
	NetPartition Type = "net-partition"

	Refuse        Type = "refuse"
	StopReading   Type = "stop-reading"
	StopAnswering Type = "stop-answering"
	Close         Type = "close"
	Reset         Type = "reset"
	CloseOnData   Type = "close-on-data"
	CorruptData   Type = "corrupt-data"
	Bandwidth     Type = "bandwidth"
	TimeLimit     Type = "time-limit"
	ByteLimit     Type = "byte-limit"
	Slice         Type = "slice"
	Concatenate   Type = "concatenate"
	Substitute    Type = "substitute"

	SlowQuery            Type = "slow-query"
	ConnectionsExhausted Type = "connections-exhausted"
	LockWait             Type = "lock-wait"
	Failover             Type = "failover"
	ReplicaLag           Type = "replica-lag"
	CacheFlush           Type = "cache-flush"
	AuthRevoked          Type = "auth-revoked"
	DiskFull             Type = "disk-full"
	ConsumerLag          Type = "consumer-lag"
	PoisonMessage        Type = "poison-message"
)

// Layer says in which place a type of fault acts.
type Layer string

// The places in which faults act.
const (
	InService Layer = "service"
	OnProcess Layer = "process"
	OnHost    Layer = "resources"
	OnNetwork Layer = "network"
	// OnEdge is between a caller and a service: a gate there changes connections
	// and their bytes.
	OnEdge Layer = "edge"
	// InStore is in a data store, and changes how it treats operations and
	// connections.
	InStore Layer = "store"
)

// Arg names one parameter of Args by its JSON name.
type Arg string

// The parameters of faults.
const (
	ArgDelay       Arg = "delay"
	ArgJitter      Arg = "jitter"
	ArgStatus      Arg = "status"
	ArgSize        Arg = "size"
	ArgHold        Arg = "hold"
	ArgCores       Arg = "cores"
	ArgRate        Arg = "rate"
	ArgPercent     Arg = "percent"
	ArgCorrelation Arg = "correlation"
	ArgMethod      Arg = "method"
	ArgLoad        Arg = "load"
	ArgPattern     Arg = "pattern"
	ArgWith        Arg = "with"
	ArgOperation   Arg = "operation"
)

// An Entry of the vocabulary says what a type does and which arguments it
// takes.
type Entry struct {
	Type  Type
	Layer Layer
	Doc   string
	Needs []Arg
	May   []Arg
	// Defaults are the parameters that a file may leave out.
	Defaults Args
	// Direction applies if a target names none; only faults on the network and
	// on edges have directions.
	Direction Direction
}

// Vocabulary lists every type of fault in the order of the documentation.
func Vocabulary() []Entry {
	return []Entry{
		{Type: Latency, Layer: InService, Doc: "hold requests up before they are worked on", Needs: []Arg{ArgDelay}, May: []Arg{ArgJitter}},
		{Type: Error, Layer: InService, Doc: "answer with an HTTP error", May: []Arg{ArgStatus}, Defaults: Args{Status: 500}},
		{Type: Abort, Layer: InService, Doc: "close the connection without an answer"},
		{Type: Hang, Layer: InService, Doc: "take the request and never answer"},
		{Type: Corrupt, Layer: InService, Doc: "answer with a damaged body of the same length"},
		{Type: MemoryLeak, Layer: InService, Doc: "hold memory for a while, beside the request", Needs: []Arg{ArgSize}, May: []Arg{ArgHold}, Defaults: Args{Hold: unit.Duration(10e9)}},
		{Type: CPU, Layer: InService, Doc: "keep processors busy", Needs: []Arg{ArgHold}, May: []Arg{ArgCores}, Defaults: Args{Cores: 1}},
		{Type: IO, Layer: InService, Doc: "write and sync a file", Needs: []Arg{ArgSize}},
		{Type: Panic, Layer: InService, Doc: "break the handler; the client sees a closed connection"},
		{Type: Unreachable, Layer: InService, Doc: "let calls to the target fail at once in its callers, as if nobody listened; nothing is sent"},

		{Type: Kill, Layer: OnProcess, Doc: "end the process at once (SIGKILL); it is started again"},
		{Type: Pause, Layer: OnProcess, Doc: "stop the process and let it go on at the end (SIGSTOP, SIGCONT)"},
		{Type: Restart, Layer: OnProcess, Doc: "end the process in order (SIGTERM) and start it again"},

		{Type: CPUStress, Layer: OnHost, Doc: "take processor time away from a process", May: []Arg{ArgLoad, ArgCores, ArgMethod}, Defaults: Args{Load: 1, Cores: 1}},
		{Type: IOStress, Layer: OnHost, Doc: "take disk time away from a process", May: []Arg{ArgMethod, ArgSize}, Defaults: Args{Method: "sync"}},
		{Type: MemoryStress, Layer: OnHost, Doc: "take memory away from a process", Needs: []Arg{ArgSize}},

		{Type: NetDelay, Layer: OnNetwork, Doc: "delay packets", Needs: []Arg{ArgDelay}, May: []Arg{ArgJitter, ArgCorrelation}, Direction: FromTarget},
		{Type: NetLoss, Layer: OnNetwork, Doc: "lose packets", Needs: []Arg{ArgPercent}, May: []Arg{ArgCorrelation}, Direction: FromTarget},
		{Type: NetDuplicate, Layer: OnNetwork, Doc: "send packets twice", Needs: []Arg{ArgPercent}, May: []Arg{ArgCorrelation}, Direction: FromTarget},
		{Type: NetCorrupt, Layer: OnNetwork, Doc: "flip a bit of packets", Needs: []Arg{ArgPercent}, May: []Arg{ArgCorrelation}, Direction: FromTarget},
		{Type: NetReorder, Layer: OnNetwork, Doc: "send packets ahead of delayed ones", Needs: []Arg{ArgPercent, ArgDelay}, May: []Arg{ArgCorrelation}, Direction: FromTarget},
		{Type: NetRate, Layer: OnNetwork, Doc: "limit the rate", Needs: []Arg{ArgRate}, Direction: FromTarget},
		{Type: NetPartition, Layer: OnNetwork, Doc: "let nothing through", Direction: Both},

		{Type: Refuse, Layer: OnEdge, Doc: "refuse connections, and close those there are", Direction: Both},
		{Type: StopReading, Layer: OnEdge, Doc: "take connections and read nothing of what callers send", Direction: ToTarget},
		{Type: StopAnswering, Layer: OnEdge, Doc: "hold all answers back", Direction: FromTarget},
		{Type: Close, Layer: OnEdge, Doc: "close every connection as soon as it is made", Direction: ToTarget},
		{Type: Reset, Layer: OnEdge, Doc: "reset a connection at the first data, or so long after it", May: []Arg{ArgDelay}, Direction: ToTarget},
		{Type: CloseOnData, Layer: OnEdge, Doc: "close a connection at the first data", Direction: ToTarget},
		{Type: CorruptData, Layer: OnEdge, Doc: "change every byte", Direction: FromTarget},
		{Type: Bandwidth, Layer: OnEdge, Doc: "limit the bytes per second of each connection", Needs: []Arg{ArgRate}, Direction: FromTarget},
		{Type: TimeLimit, Layer: OnEdge, Doc: "close a connection when it has been open for so long", Needs: []Arg{ArgDelay}, May: []Arg{ArgJitter}, Direction: ToTarget},
		{Type: ByteLimit, Layer: OnEdge, Doc: "close a connection after so many bytes", Needs: []Arg{ArgSize}, Direction: FromTarget},
		{Type: Slice, Layer: OnEdge, Doc: "send in small parts, with a pause before each", Needs: []Arg{ArgSize}, May: []Arg{ArgDelay}, Direction: FromTarget},
		{Type: Concatenate, Layer: OnEdge, Doc: "hold data back until there is so much of it, or for so long", Needs: []Arg{ArgSize}, May: []Arg{ArgHold}, Defaults: Args{Hold: unit.Duration(60e9)}, Direction: FromTarget},
		{Type: Substitute, Layer: OnEdge, Doc: "replace what a regular expression matches; groups are $1", Needs: []Arg{ArgPattern}, May: []Arg{ArgWith}, Direction: FromTarget},

		{Type: SlowQuery, Layer: InStore, Doc: "let operations of a store take longer", Needs: []Arg{ArgDelay}, May: []Arg{ArgJitter, ArgOperation}},
		{Type: ConnectionsExhausted, Layer: InStore, Doc: "close the connections of a store's clients and refuse new ones, as if others held them all"},
		{Type: LockWait, Layer: InStore, Doc: "let writes wait for a row that another client has locked"},
		{Type: Failover, Layer: InStore, Doc: "take the primary away; after the hold a replica answers, which only reads", May: []Arg{ArgHold}, Defaults: Args{Hold: unit.Duration(3e9)}},
		{Type: ReplicaLag, Layer: InStore, Doc: "answer reads with what a store had so long ago", Needs: []Arg{ArgDelay}},
		{Type: CacheFlush, Layer: InStore, Doc: "remove all items of a cache, once"},
		{Type: AuthRevoked, Layer: InStore, Doc: "close the connections of a store's clients and refuse their operations"},
		{Type: DiskFull, Layer: InStore, Doc: "let writes fail for want of space"},
		{Type: ConsumerLag, Layer: InStore, Doc: "let consumers get messages only so long after they were published", Needs: []Arg{ArgDelay}},
		{Type: PoisonMessage, Layer: InStore, Doc: "publish messages that consumers cannot read, which block their partition"},
	}
}

// Lookup returns the entry of a type.
func Lookup(t Type) (Entry, bool) {
	vocabulary := Vocabulary()
	i := slices.IndexFunc(vocabulary, func(e Entry) bool { return e.Type == t })
	if i < 0 {
		return Entry{}, false
	}
	return vocabulary[i], true
}

// WithoutGate says what comes nearest to a fault on an edge on targets without gates between
// services, and how it differs; empty for other types.
func WithoutGate(t Type) string {
	switch t {
	case Refuse:
		return "unreachable, which lets calls fail at once, and closes no connection"
	case StopReading:
		return "pause, which keeps the whole process from reading"
	case StopAnswering:
		return "hang, which takes requests and never answers them"
	case Close, CloseOnData:
		return "abort, which closes a connection in place of an answer"
	case Reset:
		return "abort, which closes a connection and does not reset it"
	case CorruptData:
		return "corrupt, which damages bodies, and not headers"
	case Substitute:
		return "corrupt, which damages bodies whatever is in them"
	case Bandwidth:
		return "net-rate, whose limit all connections share"
	case TimeLimit, ByteLimit:
		return "abort with a probability, which closes connections of any age and length"
	case Slice:
		return "net-rate, which makes answers arrive slowly"
	case Concatenate:
		return "net-delay, which makes all data arrive later"
	default:
		return ""
	}
}

// given lists the parameters that have a value.
func (a Args) given() []Arg {
	var args []Arg
	for _, g := range []struct {
		arg Arg
		set bool
	}{
		{ArgDelay, !a.Delay.IsZero()}, {ArgJitter, a.Jitter != 0}, {ArgStatus, a.Status != 0}, {ArgSize, a.Size != 0},
		{ArgHold, a.Hold != 0}, {ArgCores, a.Cores != 0}, {ArgRate, a.Rate != 0}, {ArgPercent, a.Percent != 0},
		{ArgCorrelation, a.Correlation != 0}, {ArgMethod, a.Method != ""}, {ArgLoad, a.Load != 0},
		{ArgPattern, a.Pattern != ""}, {ArgWith, a.With != ""}, {ArgOperation, a.Operation != ""},
	} {
		if g.set {
			args = append(args, g.arg)
		}
	}
	return args
}

// WithDefaults returns the fault with the defaults of the parameters that it leaves
// out.
func (f Fault) WithDefaults() Fault {
	if e, ok := Lookup(f.Type); ok {
		f.Args.Status = cmp.Or(f.Args.Status, e.Defaults.Status)
		f.Args.Hold = cmp.Or(f.Args.Hold, e.Defaults.Hold)
		f.Args.Cores = cmp.Or(f.Args.Cores, e.Defaults.Cores)
		f.Args.Method = cmp.Or(f.Args.Method, e.Defaults.Method)
		f.Args.Load = cmp.Or(f.Args.Load, e.Defaults.Load)
	}
	return f
}

// Bounds of a fault's arguments, so that a mistake cannot take the machine
// down.
const (
	MaxLeak   = 4 << 30
	MaxIO     = 1 << 30
	MaxCores  = 256
	MaxRounds = 10000
	// MinStressFile is the smallest file of an io-stress: one write.
	MinStressFile = 64 << 10
)

// AllMethods is the method of a cpu-stress that uses all other methods in turn.
const AllMethods = "all"

// Methods lists the methods of a type of stress, the default first. It is empty if a type
// has only one method.
func Methods(t Type) []string {
	switch t {
	case CPUStress:
		return []string{AllMethods, "sqrt", "int64", "matrixprod", "crc32", "bitops"}
	case IOStress:
		return []string{"sync", "iomix"}
	default: // every other type has one method
		return nil
	}
}

// Validate returns every mistake in the fault. It does not know the system: the
// experiment checks whether the target exists.
func (f *Fault) Validate() (problems problem.List) {
	entry, ok := Lookup(f.Type)
	if !ok {
		var names []string
		for _, e := range Vocabulary() {
			names = append(names, string(e.Type))
		}
		problems.AddHint("type", problem.DidYouMean(string(f.Type), names, "known are "+strings.Join(names, ", ")), "fault type %q is not known", f.Type)
		return problems
	}
	problems.CheckLabel("name", f.Name)
	f.checkArgs(&problems, entry)
	switch p := f.Probability; {
	case p == 0:
		problems.AddHint("probability", "write a share above 0, up to 1, such as 0.3, or leave it out, which means 1", "a fault with probability 0 never acts")
	case !(p > 0 && p <= 1):
		problems.AddHint("probability", "write a share above 0, up to 1, such as 0.3, or percents such as 30%", "%v is not between 0 and 1", float64(p))
	}
	if f.Start < 0 {
		problems.Add("start", "start %q is negative", f.Start)
	}
	if f.Duration < 0 {
		problems.Add("duration", "duration %q is negative", f.Duration)
	}
	f.checkSpan(&problems)
	if f.Target.Replica < 0 {
		problems.AddHint("target.replica", "replicas count from 1; leave it out for all", "replica %d is not possible", f.Target.Replica)
	}
	if d := f.Target.Direction; d != "" && d != ToTarget && d != FromTarget && d != Both {
		problems.AddHint("target.direction", "write to, from or both", "direction %q is not known", d)
	}
	if entry.onNetwork() && f.Target.Endpoint != "" {
		problems.AddHint("target.endpoint", "name a service (cart) or an edge (web->cart)", "fault type %q does not know of endpoints, such as %q", f.Type, f.Target.Endpoint)
	}
	if !entry.onNetwork() && f.Target.Direction != "" {
		problems.AddHint("target.direction", "leave it out", "fault type %q acts on no packets, so it has no direction", f.Type)
	}
	switch entry.Layer {
	case InStore:
		f.checkInStore(&problems)
	case OnProcess, OnHost:
		f.checkOnProcess(&problems)
	default: // requests and packets are of callers, and some of them may be hit
	}
	f.checkTarget(&problems, entry)
	return problems
}

// checkInStore refuses fields that a fault in a data store cannot have: the
// protocols of stores do not name the caller, and some faults act on the whole
// store.
func (f *Fault) checkInStore(problems *problem.List) {
	if f.Target.Endpoint != "" {
		problems.AddHint("target.endpoint", "name the store alone; slow-query takes an operation", "a data store has no endpoints, such as %q", f.Target.Endpoint)
	}
	if f.Target.From != "" {
		problems.AddHint("target.from", "name the store alone", "a data store does not know that %q calls it", f.Target.From)
	}
	byOperation := f.Type == SlowQuery || f.Type == LockWait || f.Type == ReplicaLag || f.Type == PoisonMessage
	if p := f.Probability; !byOperation && p < 1 && p > 0 {
		problems.AddHint("probability", "leave it out", "fault type %q acts on the whole store, and not on a share of its operations", f.Type)
	}
}

// checkOnProcess refuses fields that would limit a fault in a whole process to some
// requests.
func (f *Fault) checkOnProcess(problems *problem.List) {
	if f.Target.Endpoint != "" {
		problems.AddHint("target.endpoint", "name a service (cart) or a replica (cart/2)", "fault type %q acts on the whole process, and not on one endpoint, such as %q", f.Type, f.Target.Endpoint)
	}
	if f.Target.From != "" {
		problems.AddHint("target.from", "name the service alone", "fault type %q acts on the whole process, and not on the requests of %q", f.Type, f.Target.From)
	}
	if p := f.Probability; p > 0 && p < 1 {
		hint := "leave it out"
		if f.Type == CPUStress {
			hint = "leave it out; load is the share of a processor"
		}
		problems.AddHint("probability", hint, "fault type %q acts on the whole process, and not on a share of its requests", f.Type)
	}
}

// onNetwork reports whether the fault acts on bytes rather than requests.
func (e *Entry) onNetwork() bool { return e.Layer == OnNetwork || e.Layer == OnEdge }

func (f *Fault) checkTarget(problems *problem.List, entry Entry) {
	r := f.Rounds
	if r == nil {
		if f.Target.Service == "" {
			problems.AddHint("target.service", "name the service to break", "the fault has no target")
		}
		return
	}
	if entry.Layer != OnProcess {
		problems.AddHint("rounds", "only kill, pause and restart have rounds", "fault type %q has no rounds", f.Type)
	}
	if r.Count < 1 || r.Count > MaxRounds {
		problems.AddHint("rounds.count", fmt.Sprintf("the range is 1 to %d", MaxRounds), "%d rounds are not possible", r.Count)
	}
	if r.Interval <= 0 {
		problems.AddHint("rounds.interval", "write a duration such as 60s", "interval %q leaves no time between rounds", r.Interval)
	}
	if len(r.Victims) == 0 {
		problems.AddHint("rounds.victims", "list the services to draw from, and nobody for rounds without a victim", "there are no victims")
	}
	if f.Target.Service != "" {
		problems.AddHint("target.service", "keep one of target and rounds.victims", "a fault with rounds draws its target")
	}
}

// checkArgs reports parameters that the type needs or does not take, and values that are
// out of range.
func (f *Fault) checkArgs(problems *problem.List, entry Entry) {
	given := f.Args.given()
	for _, need := range entry.Needs {
		if !slices.Contains(given, need) {
			problems.Add(problem.Join("args", string(need)), "fault type %q needs %s", f.Type, need)
		}
	}
	takes := append(slices.Clone(entry.Needs), entry.May...)
	for _, arg := range given {
		if !slices.Contains(takes, arg) {
			hint := "it takes no parameters"
			if len(takes) > 0 {
				hint = "it takes " + joinArgs(takes)
			}
			problems.AddHint(problem.Join("args", string(arg)), hint, "fault type %q does not take %s", f.Type, arg)
		}
	}
	f.checkAmounts(problems)
	f.checkWords(problems)
	f.checkShares(problems)
}

// checkAmounts reports times, sizes and numbers that are out of range.
func (f *Fault) checkAmounts(problems *problem.List) {
	a := f.Args
	problems.Under("args.delay", a.Delay.Validate())
	if a.Jitter != 0 && (a.Delay.Fixed == 0 || a.Jitter < 0 || a.Jitter > a.Delay.Fixed) {
		problems.AddHint("args.jitter", "write a jitter from 0 to the delay, beside a fixed delay", "jitter %q does not fit delay %q", a.Jitter, a.Delay)
	}
	if a.Status != 0 && (a.Status < 400 || a.Status > 599) {
		problems.AddHint("args.status", "the range is 400 to 599", "status %d is not an error status", a.Status)
	}
	maxSize := unit.Size(MaxLeak)
	if f.Type == IO {
		maxSize = MaxIO
	}
	if a.Size < 0 || a.Size > maxSize {
		problems.AddHint("args.size", "the largest is "+maxSize.String(), "size %q is out of range", a.Size)
	}
	if f.Type == IOStress && a.Size > 0 && a.Size < MinStressFile {
		problems.AddHint("args.size", "the smallest is "+unit.Size(MinStressFile).String(), "size %q is out of range", a.Size)
	}
	if a.Hold < 0 || a.Hold.Std() > 24*3600e9 {
		problems.AddHint("args.hold", "the range is 0 to 24h", "hold %q is out of range", a.Hold)
	}
	if a.Cores < 0 || a.Cores > MaxCores {
		problems.AddHint("args.cores", fmt.Sprintf("the range is 0 to %d", MaxCores), "cores %q is out of range", a.Cores)
	}
	if a.Rate < 0 {
		problems.Add("args.rate", "rate %q is negative", a.Rate)
	}
	if (f.Type == ReplicaLag || f.Type == ConsumerLag) && a.Delay.Fixed == 0 && !a.Delay.IsZero() {
		problems.AddHint("args.delay", "write a duration such as 2s", "fault type %q lags by a fixed delay", f.Type)
	}
}

// checkWords reports parameters that are one of a few words, or a pattern.
func (f *Fault) checkWords(problems *problem.List) {
	a := f.Args
	if methods := Methods(f.Type); a.Method != "" && len(methods) > 0 && !slices.Contains(methods, a.Method) {
		problems.AddHint("args.method", problem.DidYouMean(a.Method, methods, "write one of "+strings.Join(methods, ", ")), "fault type %q has no method %q", f.Type, a.Method)
	}
	if _, err := regexp.Compile(a.Pattern); err != nil {
		problems.AddHint("args.pattern", "write a regular expression in Go's syntax", "pattern %q: %v", a.Pattern, err)
	}
	if a.Operation != "" && !slices.Contains(Operations(), a.Operation) {
		problems.AddHint("args.operation", "write read, write, range, transaction, publish or consume", "operation %q is not known", a.Operation)
	}
}

// checkShares reports shares and percents that are out of range.
func (f *Fault) checkShares(problems *problem.List) {
	a := f.Args
	if share := a.Percent.Share(); !(share >= 0 && share <= 1) {
		problems.AddHint("args.percent", "write percents from 0 to 100, such as 30", "%v is not between 0 and 100", float64(a.Percent))
	}
	for _, share := range []struct {
		arg Arg
		v   unit.Share
	}{{ArgCorrelation, a.Correlation}, {ArgLoad, a.Load}} {
		if !(share.v >= 0 && share.v <= 1) {
			problems.AddHint(problem.Join("args", string(share.arg)), "write a share from 0 to 1, or percents such as 30%", "%v is not between 0 and 1", float64(share.v))
		}
	}
}

// Operations lists the operations of data stores to which a fault may be limited.
func Operations() []string {
	return []string{"read", "write", "range", "transaction", "publish", "consume"}
}

func joinArgs(args []Arg) string {
	names := make([]string, len(args))
	for i, a := range args {
		names[i] = string(a)
	}
	return strings.Join(names, ", ")
}
