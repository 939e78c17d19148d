package system

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/internal/controlhttp"
	"github.com/microsim-dev/kubectl-microsim/model/chain"
	contract "github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/plugin/request"
	"github.com/microsim-dev/kubectl-microsim/plugin/target"
	"github.com/microsim-dev/kubectl-microsim/workload/loadgen"
)

// callOptions holds the flags of `call`.
type callOptions struct {
	streams cli.Streams
	inputs  cli.Inputs
	target  target.Target
	local   local.Flags
	system  string
	seed    uint64
	timeout time.Duration
	tls     cli.TLSFlags
	output  cli.Output
	// trace makes the command show the spans of the request.
	trace bool
	// client sends the request from this machine.
	client controlhttp.Doer
}

// NewCall returns the command `call`.
func NewCall(streams cli.Streams) *cobra.Command {
	o := &callOptions{streams: streams, target: target.New()}
	cmd := &cobra.Command{
		Use:   "call (-f REQUEST | EXAMPLE)",
		Short: "Send a request that carries its own route and faults",
		Long: `Send a MicroSim request: a tree of services with probabilities and faults. The answer is
drawn as a tree with the time of each hop; -o json prints the response document alone. The exit
code is 1 if any hop failed, which the error names.

Without --system, the services that the request names are started for just this call. On a
cluster the request goes through the API server. Each node is called with its probability; the
same seed makes the same draws.`,
		Example: `  kubectl microsim call -f request.json --on local
  kubectl microsim call -f request.json --system shop
  kubectl microsim call microsim-sample --on local --seed 3 -o json`,
		ValidArgsFunction: cli.CompleteInputs("Request"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.Validate(cmd, args); err != nil {
				return cli.Usage(cmd, err)
			}
			return o.run(cmd, args)
		},
	}
	o.inputs.AddFlags(cmd, "the request")
	o.target.AddFlags(cmd)
	o.local.AddFlags(cmd)
	cmd.Flags().StringVar(&o.system, "system", "", "the running system to send it to")
	_ = cmd.RegisterFlagCompletionFunc("system", o.target.CompleteSystems())
	cmd.Flags().Uint64Var(&o.seed, "seed", 0, "seed of the draws; without one they differ from call to call")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 5*time.Minute, "how long to wait for the answer")
	cmd.Flags().BoolVar(&o.trace, "trace", false, "draw the spans of the request, too: each hop and attempt along the time; with -o json, in OTLP's JSON beside the response")
	o.tls.AddFlags(cmd)
	o.output.AddFlags(cmd, "json")
	o.target.Kube.AddImageFlags(cmd)
	return cmd
}

func (o *callOptions) Validate(cmd *cobra.Command, args []string) error {
	if len(o.inputs.Filenames)+len(args) == 0 {
		return errors.New("there is nothing to send: name a request with -f")
	}
	if err := cmp.Or(o.output.Validate(), o.target.Validate(cmd), o.local.Validate()); err != nil {
		return err
	}
	if o.timeout <= 0 {
		return fmt.Errorf("--timeout %v leaves no time for an answer", o.timeout)
	}
	if o.target.OnCluster() {
		if err := cli.Refuse(cmd.Flags(), "are about a request that this machine sends, and on a cluster it goes through the API server: leave them out", "insecure", "cacert"); err != nil {
			return err
		}
	} else if err := o.connect(); err != nil {
		return err
	}
	if o.system == "" {
		return nil
	}
	return cli.Refuse(cmd.Flags(), "are about services that are started for the call, and --system names a system that runs: keep one",
		"isolation", "port-base", "image", "push", "image-pull-secret", "ready-timeout", "node-image")
}

// connect prepares to send the request from this machine. The client does not follow
// redirects, because a request is meant for one service.
func (o *callOptions) connect() error {
	certificates, err := o.tls.Read()
	if err != nil {
		return err
	}
	checked, err := loadgen.TLSConfig(certificates)
	if err != nil {
		return err
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: checked, ForceAttemptHTTP2: true}
	o.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return nil
}

func (o *callOptions) run(cmd *cobra.Command, args []string) error {
	ctx := cmd.Context()
	docs, err := o.inputs.Read(ctx, o.streams, args)
	if err != nil {
		return err
	}
	cli.ShowNotes(o.streams.Err, docs)
	chains := docs.Chains()
	if len(chains) != 1 {
		return fmt.Errorf("the files have %d requests where one is sent: name a file with one MicroSim request", len(chains))
	}
	if !strings.HasPrefix(strings.ToLower(chains[0].Designation), "https:") {
		if err := cli.Refuse(cmd.Flags(), "are about the https URL that a request goes to, and this one goes to none: leave them out", "insecure", "cacert"); err != nil {
			return cli.Usage(cmd, err)
		}
	}
	if !cmd.Flags().Changed("seed") {
		o.seed = uint64(time.Now().UnixNano())
	}
	if o.target.OnCluster() {
		return o.onKubernetes(ctx, chains[0])
	}
	if o.system != "" {
		client, err := local.Find(o.system)
		if err != nil {
			return err
		}
		door, err := request.ToClient(ctx, o.client, client)
		if err != nil {
			return err
		}
		return o.send(ctx, chains[0], door)
	}
	return o.startAndSend(ctx, chains[0])
}

// startAndSend starts the services that the request names, sends it, and takes
// them down again.
func (o *callOptions) startAndSend(ctx context.Context, tree *chain.Chain) (err error) {
	system := systemOf(tree)
	if len(system.Services) == 0 {
		return o.send(ctx, tree, &request.Door{Client: o.client, Spans: func(context.Context, span.TraceID) ([]span.Span, error) {
			return nil, errors.New("drawing the trace: the request goes to URLs alone, whose services hand over no spans: leave --trace out")
		}})
	}
	if err := system.Validate().Err(); err != nil {
		return fmt.Errorf("making a system of the services that the request names: %w", err)
	}
	deployer, err := o.local.DeployerIn("", o.streams.Err)
	if err != nil {
		return err
	}
	deployment, err := deployer.Up(ctx, system, o.seed)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	defer func() { err = errors.Join(err, deployment.Close(context.WithoutCancel(ctx))) }()
	door, err := request.ToLocal(ctx, o.client, deployment)
	if err != nil {
		return err
	}
	return o.send(ctx, tree, door)
}

// systemOf returns a system of the services that a request names. Services named by
// URL run elsewhere; their hosts are allowed.
func systemOf(tree *chain.Chain) *topology.System {
	system := &topology.System{Name: "call"}
	for _, name := range tree.Designations() {
		if chain.IsURL(name) {
			if u, err := url.Parse(name); err == nil && u.Host != "" {
				system.AllowHosts = append(system.AllowHosts, u.Host)
			}
			continue
		}
		system.Services = append(system.Services, topology.NewService(chain.ServiceName(name)))
	}
	return system
}

// send draws the request's probabilities, sends it, and prints the answer.
func (o *callOptions) send(ctx context.Context, tree *chain.Chain, door *request.Door) error {
	drawn, err := door.Draw(tree, o.seed)
	if err != nil {
		return err
	}
	if drawn.Chain == nil {
		fmt.Fprintf(o.streams.Err, "nothing was sent: seed %d does not draw %q, whose probability is %v %%\n", o.seed, problem.CleanURL(tree.Designation), tree.Probability)
		if o.output.Machine() {
			return o.output.Object(o.streams.Out, nil)
		}
		return nil
	}
	for _, name := range drawn.Unknown {
		fmt.Fprintf(o.streams.Err, "note: the system has no service %q; its caller reports an error\n", name)
	}
	answer, err := o.post(ctx, door, drawn)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	var traced *trace.Trace
	if o.trace {
		if traced, err = door.Trace(ctx, drawn, answer); err != nil {
			return cli.Cause(ctx, err)
		}
	}
	if o.output.Machine() && traced != nil {
		return errors.Join(o.showTrace(traced, answer), answer.Failure(drawn))
	}
	if o.output.Machine() {
		if _, err := o.streams.Out.Write(append(bytes.TrimSpace(answer.Raw), '\n')); err != nil {
			return err
		}
		return answer.Failure(drawn)
	}
	drawTree(o.streams.Out, drawn.Chain, answer)
	if traced != nil {
		if err := o.showTrace(traced, answer); err != nil {
			return err
		}
	}
	fmt.Fprintf(o.streams.Err, "\nseed %d\n", o.seed)
	return answer.Failure(drawn)
}

// post sends the request. It returns an error if the service refuses the request.
func (o *callOptions) post(ctx context.Context, door *request.Door, drawn *request.Draw) (*request.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	answer, err := door.Send(ctx, drawn, o.trace)
	if err == nil && answer.Status != http.StatusOK {
		err = answer.Failure(drawn)
	}
	return answer, err
}

// drawTree prints the answer as a tree: for each hop its name as in the request,
// its time, and its errors.
func drawTree(w io.Writer, tree *chain.Chain, a *request.Answer) {
	width := treeWidth(tree, 0)
	var draw func(c *chain.Chain, r *chain.Response, t *contract.Times, lead, branch, below string)
	draw = func(c *chain.Chain, r *chain.Response, t *contract.Times, lead, branch, below string) {
		name := lead + branch + cli.Clean(problem.CleanURL(c.Designation))
		took := ""
		if t != nil {
			took = fmt.Sprintf("%8.1f ms", float64(t.Took)/float64(time.Millisecond))
		}
		state := ""
		if r == nil {
			state = "  no answer"
		}
		fmt.Fprintf(w, "%s%s  %s%s\n", name, strings.Repeat(" ", max(0, width-unit.Columns(name))), took, state)
		if r == nil {
			return
		}
		for _, e := range r.Errors {
			fmt.Fprintf(w, "%s! %s\n", lead+below, cli.Clean(problem.CleanText(e)))
		}
		for i, route := range c.Routes {
			var child *chain.Response
			if i < len(r.Response) {
				child = r.Response[i]
			}
			b, n := "├─ ", "│  "
			if i == len(c.Routes)-1 {
				b, n = "└─ ", "   "
			}
			draw(route, child, t.Child(i), lead+below, b, n)
		}
	}
	times := a.Times
	if times == nil {
		times = &contract.Times{Took: a.Took}
	}
	draw(tree, a.Response, times, "", "", "")
}

// treeWidth returns the width of the names in a tree, with their indentation.
func treeWidth(c *chain.Chain, depth int) int {
	width := 3*depth + unit.Columns(cli.Clean(problem.CleanURL(c.Designation)))
	for _, route := range c.Routes {
		width = max(width, treeWidth(route, depth+1))
	}
	return width
}
