// Package gate is the command that runs a gate of its own between a client and a
// server.
package gate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/internal/webguard"
	"github.com/microsim-dev/kubectl-microsim/netfault/gate"
	"github.com/microsim-dev/kubectl-microsim/netfault/gate/address"
	"github.com/microsim-dev/kubectl-microsim/netfault/gate/gateapi"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// gateOptions are those of `gate`.
type gateOptions struct {
	streams          cli.Streams
	listen, upstream string
	name             string
	api              string
	config           string
	seed             uint64
}

func New(streams cli.Streams) *cobra.Command {
	o := &gateOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "gate [--listen ADDR --upstream ADDR] [--config FILE] [--api ADDR]",
		Short: "Put a misbehaving TCP or UDP proxy between a client and a server",
		Long: `Put a proxy between a client and a server that misbehaves on order, until Ctrl-C.

It is steered over HTTP in the API of toxiproxy 2.x, so that its client libraries work
unchanged. Anyone who reaches the API can open ports on this machine, so it listens on
loopback unless told otherwise, and refuses requests of web pages.

Addresses are host:port, udp:host:port or unix:PATH. A gate without a listen address gets a
free port of 127.0.0.1. At the start each upstream is connected to once; if that does not
work, a message says why, and another one when it works again.

Types of toxics and their attributes:

` + toxics(),
		Example: `  kubectl microsim gate --listen 127.0.0.1:9000 --upstream 127.0.0.1:5432
  curl -d '{"type":"latency","attributes":{"latency":300,"jitter":50}}' http://127.0.0.1:8474/proxies/gate/toxics
  curl -X DELETE http://127.0.0.1:8474/proxies/gate/toxics/latency_downstream

  # A file is a list of gates, with the toxics that they start with:
  # [{"name": "pg", "listen": "127.0.0.1:9000", "upstream": "127.0.0.1:5432",
  #   "toxics": [{"type": "latency", "stream": "downstream", "attributes": {"latency": 300}}]}]
  kubectl microsim gate --config gates.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (o.listen == "") != (o.upstream == "") {
				return cli.Usage(cmd, errors.New("--listen and --upstream belong together: give both, or none and use the API"))
			}
			if o.listen == "" && cmd.Flags().Changed("name") {
				return cli.Usage(cmd, errors.New("--name names the gate of --listen and --upstream; write them, too"))
			}
			return o.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.listen, "listen", "", "address that clients connect to")
	flags.StringVar(&o.upstream, "upstream", "", "address of the server")
	flags.StringVar(&o.name, "name", "gate", "name of the gate in the API")
	flags.StringVar(&o.api, "api", "127.0.0.1:8474", "address of the HTTP API, host:port or unix:PATH")
	flags.StringVar(&o.config, "config", "", "JSON file with a list of gates to start with")
	flags.Uint64Var(&o.seed, "seed", 0, "seed of all random decisions; 0 picks one, which is shown")
	return cmd
}

// toxics is the list of types for the help.
func toxics() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, t := range gateapi.ToxicTypes() {
		fmt.Fprintf(w, "  %s\t%s\n", t.Type, strings.Join(t.Attributes, ", "))
	}
	_ = w.Flush() // a Builder takes everything
	return strings.TrimRight(text.String(), "\n") + "\n\nThe first eight are those of toxiproxy. docs/gates.md says what each does."
}

func (o *gateOptions) run(ctx context.Context) (err error) {
	for o.seed == 0 {
		o.seed = rand.Uint64()
	}
	ln, err := o.listenForAPI(ctx)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(o.streams.Err, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	api := gateapi.New(gateapi.Config{Gate: gate.Config{Seed: o.seed, Log: log}, Hosts: webguard.LoopbackHosts(ln.Addr()), Log: log})
	defer func() { err = errors.Join(err, api.Close()) }()
	if err := o.populate(ctx, api); err != nil {
		return errors.Join(err, ln.Close())
	}
	server := &http.Server{
		Handler: api, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		// Requests that wait for a toxic to act end with the command.
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	for _, name := range api.Names() {
		from, to, _ := strings.Cut(api.Gate(name).String(), "->")
		fmt.Fprintf(o.streams.Out, "gate/%s %s -> %s\n", name, from, to)
	}
	fmt.Fprintf(o.streams.Err, "API at %s, seed %d; Ctrl-C ends it.\n", apiAddress(ln.Addr()), o.seed)
	if a, ok := ln.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() {
		fmt.Fprintln(o.streams.Err, "Anyone who reaches the API from the network can open ports on this machine.")
	}
	checked := checkUpstreams(ctx, api)
	defer func() { <-checked }()
	select {
	case err := <-served:
		return fmt.Errorf("serving the API: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if server.Shutdown(stop) != nil {
		err = server.Close() // of clients that do not end what they send
	}
	<-served
	return err
}

func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// listenForAPI opens the address of the API. A Unix socket is for the user alone.
func (o *gateOptions) listenForAPI(ctx context.Context) (net.Listener, error) {
	ln, err := address.Listen(ctx, o.api)
	if err != nil {
		return nil, fmt.Errorf("listening for the API: %w; choose another address with --api", err)
	}
	if a, ok := ln.Addr().(*net.UnixAddr); ok {
		if err := os.Chmod(a.Name, 0o600); err != nil {
			return nil, errors.Join(fmt.Errorf("listening for the API: %w", err), ln.Close())
		}
	}
	return ln, nil
}

func apiAddress(a net.Addr) string {
	if a.Network() == "unix" {
		return "unix:" + a.String()
	}
	return "http://" + a.String()
}

// checkTimeout bounds how long the check of an upstream takes.
const checkTimeout = 5 * time.Second

// checkUpstreams lets the log say which upstreams cannot be reached. The channel
// is closed when it has, or ctx has ended.
func checkUpstreams(ctx context.Context, api *gateapi.API) <-chan struct{} {
	var checks sync.WaitGroup
	for _, name := range api.Names() {
		checks.Go(func() {
			limited, cancel := context.WithTimeout(ctx, checkTimeout)
			defer cancel()
			if g := api.Gate(name); g != nil {
				_ = g.CheckUpstream(limited) // the log has it
			}
		})
	}
	done := make(chan struct{})
	go func() {
		checks.Wait()
		close(done)
	}()
	return done
}

// maxConfig bounds the size of a file of gates.
const maxConfig = 16 << 20

func readConfig(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err == nil && len(text) > maxConfig {
		err = fmt.Errorf("%q has more than %d MiB: give a JSON list of gates", path, maxConfig>>20)
	}
	return text, err
}

// populate starts the gates of the file and that of the flags.
func (o *gateOptions) populate(ctx context.Context, api *gateapi.API) error {
	if o.config != "" {
		text, err := cli.Interruptible(ctx, func() ([]byte, error) { return readConfig(o.config) })
		if err != nil {
			return fmt.Errorf("reading the gates to start with: %w", err)
		}
		if err := api.Populate(bytes.NewReader(text)); err != nil {
			return fmt.Errorf("starting the gates of %q: %w", o.config, err)
		}
	}
	if o.listen == "" {
		return nil
	}
	if _, err := api.Add(o.name, o.listen, o.upstream); err != nil {
		return err
	}
	return nil
}
