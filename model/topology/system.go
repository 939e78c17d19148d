// Package topology describes a mock distributed system: services, what each
// does for a request, and who calls whom. It also answers questions about the
// graph of calls.
package topology

import (
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// A System is a set of services that may call each other.
type System struct {
	// Name is a DNS label; every object made for the system carries it.
	Name string `json:"name"`
	// Namespace is the Kubernetes namespace the system asks for; empty means
	// the one of the command line, or one named after the system.
	Namespace string `json:"namespace,omitempty"`
	// Entry names the services that requests from outside arrive at. Empty
	// means those that no other service calls.
	Entry []string `json:"entry,omitempty"`
	// AllowHosts are hosts outside the system that chains may name by URL.
	AllowHosts []string  `json:"allowHosts,omitempty"`
	Services   []Service `json:"services"`
}

// Kind says what a service is made of.
type Kind string

// The kinds of services.
const (
	Base    Kind = "base"
	MongoDB Kind = "mongodb"
	MySQL   Kind = "mysql"
	Redis   Kind = "redis"
)

// Kinds lists all kinds of services.
func Kinds() []Kind { return []Kind{Base, MongoDB, MySQL, Redis} }

// IsStore reports whether the kind is a data store.
func (k Kind) IsStore() bool { return k == MongoDB || k == MySQL || k == Redis }

// A Service answers requests at its endpoints.
type Service struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	// Language and Framework are the labels a Simulation gives a service. They
	// are kept and shown; every service is served by the same program.
	Language  string `json:"language,omitempty"`
	Framework string `json:"framework,omitempty"`
	Replicas  int    `json:"replicas"`
	// Workers is how many requests a replica works on at once; 0 means without
	// bound. With a bound each connection carries one request, as with
	// synchronous workers.
	Workers int `json:"workers,omitempty"`
	// Backlog is how many connections wait for a worker in the accept queue;
	// beyond it clients see connection errors. 0 means the system's default.
	Backlog int `json:"backlog,omitempty"`
	// Memory is held for the life of the service.
	Memory    unit.Size  `json:"memory,omitzero"`
	Resources *Resources `json:"resources,omitempty"`
	// Store says what a data store does per request.
	Store     *Store     `json:"store,omitempty"`
	Endpoints []Endpoint `json:"endpoints"`
}

// Resources are what a container asks for and what it is limited to. A zero
// field means that nothing is asked for.
type Resources struct {
	CPURequest    unit.Cores `json:"cpuRequest,omitzero"`
	CPULimit      unit.Cores `json:"cpuLimit,omitzero"`
	MemoryRequest unit.Size  `json:"memoryRequest,omitzero"`
	MemoryLimit   unit.Size  `json:"memoryLimit,omitzero"`
}

// Store counts the operations of a data store per request.
type Store struct {
	// Reads are look-ups of random documents, one after another.
	Reads int `json:"reads,omitempty"`
	// Writes are inserts of small documents, one after another.
	Writes int `json:"writes,omitempty"`
}

// An Endpoint answers the requests of one path.
type Endpoint struct {
	// Method is an HTTP method; empty means any.
	Method string `json:"method,omitempty"`
	// Path starts with a slash and is matched as a whole.
	Path string `json:"path"`
	// Steps are done in order, each when the one before has ended.
	Steps    []Step   `json:"steps,omitempty"`
	Response Response `json:"response"`
	// ErrorRate is the share of requests, 0 to 1, answered with ErrorStatus
	// before any step is done.
	ErrorRate   float64 `json:"errorRate,omitempty"`
	ErrorStatus int     `json:"errorStatus,omitempty"`
	// Timeout bounds the whole request including its calls.
	Timeout unit.Duration `json:"timeout"`
}

// Response is what a request gets when all went well.
type Response struct {
	Status int `json:"status"`
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
	// Sleep waits without using anything.
	Sleep dist.Delay `json:"sleep,omitzero"`
	// CPU keeps one processor busy for as long.
	CPU dist.Delay `json:"cpu,omitzero"`
	// CPUUnits is a fixed amount of arithmetic: 32 768 square roots of random
	// numbers a unit, about 1 ms on a processor of 2.2 GHz.
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
	// Endpoint is the path called; empty means the callee's first endpoint.
	Endpoint string `json:"endpoint,omitempty"`
	// Method is the HTTP method; empty means that of the endpoint, or GET.
	Method string `json:"method,omitempty"`
	// Probability is how likely the call is made, 0 to 1.
	Probability float64 `json:"probability"`
	// Count is how many times it is made, one after another.
	Count       int       `json:"count"`
	RequestSize unit.Size `json:"requestSize,omitzero"`
	// Timeout bounds one call; 0 means that the request's time is the bound.
	Timeout unit.Duration `json:"timeout,omitzero"`
	OnError OnError       `json:"onError"`
}

// OnError says what a failed call does to the request that made it.
type OnError string

// The consequences of a failed call.
const (
	// Propagate answers the request with an error.
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
	// DefaultTimeout is the budget of a request.
	DefaultTimeout = unit.Duration(120e9)
)

// Bounds of what a file may ask for. They keep a mistake from taking the
// machine down.
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

// Endpoint returns the endpoint that a request of the method and path arrives
// at, or nil. An empty path means the first endpoint, an empty method any.
func (s *Service) Endpoint(method, path string) *Endpoint {
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		if (path == "" || e.Path == path) && (method == "" || e.Method == "" || e.Method == method) {
			return e
		}
	}
	return nil
}
