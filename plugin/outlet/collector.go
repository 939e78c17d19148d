// Package outlet sends what systems show while they run to where their users look at
// it: to an OpenTelemetry collector, and to Fluentd.
package outlet

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/microsim-dev/kubectl-microsim/model/logline"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/observe/otlp"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// A Collector is an OpenTelemetry collector that a flag names, or none. It gets what
// one system after the other shows.
type Collector struct {
	// Paced says that what sends waits for the collector: runs in virtual time.
	Paced bool
	// Rootless says that nobody sends the roots of traces: requests come from elsewhere.
	Rootless bool
	// Patience bounds the sending of what is left at the end; 0 stands for 10 s.
	Patience time.Duration

	url     string
	headers map[string]string
	// sender is that of the system that runs.
	sender atomic.Pointer[otlp.Sender]
}

const (
	// OTLPFlag names the collector.
	OTLPFlag = "otlp"
	// otlpHeaders is the variable that OpenTelemetry's own exporters read
	// (opentelemetry.io/docs/specs/otel/protocol/exporter).
	otlpHeaders = "OTEL_EXPORTER_OTLP_HEADERS"
)

// AddFlags adds the flag that names a collector; while says when it gets something.
func (c *Collector) AddFlags(cmd *cobra.Command, while string) {
	cmd.Flags().StringVar(&c.url, OTLPFlag, "", "URL of an OpenTelemetry collector, such as http://localhost:4318, that gets spans, metrics and logs "+while)
}

// Validate refuses what is no collector.
func (c *Collector) Validate(flags *pflag.FlagSet) (err error) {
	if !flags.Changed(OTLPFlag) {
		return nil
	}
	if _, err := otlp.ParseURL(c.url); err != nil {
		return fmt.Errorf("--%s: %w", OTLPFlag, err)
	}
	c.headers, err = parseHeaders(os.Getenv(otlpHeaders))
	return err
}

// parseHeaders reads name=value,name=value with values as in URLs.
func parseHeaders(text string) (map[string]string, error) {
	headers := map[string]string{}
	for pair := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, found := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if name = strings.TrimSpace(name); !found || name == "" || err != nil || strings.ContainsAny(name+value, "\r\n") {
			return nil, fmt.Errorf("reading %s: one of its pairs is not name=value; write name=value,name=value with values as in URLs", otlpHeaders)
		}
		headers[name] = value
	}
	return headers, nil
}

// Args are the flags by which another command line names the same collector.
func (c *Collector) Args() []string {
	if c.url == "" {
		return nil
	}
	return []string{"--" + OTLPFlag, c.url}
}

// Wanted reports whether there is a collector.
func (c *Collector) Wanted() bool { return c.url != "" }

// Begin begins to send what a system shows. End must be called.
func (c *Collector) Begin(origin trace.Origin) {
	if !c.Wanted() {
		return
	}
	o := otlp.Options{URL: c.url, Headers: c.headers, Pace: c.Paced, Rootless: c.Rootless, Patience: c.Patience}
	if sender, err := otlp.New(o, origin); err == nil { // the URL has been checked
		c.sender.Store(sender)
	}
}

// End sends what is left, and says what became of everything; nil if nothing was begun.
func (c *Collector) End(ctx context.Context) *result.OTLP {
	if sender := c.sender.Swap(nil); sender != nil {
		return sender.Close(ctx)
	}
	return nil
}

// Sums says what has become of everything so far; nil if nothing was begun, or all has
// ended.
func (c *Collector) Sums() *result.OTLP {
	if sender := c.sender.Load(); sender != nil {
		return sender.Sums()
	}
	return nil
}

// Observe sends the figures of an event; those of most events are none.
func (c *Collector) Observe(event runner.Event) {
	if sender := c.sender.Load(); sender != nil {
		sender.Observe(event)
	}
}

// Spans sends spans. The slice may be used again.
func (c *Collector) Spans(spans []span.Span) {
	if sender := c.sender.Load(); sender != nil {
		sender.Spans(spans)
	}
}

// Line sends a line of a log.
func (c *Collector) Line(l logline.Line) {
	if sender := c.sender.Load(); sender != nil {
		sender.Line(l)
	}
}
