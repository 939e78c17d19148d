// Package topology describes a mock distributed system: services, what each
// does for a request, and who calls whom. It also answers questions about the
// graph of calls.
package topology

import (
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// A System is a set of services that may call each other.
type System struct {
	// Name is a DNS label; every object made for the system carries it.
	Name string `json:"name"`
	// Namespace is the Kubernetes namespace of the system; empty means the
	// namespace of the command line, or else one named after the system.
	Namespace string `json:"namespace,omitempty"`
	// Entry names the services at which requests from outside arrive. Empty means
	// the services that no other service calls.
	Entry []string `json:"entry,omitempty"`
	// AllowHosts are hosts outside the system that chains may name by URL.
	AllowHosts []string  `json:"allowHosts,omitempty"`
	Services   []Service `json:"services"`
}

// Kind says what a service is made of.
type Kind string

// The kinds of services.
const (
	Base      Kind = "base"
	MongoDB   Kind = "mongodb"
	MySQL     Kind = "mysql"
	Redis     Kind = "redis"
	Postgres  Kind = "postgres"
	Memcached Kind = "memcached"
	Kafka     Kind = "kafka"
)

// Kinds lists all kinds of services.
func Kinds() []Kind { return []Kind{Base, MongoDB, MySQL, Redis, Postgres, Memcached, Kafka} }

// IsStore reports whether the kind is a data store.
func (k Kind) IsStore() bool {
	switch k {
	case MongoDB, MySQL, Redis, Postgres, Memcached, Kafka:
		return true
	default: // Base, and kinds that are not known
		return false
	}
}

// A Service answers requests at its endpoints.
type Service struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	// Runtime is the program that serves the service, such as express; empty means
	// the agent.
	Runtime RuntimeName `json:"runtime,omitempty"`
	// URL is the address of a program that is not of this project, such as
	// http://127.0.0.1:9000 or, with a prefix for the paths of all calls,
	// http://10.0.0.5:9000/api. This project neither starts nor stops that program.
	URL string `json:"url,omitempty"`
	// Image is a container image whose own program serves, on clusters only.
	Image string `json:"image,omitempty"`
	// Port is the port on which the program of the image listens, which gets it in
	// the environment variable PORT; 0 means 8080.
	Port int `json:"port,omitempty"`
	// Command and Args replace the entry point and the arguments of the image.
	Command []string `json:"command,omitempty"`
	Args    []string `json:"args,omitempty"`
	// Env are environment variables of the image's program.
	Env map[string]string `json:"env,omitempty"`
	// Language and Framework are the labels a Simulation gives a service. They
	// are kept and shown; Runtime alone says which program serves it.
	Language  string `json:"language,omitempty"`
	Framework string `json:"framework,omitempty"`
	Replicas  int    `json:"replicas"`
	// Workers is how many requests a replica works on at once; 0 means no bound.
	// With a bound each connection carries one request, as with synchronous
	// workers.
	Workers int `json:"workers,omitempty"`
	// Backlog is how many connections wait for a worker in the accept queue;
	// beyond it clients see connection errors. 0 means the system's default.
	Backlog int `json:"backlog,omitempty"`
	// OnCancel says what a replica does with a request whose client has left; empty
	// means finish.
	OnCancel OnCancel `json:"onCancel,omitempty"`
	// Shed answers 503 at once to requests that would wait too long for a worker.
	// With it, connections are accepted at once and requests wait inside the
	// service.
	Shed *Shed `json:"shed,omitempty"`
	// Readiness is the check whose failure keeps calls away from a replica; without
	// it, the check has the defaults.
	Readiness *Probe `json:"readiness,omitempty"`
	// Liveness is the check whose failure restarts a replica. Without it, processes
	// on this machine have a check with the defaults, and pods of a cluster have
	// none.
	Liveness *Probe `json:"liveness,omitempty"`
	// Memory is allocated for the whole life of each replica.
	Memory    unit.Size  `json:"memory,omitzero"`
	Resources *Resources `json:"resources,omitempty"`
	// Store has the settings of a data store: its items, its speed, and how callers
	// reach it.
	Store     *Store     `json:"store,omitempty"`
	Endpoints []Endpoint `json:"endpoints"`
}

// OnCancel says what a service does with a request whose client has left.
type OnCancel string

// Ways for a service to treat abandoned requests.
const (
	// Finish continues the work, as servers do that do not watch their connections.
	Finish OnCancel = "finish"
	// Stop ends the work, and the calls that it made.
	Stop OnCancel = "stop"
)

// Shed bounds how requests wait for a worker inside a service. A request beyond the
// bounds is answered 503 at once.
type Shed struct {
	// Queue is how many requests may wait; 0 means none.
	Queue int `json:"queue,omitempty"`
	// LIFO gives the next free worker to the newest request. Under overload its
	// client is the most likely to be still there.
	LIFO bool `json:"lifo,omitempty"`
	// Deadline answers 503 to requests whose deadline passes while they wait.
	Deadline bool `json:"deadline,omitempty"`
}

// Resources are the requests and limits of a container. A zero field means that it
// has none.
type Resources struct {
	CPURequest    unit.Cores `json:"cpuRequest,omitzero"`
	CPULimit      unit.Cores `json:"cpuLimit,omitzero"`
	MemoryRequest unit.Size  `json:"memoryRequest,omitzero"`
	MemoryLimit   unit.Size  `json:"memoryLimit,omitzero"`
}

// An Endpoint answers the requests of one path.
type Endpoint struct {
	// Method is an HTTP method; empty means any.
	Method string `json:"method,omitempty"`
	// Path starts with a slash and is matched as a whole. A segment in braces, as
	// in /users/{id}, matches any text, which calls can pass on. A path without
	// braces is tried before paths with braces.
	Path string `json:"path"`
	// Require answers requests that lack a header with an error status.
	Require *Require `json:"require,omitempty"`
	// Steps are done in order, each after the end of the one before.
	Steps    []Step   `json:"steps,omitempty"`
	Response Response `json:"response"`
	// ErrorRate is the share of requests, 0 to 1, answered with ErrorStatus
	// before any step is done.
	ErrorRate   unit.Share `json:"errorRate,omitempty"`
	ErrorStatus int        `json:"errorStatus,omitempty"`
	// Timeout bounds the whole request including its calls.
	Timeout unit.Duration `json:"timeout"`
}

// Require is a header that requests must have.
type Require struct {
	Header string `json:"header"`
	// Status is the HTTP status for requests without the header; 0 means 401.
	Status int `json:"status,omitempty"`
}

// Response is the answer to a request if no step failed.
type Response struct {
	Status int `json:"status"`
	// Body is the text of the answer, in place of one with a size. In it, {name}
	// stands, as JSON, for the last answer of the service of that name, if the
	// endpoint calls it (null if there is no answer). Otherwise it stands for a
	// value of the request: a segment of its path, or a top-level field of its
	// body.
	Body string `json:"body,omitempty"`
	// Size is the exact number of bytes of the body. A body of 15 bytes or more
	// is a JSON object whose payload is padded; 0 means an empty payload.
	Size unit.Size `json:"size,omitzero"`
}

// A Step is work, a call, or several steps at once. Exactly one field is set.
type Step struct {
	Work     *Work  `json:"work,omitempty"`
	Call     *Call  `json:"call,omitempty"`
	Parallel []Step `json:"parallel,omitempty"`
}

// Work is what a service does itself, in the order of the fields.
type Work struct {
	// Sleep waits without using a resource.
	Sleep dist.Delay `json:"sleep,omitzero"`
	// CPU keeps one processor busy for this time.
	CPU dist.Delay `json:"cpu,omitzero"`
	// CPUUnits is a fixed amount of arithmetic: a unit is 32 768 square roots of
	// random numbers, which are drawn as VECROsim draws them, so that a unit costs
	// as much as there.
	CPUUnits float64 `json:"cpuUnits,omitempty"`
	// IO is written to a temporary file, synced every 512 KiB and at the end,
	// and removed.
	IO unit.Size `json:"io,omitzero"`
	// Memory is allocated, touched, and freed when the request ends.
	Memory unit.Size `json:"memory,omitzero"`
}

// A Call is a request to another service.
type Call struct {
	To string `json:"to"`
	// Endpoint is the path called; empty means the callee's first endpoint. A
	// segment in braces, as in /users/{user_id}, gets its value from the request
	// that makes the call: from its path, or from a top-level field of its JSON
	// body.
	Endpoint string `json:"endpoint,omitempty"`
	// Method is the HTTP method; empty means that of the endpoint, or GET.
	Method string `json:"method,omitempty"`
	// Probability is how likely the call is made, 0 to 1.
	Probability unit.Share `json:"probability"`
	// Count is how many times the call is made, one after another.
	Count int `json:"count"`
	// Reads is how many items a call of a data store looks up, one after another. A
	// call without reads, writes and query takes the reads and writes of the store.
	Reads int `json:"reads,omitempty"`
	// Writes is how many items the call writes after its reads.
	Writes int `json:"writes,omitempty"`
	// Query are further operations, after the reads and writes: read, write, range
	// or transaction, or of Kafka publish or consume.
	Query []Operation `json:"query,omitempty"`
	// IfMissed names a data store whose call stands before this one. This call is
	// then made only if that look-up found nothing, or failed and was ignored, and
	// its operations are on the item that was looked up.
	IfMissed string `json:"ifMissed,omitempty"`
	// Coalesce makes the requests of one replica that miss the same item at once
	// share this call: the first makes it, and the others wait for its end.
	Coalesce bool `json:"coalesce,omitempty"`
	// RequestSize is the length of the body, or of each value that is written to a
	// data store.
	RequestSize unit.Size `json:"requestSize,omitzero"`
	// OnError says what a failure does if no fallback replaces the answer:
	// propagate or ignore.
	OnError OnError `json:"onError"`
	// Answers has the answer of the request for each kind of failure of the call.
	// Its keys are a status such as 404, a class such as timeout, and other; a
	// status comes before a class, and a class before other. A failure without an
	// entry follows OnError.
	Answers map[string]Answer `json:"answers,omitempty"`
	// The policies of the call stand beside its other fields.
	policy.Call
}

// Other is the key of Answers for all failures without an entry.
const Other = "other"

// An Answer replaces the request's normal answer.
type Answer struct {
	Status int `json:"status"`
	// Body is the text of the answer; empty means a text that says what failed.
	Body string `json:"body,omitempty"`
}

// OnError says how a failed call affects the request that made it.
type OnError string

// The consequences of a failed call.
const (
	// Propagate answers the request with an error, too.
	Propagate OnError = "propagate"
	// Ignore goes on as if the call had succeeded.
	Ignore OnError = "ignore"
)

// Defaults of the fields that a file may leave out.
const (
	DefaultReplicas    = 1
	DefaultPath        = "/"
	DefaultStatus      = 200
	DefaultErrorStatus = 500
	// DefaultRequireStatus answers requests that lack a required header.
	DefaultRequireStatus = 401
	// DefaultTimeout is the budget of a request.
	DefaultTimeout = unit.Duration(120e9)
)

// Bounds of the values in a file. They keep a mistake from taking the machine
// down.
const (
	MaxServices  = 20000
	MaxReplicas  = 1000
	MaxWorkers   = 100000
	MaxBacklog   = 65535
	MaxCount     = 1000
	MaxParallel  = 1000
	MaxCPUUnits  = 1e6
	MaxIO        = 1 << 30
	MaxMemory    = 4 << 30
	MaxBody      = 64 << 20
	MaxStoreOps  = 10000
	MaxChainHops = 64
	MaxQueue     = 1000000
	MaxText      = 1 << 20
)

// NewService returns a service of kind base with one replica and one endpoint
// at "/" that does the steps and answers 200.
func NewService(name string, steps ...Step) Service {
	return Service{Name: name, Kind: Base, Replicas: DefaultReplicas, Endpoints: []Endpoint{NewEndpoint(DefaultPath, steps...)}}
}

// NewEndpoint returns an endpoint with the defaults of a file.
func NewEndpoint(path string, steps ...Step) Endpoint {
	return Endpoint{
		Path: path, Steps: steps, Response: Response{Status: DefaultStatus},
		ErrorStatus: DefaultErrorStatus, Timeout: DefaultTimeout,
	}
}

// NewCall returns a certain call of the callee's first endpoint.
func NewCall(to string) Call {
	return Call{To: to, Probability: 1, Count: 1, OnError: Propagate}
}

// CallTo returns a step that certainly calls a service once.
func CallTo(to string) Step {
	c := NewCall(to)
	return Step{Call: &c}
}

// Service returns the service of that name, or nil.
func (s *System) Service(name string) *Service {
	for i := range s.Services {
		if s.Services[i].Name == name {
			return &s.Services[i]
		}
	}
	return nil
}

// Endpoint returns the endpoint at which a request of the method and path arrives,
// or nil. An empty path means the first endpoint, an empty method any method. Paths
// without names in braces come first.
func (s *Service) Endpoint(method, path string) *Endpoint {
	find := func(fits func(e *Endpoint) bool) *Endpoint {
		for i := range s.Endpoints {
			if e := &s.Endpoints[i]; fits(e) && (method == "" || e.Method == "" || e.Method == method) {
				return e
			}
		}
		return nil
	}
	if e := find(func(e *Endpoint) bool { return path == "" || e.Path == path }); e != nil {
		return e
	}
	return find(func(e *Endpoint) bool { return MatchPath(e.Path, path) })
}
