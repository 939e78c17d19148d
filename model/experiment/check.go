package experiment

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// Parts of a run that every experiment with faults has, beside the phases of its
// load. During lasts from the beginning of the first fault to the end of the last.
const (
	Before = "before"
	During = "during"
	After  = "after"

	// AfterLoad is the tail: what services still did when the load was over.
	AfterLoad = "tail"
)

// A Metric is a figure that a check judges.
type Metric string

// The metrics of checks. The name of a class of outcomes in the plural
// (timeouts, connection_errors, http_errors) or as it is (rejected, ok) is a
// metric, too: their number, or with a percent sign their share.
const (
	P50  Metric = "p50"
	P90  Metric = "p90"
	P95  Metric = "p95"
	P99  Metric = "p99"
	P999 Metric = "p999"
	Mean Metric = "mean"
	Min  Metric = "min"
	Max  Metric = "max"

	// Requests is the number of planned requests, by their planned start.
	Requests Metric = "requests"
	// Offered is the number of planned requests per second, by their planned start;
	// dropped ones count, too. Rate is the number of requests per second that
	// ended, by their end. Goodput is the number of requests per second that ended
	// well at every hop, by their end.
	Offered Metric = "offered"
	Rate    Metric = "rate"
	Goodput Metric = "goodput"
	// Degraded is the number of requests, or with a percent sign their share, that
	// ended well, but in whose answer a part was missing or came from a fallback.
	Degraded Metric = "degraded"
	// Errors is the number of requests that failed in any way, or with a percent
	// sign their share.
	Errors Metric = "errors"
	// Attempts is the average number of attempts for one call of an edge. Fallbacks
	// is the number of the edge's calls, or with a percent sign their share, whose
	// answer came from a fallback.
	Attempts  Metric = "attempts"
	Fallbacks Metric = "fallbacks"
	// Misses is the number of look-ups of a data store that found nothing. Stale is
	// the number of its reads that were answered with an outdated version. With a
	// percent sign, both are a share of all operations.
	Misses Metric = "misses"
	Stale  Metric = "stale"
	// Lag is the largest number of messages that a group of consumers had not consumed
	// yet or, with a duration as the bound, the age of the oldest of them.
	Lag Metric = "lag"
	// Availability of clients and edges is the share of requests that ended well.
	// Availability of a service is the share of the time in which a replica was
	// ready.
	Availability Metric = "availability"
	// RecoveryTime is the longest time from the failure of a replica until it was
	// ready again. DetectionTime is the longest time until the failure was noticed.
	RecoveryTime  Metric = "recovery"
	DetectionTime Metric = "detection"
	// TailTime is how long after the load the system was busy.
	TailTime Metric = "tail"
)

// Dimension is the unit of a bound.
type Dimension string

// The dimensions of bounds.
const (
	Seconds   Dimension = "seconds"
	Share     Dimension = "share"
	Count     Dimension = "count"
	PerSecond Dimension = "per_second"
	PerCall   Dimension = "per_call"
)

// A Condition is the parsed expression of a check.
type Condition struct {
	Metric Metric
	// Class is set where the metric counts one class of outcomes.
	Class outcome.Class
	// Op is one of < <= > >= == !=.
	Op string
	// Bound is in seconds, a share of 1, a count or per second, as Dimension says.
	Bound     float64
	Dimension Dimension
	// Alert and Fault are the names in a check of one alert. Others says that the check
	// counts the alerts that no other check names.
	Alert, Fault string
	Others       bool
}

// ParseCheck parses an expression: a metric, a comparison and a bound, as in "p99 <
// 300ms", "errors < 1%", "timeouts == 0" or "rate >= 50/s"; or the behaviour of an
// alert, as in "alert HighErrors fires < 30s after slow-cart" or "no other alert
// fires".
func ParseCheck(expr string) (Condition, error) {
	if (Check{Expr: expr}).IsAboutAlerts() {
		return parseAlertCheck(expr)
	}
	at := strings.IndexAny(expr, "<>=!")
	if at < 0 {
		return Condition{}, fmt.Errorf("check %q compares nothing: write a figure, a comparison and a bound, such as p99 < 300ms", expr)
	}
	name, rest := strings.TrimSpace(expr[:at]), expr[at:]
	op := rest[:1]
	if len(rest) > 1 && rest[1] == '=' {
		op = rest[:2]
	}
	if op == "=" || op == "!" {
		return Condition{}, fmt.Errorf("check %q has no comparison %q: write <, <=, >, >=, == or !=", expr, op)
	}
	bound := strings.TrimSpace(rest[len(op):])
	c := Condition{Metric: Metric(strings.ToLower(name)), Op: op}
	if !slices.Contains(Metrics(), c.Metric) {
		class, ok := classOf(string(c.Metric))
		if !ok {
			return Condition{}, fmt.Errorf("check %q has no figure %q: %s", expr, name, problem.DidYouMean(name, knownMetrics(), "known are "+metricNames()))
		}
		c.Class = class
	}
	if err := c.parseBound(bound); err != nil {
		return Condition{}, fmt.Errorf("check %q: %w", expr, err)
	}
	return c, nil
}

// Metrics lists the metrics in the order of the documentation, without those of
// the classes.
func Metrics() []Metric {
	return []Metric{P50, P90, P95, P99, P999, Mean, Min, Max, Requests, Offered, Rate, Goodput, Errors, Degraded, Attempts, Fallbacks, Misses, Stale, Lag, Availability, RecoveryTime, DetectionTime, TailTime}
}

func metricNames() string { return strings.Join(knownMetrics(), ", ") }

// knownMetrics returns the names of all metrics.
func knownMetrics() (names []string) {
	for _, m := range Metrics() {
		names = append(names, string(m))
	}
	for _, c := range outcome.Classes() {
		names = append(names, plural(c))
	}
	return names
}

// plural returns the name of the metric that counts a class.
func plural(c outcome.Class) string {
	switch c {
	case outcome.HTTPError, outcome.StoreError, outcome.FailedHop, outcome.ConnectionError, outcome.Timeout:
		return string(c) + "s"
	default:
		return string(c)
	}
}

func classOf(name string) (outcome.Class, bool) {
	for _, c := range outcome.Classes() {
		if name == string(c) || name == plural(c) {
			return c, true
		}
	}
	return "", false
}

// IsLatency reports whether the metric summarises latencies.
func (m Metric) IsLatency() bool {
	return slices.Contains([]Metric{P50, P90, P95, P99, P999, Mean, Min, Max}, m)
}

// isOfStores reports whether only data stores have the metric.
func (m Metric) isOfStores() bool { return m == Misses || m == Stale || m == Lag }

// isSpan reports whether the metric is a time of the whole run.
func (m Metric) isSpan() bool { return m == RecoveryTime || m == DetectionTime || m == TailTime }

// IsRate reports whether the metric is a number per second.
func (m Metric) IsRate() bool { return m == Offered || m == Rate || m == Goodput }

func (c *Condition) parseBound(text string) error {
	switch {
	case text == "":
		return fmt.Errorf("there is no bound after %q", c.Op)
	case c.Metric.IsLatency() || c.Metric.isSpan():
		d, err := unit.ParseDuration(text)
		if err != nil {
			return err
		}
		c.Bound, c.Dimension = d.Seconds(), Seconds
	case c.Metric.IsRate():
		c.Dimension = PerSecond
		return c.parseNumber(strings.TrimSuffix(strings.ReplaceAll(text, " ", ""), "/s"), "requests per second, such as 50")
	case c.Metric == Lag:
		return c.parseLag(text)
	case c.Metric == Attempts:
		c.Dimension = PerCall
		return c.parseNumber(text, "attempts for each call, such as 1.2")
	case strings.HasSuffix(text, "%") && c.Metric != Requests:
		if err := c.parseNumber(strings.TrimSpace(strings.TrimSuffix(text, "%")), "percents, such as 1%"); err != nil {
			return err
		}
		if c.Bound > 100 {
			return fmt.Errorf("%q is more than all: write 0%% to 100%%", text)
		}
		c.Bound, c.Dimension = c.Bound/100, Share
	case c.Metric == Availability:
		return fmt.Errorf("%q is not a share: write percents, such as 99.9%%", text)
	default:
		c.Dimension = Count
		if err := c.parseNumber(text, "a count such as 0, or a share such as 1%"); err != nil {
			return err
		}
		if c.Bound != math.Trunc(c.Bound) {
			return fmt.Errorf("%q is not a whole number: write a count such as 5, or a share such as 1%%", text)
		}
	}
	if c.Bound < 0 {
		return fmt.Errorf("%q is negative, which the figure never is", text)
	}
	return nil
}

// parseLag parses a bound of messages, or of the age of a message.
func (c *Condition) parseLag(text string) error {
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		c.Dimension = Count
		if err := c.parseNumber(text, "messages, such as 100"); err != nil {
			return err
		}
		if c.Bound != math.Trunc(c.Bound) {
			return fmt.Errorf("%q is not a whole number: write messages such as 100, or the age of the oldest such as 2s", text)
		}
		return nil
	}
	d, err := unit.ParseDuration(text)
	switch {
	case err != nil:
		return fmt.Errorf("%w; write messages such as 100, or the age of the oldest such as 2s", err)
	case d < 0:
		return fmt.Errorf("%q is negative, which the figure never is", text)
	}
	c.Bound, c.Dimension = d.Seconds(), Seconds
	return nil
}

func (c *Condition) parseNumber(text, want string) error {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return fmt.Errorf("%q is not a bound: write %s", text, want)
	}
	if n < 0 {
		return fmt.Errorf("%q is negative, which the figure never is", text)
	}
	c.Bound = n
	return nil
}

// Holds reports whether a value meets the condition.
func (c Condition) Holds(value float64) bool {
	switch c.Op {
	case "<":
		return value < c.Bound
	case "<=":
		return value <= c.Bound
	case ">":
		return value > c.Bound
	case ">=":
		return value >= c.Bound
	case "==":
		return value == c.Bound
	case "!=":
		return value != c.Bound
	}
	return false
}

// Format prints a value in the condition's dimension, as people write it.
func (c Condition) Format(value float64) string {
	switch c.Dimension {
	case Seconds:
		return FormatSeconds(value)
	case Share:
		return trimZeros(strconv.FormatFloat(100*value, 'f', 3, 64)) + "%"
	case PerCall:
		return trimZeros(strconv.FormatFloat(value, 'f', 2, 64))
	case PerSecond:
		return trimZeros(strconv.FormatFloat(value, 'f', 1, 64)) + "/s"
	default: // a count, or the mean of several
		return trimZeros(strconv.FormatFloat(value, 'f', 2, 64))
	}
}

// FormatSeconds prints seconds with three digits and the unit that fits: 412µs,
// 3.21ms, 1.5s.
func FormatSeconds(seconds float64) string {
	d := time.Duration(math.Round(seconds * 1e9))
	for _, step := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		switch {
		case d >= 100*step:
			return d.Round(step).String()
		case d >= 10*step:
			return d.Round(step / 10).String()
		case d >= step:
			return d.Round(step / 100).String()
		}
	}
	return d.String()
}

func trimZeros(s string) string {
	if !strings.Contains(s, ".") {
		return s
	}
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}

// Subject names what the check judges: clients, cart, web->cart.
func (c Check) Subject() string {
	switch {
	case c.IsAboutAlerts() && c.Service == "":
		return "alerts"
	case c.Service == "":
		return "clients"
	case c.From == "":
		return c.Service
	}
	return c.From + "->" + c.Service
}
