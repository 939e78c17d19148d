// Package gate is the command that runs a gate of its own between a client and a
// server.
package gate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

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
}

func New(streams cli.Streams) *cobra.Command {
	o := &gateOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "gate [--listen ADDR --upstream ADDR] [--api ADDR]",
		Short: "Put a misbehaving TCP or UDP proxy between a client and a server",
		Long: `Put a proxy between a client and a server that misbehaves on order, until Ctrl-C.

It is steered over HTTP in the API of toxiproxy 2.x, so that its client libraries work
unchanged; further conditions are further types of toxics. Whoever reaches the API can open
ports on this machine, so it listens on loopback unless told otherwise.

Addresses are host:port, udp:host:port or unix:PATH.`,
		Example: `  kubectl microsim gate --listen 127.0.0.1:9000 --upstream 127.0.0.1:5432
  curl -d '{"type":"latency","attributes":{"latency":300,"jitter":50}}' http://127.0.0.1:8474/proxies/gate/toxics
  kubectl microsim gate --config gates.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (o.listen == "") != (o.upstream == "") {
				return cli.Usage(cmd, errors.New("--listen and --upstream belong together: give both, or none and use the API"))
			}
			return o.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.listen, "listen", "", "address that clients connect to")
	flags.StringVar(&o.upstream, "upstream", "", "address of the server")
	flags.StringVar(&o.name, "name", "gate", "name of the gate in the API")
	flags.StringVar(&o.api, "api", "127.0.0.1:8474", "address of the HTTP API")
	flags.StringVar(&o.config, "config", "", "JSON file with a list of gates to start with")
	return cmd
}

func (o *gateOptions) run(ctx context.Context) (err error) {
	api := gateapi.New(gateapi.Config{})
	defer func() { err = errors.Join(err, api.Close()) }()
	if err := o.populate(api); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", o.api)
	if err != nil {
		return fmt.Errorf("listening for the API: %w; choose another address with --api", err)
	}
	server := &http.Server{Handler: api, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	if g := api.Gate(o.name); g != nil {
		fmt.Fprintf(o.streams.Out, "gate/%s %s -> %s\n", o.name, g.Addr(), o.upstream)
	}
	fmt.Fprintf(o.streams.Err, "API at http://%s; Ctrl-C ends it.\n", ln.Addr())
	select {
	case err := <-served:
		return fmt.Errorf("serving the API: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	err = server.Shutdown(stop)
	<-served
	return err
}

// populate starts the gates of the file and that of the flags.
func (o *gateOptions) populate(api *gateapi.API) error {
	if o.config != "" {
		f, err := os.Open(o.config)
		if err != nil {
			return fmt.Errorf("reading the gates to start with: %w", err)
		}
		defer f.Close()
		if err := api.Populate(f); err != nil {
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
