package run

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/microsim-dev/kubectl-microsim/model/logline"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/observe/otlp"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// collector sends what runs show to an OpenTelemetry collector, where one is named.
type collector struct {
	url     string
	headers map[string]string
	// paced says that runs wait for the collector: those in virtual time.
	paced bool
	// sender is that of the run under way, sent what came of the last one.
	sender atomic.Pointer[otlp.Sender]
	sent   *result.OTLP
}

const (
	otlpFlag = "otlp"
	// otlpHeaders is the variable that OpenTelemetry's own exporters read
	// (opentelemetry.io/docs/specs/otel/protocol/exporter).
	otlpHeaders = "OTEL_EXPORTER_OTLP_HEADERS"
)

func (c *collector) AddFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.url, otlpFlag, "", "URL of an OpenTelemetry collector, such as http://localhost:4318, that gets spans, metrics and logs while the run goes on")
}

// Validate refuses what is no collector.
func (c *collector) Validate(o *runOptions, flags *pflag.FlagSet) (err error) {
	if !flags.Changed(otlpFlag) {
		return nil
	}
	if o.dryRun {
		return cli.Refuse(flags, "are for what a run shows, and --dry-run runs nothing: leave them out", otlpFlag)
	}
	if _, err := otlp.ParseURL(c.url); err != nil {
		return fmt.Errorf("--%s: %w", otlpFlag, err)
	}
	c.paced = o.target.Virtual()
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

// args are the flags of a run inside the cluster.
func (c *collector) args() []string {
	if c.url == "" {
		return nil
	}
	return []string{"--" + otlpFlag, c.url}
}

func (c *collector) wanted() bool { return c.url != "" }

// begin begins to send what a run shows.
func (c *collector) begin(origin trace.Origin) {
	c.sent = nil
	if !c.wanted() {
		return
	}
	if sender, err := otlp.New(otlp.Options{URL: c.url, Headers: c.headers, Pace: c.paced}, origin); err == nil { // the URL has been checked
		c.sender.Store(sender)
	}
}

// end sends what is left.
func (c *collector) end(ctx context.Context) {
	if sender := c.sender.Swap(nil); sender != nil {
		c.sent = sender.Close(ctx)
	}
}

func (c *collector) observe(event runner.Event) {
	if sender := c.sender.Load(); sender != nil {
		sender.Observe(event)
	}
}

func (c *collector) spans(spans []span.Span) {
	if sender := c.sender.Load(); sender != nil {
		sender.Spans(spans)
	}
}

func (c *collector) line(l logline.Line) {
	if sender := c.sender.Load(); sender != nil {
		sender.Line(l)
	}
}
