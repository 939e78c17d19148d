package control

// The metrics of a service, each with its labels beside LabelService, which all
// of them have.
const (
	// MetricPrefix begins the names of all metrics of the contract.
	MetricPrefix = "microsim_"

	RequestsTotal          = "microsim_requests_total"           // LabelEndpoint, LabelCode
	RequestDurationSeconds = "microsim_request_duration_seconds" // LabelEndpoint
	CallsTotal             = "microsim_calls_total"              // LabelCallee, LabelOutcome
	CallAttemptsTotal      = "microsim_call_attempts_total"      // LabelCallee, LabelOutcome
	CallDurationSeconds    = "microsim_call_duration_seconds"    // LabelCallee
	// The degraded ones are among those that RequestsTotal and CallsTotal count
	// as good.
	RequestsDegradedTotal = "microsim_requests_degraded_total" // LabelEndpoint
	CallsDegradedTotal    = "microsim_calls_degraded_total"    // LabelCallee
	FallbacksTotal        = "microsim_fallbacks_total"         // LabelCallee
	FaultActive           = "microsim_fault_active"            // LabelFault
	InflightRequests      = "microsim_inflight_requests"
	QueueLength           = "microsim_queue_length"
	HeldMemoryBytes       = "microsim_held_memory_bytes"
	BreakerState          = "microsim_breaker_state" // LabelCallee
	// The bytes that the connections of the service carry, of requests to it and of
	// its calls, without what TCP and IP add.
	NetworkReceiveBytes  = "microsim_network_receive_bytes_total"
	NetworkTransmitBytes = "microsim_network_transmit_bytes_total"
)

// The metrics of data stores, and of the drivers by which services reach them.
// Operations of stores count as requests, with the operation as LabelEndpoint and
// CodeOK or CodeError as LabelCode.
const (
	StoreConnections  = "microsim_store_connections"
	StoreMissedTotal  = "microsim_store_missed_total"
	StoreStaleTotal   = "microsim_store_stale_total"
	StoreRefusedTotal = "microsim_store_refused_total"
	// The lag of a group of consumers: the number of messages, and the age of the
	// oldest.
	StoreLagMessages = "microsim_store_lag_messages" // LabelGroup
	StoreLagSeconds  = "microsim_store_lag_seconds"  // LabelGroup

	DriverOperationsTotal          = "microsim_driver_operations_total"           // LabelCallee, LabelOperation, LabelOutcome
	DriverOperationDurationSeconds = "microsim_driver_operation_duration_seconds" // LabelCallee, LabelOperation
	DriverConnections              = "microsim_driver_connections"                // LabelCallee
	DriverPoolWaitsTotal           = "microsim_driver_pool_waits_total"           // LabelCallee
	DriverPoolWaitSecondsTotal     = "microsim_driver_pool_wait_seconds_total"    // LabelCallee
	DriverPoolTimeoutsTotal        = "microsim_driver_pool_timeouts_total"        // LabelCallee
	DriverRetriesTotal             = "microsim_driver_retries_total"              // LabelCallee
)

// FineQuery, as the query of MetricsPath, asks for RequestDurationFine and
// CallDurationFine in place of RequestDurationSeconds and CallDurationSeconds.
// Their value is not a number: it is the sum of all durations in nanoseconds,
// and for each bucket of stats.Histogram that is not empty a space and
// INDEX:COUNT.
const (
	FineQuery = "fine"

	RequestDurationFine = "microsim_request_duration_fine" // LabelEndpoint
	CallDurationFine    = "microsim_call_duration_fine"    // LabelCallee
)

const (
	LabelService  = "service"
	LabelEndpoint = "endpoint"
	LabelCode     = "code"
	LabelCallee   = "callee"
	LabelOutcome  = "outcome"
	LabelFault    = "fault"
	// LabelOperation is what a data store was asked to do.
	LabelOperation = "operation"
	// LabelGroup is a group of consumers.
	LabelGroup = "group"
)

// Values of LabelEndpoint for requests to no endpoint of the System.
const (
	EndpointChain = "chain"
	EndpointOther = "other"
)

// CodeAborted is the value of LabelCode of requests that got no answer.
const CodeAborted = "aborted"

// Values of LabelCode of data stores, whose answers have no status: their operations
// end well, or with an error of the protocol.
const (
	CodeOK    = "ok"
	CodeError = "error"
)

// DurationBuckets returns the upper bounds, in seconds, of the duration
// histograms.
func DurationBuckets() []float64 {
	return []float64{0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25}
}
