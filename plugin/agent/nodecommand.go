package agent

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"github.com/microsim-dev/kubectl-microsim/cluster/nodeagent"
	"log/slog"
	"net"
	"os"
	"time"
)

const nodeDoc = `microsim-agent node [flags]

Carries out orders on the pods of this node, until each fault's deadline: faults
on the network and on resources, and pauses. It needs the host's processes
(hostPID), and the rights to enter their namespaces and move processes between
cgroups.

Orders come as files NAME.json of --orders, which are read every 2 s, and by
HTTP, where every request but /healthz needs the token in the header
Microsim-Token:

  PUT /orders/OWNER            an order as JSON; answers when it has been carried out
  DELETE /orders/OWNER?version=N  takes back all that the owner wanted up to version N
  GET /status                  what has become of every fault
  GET /backends                what can break networks on this node, and why not
  GET /healthz

When it listens, it prints its address as a line of JSON:
{"addr":"[::]:8081"}. When it gets INT or TERM, everything is taken back, and the exit code is not 0 if
something was still wanted. What a helper that was
killed has left is taken over, or taken back, by the next one.

A fault acts only on pods of its order's owner. NAMESPACE/SYSTEM owns the pods of
the namespace whose containers have these two in MICROSIM_NAMESPACE and
MICROSIM_SYSTEM; foreign.faults/NAMESPACE owns those of the namespace, of which a
fault hits at most its maxPods. Namespaces come from the kubelet's directories of
logs. The status of a fault says why it is refused.

Environment:
  MICROSIM_TOKEN  the token

Flags:
`

type nodeOptions struct {
	orders, addr string
	machine      nodeagent.Machine
	linger       time.Duration
	token        string
}

// nodeHelper is the command `node`.
func nodeHelper(ctx context.Context, args []string, streams Streams) error {
	var o nodeOptions
	flags := flag.NewFlagSet("node", flag.ContinueOnError)
	flags.StringVar(&o.orders, "orders", "", "directory with files of orders; none means orders by HTTP only")
	flags.StringVar(&o.addr, "addr", ":8081", "address to listen on")
	flags.DurationVar(&o.linger, "linger", time.Minute, "end when no order has wanted anything for so long; 0 means never")
	flags.StringVar(&o.machine.Cgroups, "cgroups", "/sys/fs/cgroup", "the host's file systems of cgroups")
	flags.StringVar(&o.machine.Proc, "proc", "/proc", "the host's processes")
	flags.StringVar(&o.machine.PodLogs, "pod-logs", "/proc/1/root/var/log/pods", "the kubelet's directories of the logs of pods, NAMESPACE_NAME_UID")
	flags.BoolVar(&o.machine.AllowSystem, "allow-system", false, "take faults on pods of kube-system, kube-public, kube-node-lease and microsim-system")
	if helped, err := Parse(flags, nodeDoc, args, streams); helped || err != nil {
		return err
	}
	if o.linger < 0 {
		return fmt.Errorf("node: --linger %s is negative: %w", o.linger, ErrUsage)
	}
	if o.token = os.Getenv("MICROSIM_TOKEN"); o.token == "" {
		return fmt.Errorf("node: MICROSIM_TOKEN is not set, and without a token anybody could give orders: %w", ErrUsage)
	}
	return o.run(ctx, streams)
}

// run is the helper of a node: it takes orders by HTTP and from files, and carries
// them out until ctx ends.
func (o nodeOptions) run(ctx context.Context, streams Streams) error {
	log := slog.New(slog.NewTextHandler(streams.Err, nil))
	n, err := nodeagent.Open(ctx, o.machine, log)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", o.addr)
	if err != nil {
		return fmt.Errorf("listening for orders: %w; choose another address with --addr", err)
	}
	if err := json.NewEncoder(streams.Out).Encode(addresses{Addr: ln.Addr().String()}); err != nil {
		ln.Close()
		return fmt.Errorf("printing the address: %w", err)
	}
	stopServing := serveControl(ln, n.Handler(o.token))
	err = n.Run(ctx, o.orders, o.linger)
	return errors.Join(stopServing(), err)
}
