// Package outlet sends traces, figures and logs of running systems to other
// programs: to an OpenTelemetry collector, and to Fluentd.
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

// A Collector is the OpenTelemetry collector that --otlp names, or none. Several
// systems can send to it, one after the other.
type Collector struct {
	// Paced makes senders wait for the collector, as runs in virtual time can.
	Paced bool
	// Rootless says that no root spans are sent, because requests come from other
	// programs.
	Rootless bool
	// Patience bounds the sending of the rest at the end; 0 means 10 s.
	Patience time.Duration

	url     string
	headers map[string]string
	// sender is the sender of the running system.
	sender atomic.Pointer[otlp.Sender]
}

const (
	// OTLPFlag is the flag that names the collector.
	OTLPFlag = "otlp"
	// otlpHeaders is the environment variable that OpenTelemetry's own exporters
	// read (opentelemetry.io/docs/specs/otel/protocol/exporter).
	otlpHeaders = "OTEL_EXPORTER_OTLP_HEADERS"
)

// AddFlags adds the flag that names a collector. while says, in the help, when it
// gets data.
func (c *Collector) AddFlags(cmd *cobra.Command, while string) {
	cmd.Flags().StringVar(&c.url, OTLPFlag, "", "URL of an OpenTelemetry collector, such as http://localhost:4318, that gets spans, metrics and logs "+while)
}

// Validate refuses an invalid URL or header.
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

// Args returns the flags by which another command line names the same collector.
func (c *Collector) Args() []string {
	if c.url == "" {
		return nil
	}
	return []string{"--" + OTLPFlag, c.url}
}

// Wanted reports whether there is a collector.
func (c *Collector) Wanted() bool { return c.url != "" }

// Begin begins the sending for a system. Call End afterwards.
func (c *Collector) Begin(origin trace.Origin) {
	if !c.Wanted() {
		return
	}
	o := otlp.Options{URL: c.url, Headers: c.headers, Pace: c.Paced, Rootless: c.Rootless, Patience: c.Patience}
	if sender, err := otlp.New(o, origin); err == nil { // Validate has checked the URL
		c.sender.Store(sender)
	}
}

// End sends the rest, and returns how much was sent, dropped and refused, or nil if
// nothing was begun.
func (c *Collector) End(ctx context.Context) *result.OTLP {
	if sender := c.sender.Swap(nil); sender != nil {
		return sender.Close(ctx)
	}
	return nil
}

// Sums returns how much was sent, dropped and refused so far, or nil if no sending is
// under way.
func (c *Collector) Sums() *result.OTLP {
	if sender := c.sender.Load(); sender != nil {
		return sender.Sums()
	}
	return nil
}

// Observe sends the figures of an event, if it has figures.
func (c *Collector) Observe(event runner.Event) {
	if sender := c.sender.Load(); sender != nil {
		sender.Observe(event)
	}
}

// Spans sends spans. It does not keep the slice.
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
