package golden

import (
	"context"
	"io"
	"net/http"
	"reflect"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/cluster"
	"github.com/microsim-dev/kubectl-microsim/cluster/access"
	"github.com/microsim-dev/kubectl-microsim/cluster/detached"
	"github.com/microsim-dev/kubectl-microsim/cluster/faults"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/nodehelper"
	"github.com/microsim-dev/kubectl-microsim/cluster/sandbox"
	"github.com/microsim-dev/kubectl-microsim/cluster/workload"
	localcontrol "github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/localsim/registry"
	"github.com/microsim-dev/kubectl-microsim/model/chain"
	contract "github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/dataset"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/order"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/netfault"
	"github.com/microsim-dev/kubectl-microsim/netfault/emulate"
	"github.com/microsim-dev/kubectl-microsim/netfault/gate/gateapi"
	"github.com/microsim-dev/kubectl-microsim/netfault/impair"
	"github.com/microsim-dev/kubectl-microsim/observe/export"
	"github.com/microsim-dev/kubectl-microsim/observe/export/judge"
	"github.com/microsim-dev/kubectl-microsim/observe/report"
	"github.com/microsim-dev/kubectl-microsim/plugin"
	"github.com/microsim-dev/kubectl-microsim/plugin/agent"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/runner/remote"
	"github.com/microsim-dev/kubectl-microsim/workload/service"
)

// This file alone knows where the project keeps what the tests pin, so that a
// move changes no other file.

// modulePath tells the project's types from those of others.
const modulePath = "github.com/microsim-dev/kubectl-microsim/"

// pluginTree is the command tree of kubectl-microsim.
func pluginTree() *cobra.Command {
	return plugin.Command(cli.Streams{Out: io.Discard, Err: io.Discard})
}

// runPlugin executes a command line of kubectl-microsim and returns its exit code.
func runPlugin(ctx context.Context, in io.Reader, out, err io.Writer, args ...string) int {
	return plugin.Run(ctx, args, cli.Streams{In: in, Out: out, Err: err})
}

// runAgent executes a command line of microsim-agent.
func runAgent(ctx context.Context, out io.Writer, args ...string) error {
	return agent.Run(ctx, args, agent.Streams{Out: out, Err: io.Discard})
}

// exitOfAgent is the exit code of microsim-agent for an error of runAgent.
func exitOfAgent(err error) int { return agent.ExitCode(err) }

// leftBehind is the error of an agent that could not undo a fault.
func leftBehind() error { return impair.ErrCleanup }

// gateAPI is the HTTP API that steers gates.
func gateAPI() (api http.Handler, end func() error) {
	a := gateapi.New(gateapi.Config{})
	return a, a.Close
}

// newReplica is the mock service as its part of a system describes it.
func newReplica(part []byte) (h http.Handler, end func(), err error) {
	spec, err := service.ParseSpec(part)
	if err != nil {
		return nil, nil, err
	}
	s, err := service.New(spec.Config(nil))
	if err != nil {
		return nil, nil, err
	}
	return s.Handler(), s.Close, nil
}

// clusterNames are the names of objects and namespaces in clusters that the
// manifests of their packages do not show.
func clusterNames() map[string]string {
	return map[string]string{
		"field manager":               kubeapi.FieldManager,
		"namespace of helpers":        nodehelper.Namespace,
		"helper of node n1":           nodehelper.Name("n1"),
		"record of faults in ns":      nodehelper.RecordName("ns"),
		"file of the order of ns/a":   order.FileName("ns/a"),
		"selector of helpers":         nodehelper.Selector(),
		"selector of fault records":   nodehelper.RecordSelector(),
		"selector of helper on n1":    nodehelper.NodeSelector("n1"),
		"sandbox where none is named": sandbox.DefaultName,
		"version of the gate API":     gateapi.APIVersion,
	}
}

// documents are the types that are written as JSON or read from it.
func documents() []document {
	return []document{
		{"result", reflect.TypeFor[result.Result]()},
		{"comparison", reflect.TypeFor[result.Comparison]()},
		{"load report", reflect.TypeFor[result.LoadReport]()},
		{"second of a client", reflect.TypeFor[result.ClientSecond]()},
		{"experiment", reflect.TypeFor[experiment.Experiment]()},
		{"system", reflect.TypeFor[topology.System]()},
		{"load", reflect.TypeFor[load.Profile]()},
		{"fault", reflect.TypeFor[fault.Fault]()},
		{"chain", reflect.TypeFor[chain.Chain]()},
		{"answer of a chain", reflect.TypeFor[chain.Response]()},
		{"part of a replica", reflect.TypeFor[service.Spec]()},
		{"fault of a replica", reflect.TypeFor[contract.FaultRequest]()},
		{"local system", reflect.TypeFor[localcontrol.Status]()},
		{"registered system", reflect.TypeFor[registry.Record]()},
		{"system on a cluster", reflect.TypeFor[cluster.Status]()},
		{"finding of doctor on a cluster", reflect.TypeFor[access.Check]()},
		{"experiment on a cluster", reflect.TypeFor[detached.Experiment]()},
		{"results on a cluster", reflect.TypeFor[detached.Results]()},
		{"selection of pods", reflect.TypeFor[workload.Selection]()},
		{"effect of a fault on a cluster", reflect.TypeFor[faults.Effect]()},
		{"sandbox", reflect.TypeFor[sandbox.Sandbox]()},
		{"node helper: order", reflect.TypeFor[order.Order]()},
		{"node helper: status", reflect.TypeFor[order.Status]()},
		{"node helper: backend", reflect.TypeFor[contract.Backend]()},
		{"network agent: state", reflect.TypeFor[netfault.State]()},
		{"network agent: event", reflect.TypeFor[agent.Event]()},
		{"network agent: counts", reflect.TypeFor[emulate.Counts]()},
		{"load job", reflect.TypeFor[remote.Job]()},
		{"load start", reflect.TypeFor[contract.LoadStart]()},
		{"load factors", reflect.TypeFor[contract.LoadFactors]()},
		{"load line", reflect.TypeFor[remote.Line]()},
		{"top", reflect.TypeFor[report.Top]()},
		{"manifest of a data set", reflect.TypeFor[export.Manifest]()},
		{"data set", reflect.TypeFor[dataset.Dataset]()},
		{"verification of a data set", reflect.TypeFor[judge.Verification]()},
		{"case of a data set", reflect.TypeFor[export.Record]()},
	}
}
