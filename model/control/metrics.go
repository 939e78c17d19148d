package control

// The metrics of a service, each with its labels beside LabelService, which all
// of them have.
const (
	// MetricPrefix begins the names of all metrics of the contract.
	MetricPrefix = "microsim_"

	RequestsTotal          = MetricPrefix + "requests_total"           // LabelEndpoint, LabelCode
	RequestDurationSeconds = MetricPrefix + "request_duration_seconds" // LabelEndpoint
	CallsTotal             = MetricPrefix + "calls_total"              // LabelCallee, LabelOutcome
	CallAttemptsTotal      = MetricPrefix + "call_attempts_total"      // LabelCallee, LabelOutcome
	CallDurationSeconds    = MetricPrefix + "call_duration_seconds"    // LabelCallee
	FallbacksTotal         = MetricPrefix + "fallbacks_total"          // LabelCallee
	FaultActive            = MetricPrefix + "fault_active"             // LabelFault
	InflightRequests       = MetricPrefix + "inflight_requests"
	QueueLength            = MetricPrefix + "queue_length"
	HeldMemoryBytes        = MetricPrefix + "held_memory_bytes"
	BreakerState           = MetricPrefix + "breaker_state" // LabelCallee
)

const (
	LabelService  = "service"
	LabelEndpoint = "endpoint"
	LabelCode     = "code"
	LabelCallee   = "callee"
	LabelOutcome  = "outcome"
	LabelFault    = "fault"
)

// Values of LabelEndpoint for requests to no endpoint of the System.
const (
	EndpointChain = "chain"
	EndpointOther = "other"
)

// CodeAborted is the value of LabelCode of requests that got no answer.
const CodeAborted = "aborted"

// DurationBuckets returns the upper bounds, in seconds, of the duration
// histograms.
func DurationBuckets() []float64 {
	return []float64{0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25}
}
