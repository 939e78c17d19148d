// Package storeagent has the commands of microsim-store, which serves data stores and
// their callers. They are apart from those of the agent, so that this stays small.
package storeagent

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/microsim-dev/kubectl-microsim/plugin/agent"
	"github.com/microsim-dev/kubectl-microsim/workload/store"
	"github.com/microsim-dev/kubectl-microsim/workload/store/console"
	"github.com/microsim-dev/kubectl-microsim/workload/store/driver"
)

// Commands are what the agent does not do: to serve a data store, and a service that calls
// some.
func Commands() []agent.Command {
	return []agent.Command{
		{Name: "store", Doc: "serve one data store", Run: serveStore},
		agent.Serve("caller", driver.New),
	}
}

// Program is microsim-store.
func Program() *agent.Program {
	return &agent.Program{Name: "microsim-store", Commands: Commands()}
}

const storeDoc = `microsim-store store [flags]

Serves one data store until it gets INT, TERM or HUP. When it listens, it prints
its address as a line of JSON: {"addr":"127.0.0.1:6379"}. Health, metrics and
control are at --control-addr.

Environment:
  PORT                  the port, where no address is given (8080)
  MICROSIM_ADDR         the address to listen on, where --addr is not given
  MICROSIM_WATCH_STDIN  not empty: as --watch-stdin
  MICROSIM_SERVICE      the store's part of the System as JSON, or @FILE
  MICROSIM_TOKEN        the token of /admin, in place of the one in there
  MICROSIM_OWN_NETWORK  not empty: no other program uses this network namespace,
                        so the metrics have those of the process

Flags:
`

// serveStore is the command store.
func serveStore(ctx context.Context, args []string, streams agent.Streams) error {
	var o agent.ServeFlags
	flags := flag.NewFlagSet("store", flag.ContinueOnError)
	own := flags.String("own-server", "", "address (host:port) of a real server that was started for this store alone, which faults may break")
	data := flags.String("data", "", "state directory below which a real server has its data that is started here (else with temporary files)")
	o.AddFlags(flags)
	if helped, err := agent.Parse(flags, storeDoc, args, streams); helped || err != nil {
		return err
	}
	logger, err := o.Logger(streams.Err)
	if err != nil {
		return err
	}
	spec, err := agent.ReadSpec(os.Getenv)
	if err != nil {
		return err
	}
	prepare := driver.Prepare
	if *own != "" {
		prepare = driver.PrepareOwn
	}
	server, err := store.New(store.Config{
		Service: spec.Service, Replica: spec.Replica, Seed: spec.Seed, Token: spec.Token, OwnServer: *own, Data: *data,
		Prepare: prepare, Console: console.Open, Lags: driver.Lags, ProcessMetrics: os.Getenv(agent.OwnNetwork) != "", Logger: logger.With("system", spec.System),
	})
	if err != nil {
		return err
	}
	return o.Serve(ctx, fmt.Sprintf("store %q", spec.Service.Name), server, os.Getenv, streams)
}
