package system

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/model/chain"
	contract "github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/plugin/target"
	"github.com/microsim-dev/kubectl-microsim/workload/service"
)

// callOptions are those of `call`.
type callOptions struct {
	streams cli.Streams
	inputs  cli.Inputs
	target  target.Target
	local   local.Flags
	system  string
	seed    uint64
	Timeout time.Duration
	output  string
	// do sends the request.
	do func(*http.Request) (*http.Response, error)
}

func NewCall(streams cli.Streams) *cobra.Command {
	o := &callOptions{streams: streams, target: target.New(), do: http.DefaultClient.Do}
	cmd := &cobra.Command{
		Use:   "call (-f REQUEST | EXAMPLE)",
		Short: "Send a request that carries its own route and faults",
		Long: `Send a MicroSim request: a tree of services with probabilities and faults. The answer is
drawn as a tree with the time of each hop; -o json prints the response document alone. The exit
code is 1 if any hop failed, which the error names.

Without --system, the services that the request names are started for just this call. On a
cluster the request goes through the API server. A node is called with its probability, drawn by the seed: the same seed draws alike.`,
		Example: `  kubectl microsim call -f request.json --on local
  kubectl microsim call -f request.json --system shop
  kubectl microsim call microsim-sample --on local --seed 3 -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.Validate(args); err != nil {
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
	cmd.Flags().DurationVar(&o.Timeout, "timeout", 5*time.Minute, "how long to wait for the answer")
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "output format: json")
	o.target.Kube.AddImageFlags(cmd)
	return cmd
}

func (o *callOptions) Validate(args []string) error {
	if len(o.inputs.Filenames)+len(args) == 0 {
		return errors.New("there is nothing to send: name a request with -f")
	}
	if o.output != "" {
		if err := cli.OneOf("output", o.output, "json"); err != nil {
			return err
		}
	}
	if o.Timeout <= 0 {
		return fmt.Errorf("--timeout %v leaves no time for an answer", o.Timeout)
	}
	return o.target.Validate()
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
		status, err := client.Status(ctx)
		if err != nil {
			return err
		}
		return o.send(ctx, chains[0], addresses(status))
	}
	return o.startAndSend(ctx, chains[0])
}

// startAndSend starts the services that the request names, sends it, and takes
// them down again.
func (o *callOptions) startAndSend(ctx context.Context, tree *chain.Chain) (err error) {
	system := systemOf(tree)
	if len(system.Services) == 0 {
		return o.send(ctx, tree, nil)
	}
	if err := system.Validate().Err(); err != nil {
		return fmt.Errorf("making a system of the services that the request names: %w", err)
	}
	deployer, err := o.local.DeployerIn("", o.streams.Err, false)
	if err != nil {
		return err
	}
	deployment, err := deployer.Up(ctx, system, o.seed)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	defer func() { err = errors.Join(err, deployment.Close(context.WithoutCancel(ctx))) }()
	status, err := deployment.Status(ctx)
	if err != nil {
		return err
	}
	return o.send(ctx, tree, addresses(status))
}

// systemOf makes a system of the services that a request names. Services that
// it names by URL run elsewhere; the request may call their hosts.
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

// addresses lists the first replica's URL of each service.
func addresses(status *control.Status) map[string]string {
	urls := map[string]string{}
	for _, s := range status.Services {
		urls[s.Name] = s.Endpoint
	}
	return urls
}

// send draws the request's probabilities, sends it, and prints the answer.
func (o *callOptions) send(ctx context.Context, tree *chain.Chain, urls map[string]string) error {
	drawn := chain.Sample(tree, load.CallKey(o.seed))
	if drawn == nil {
		fmt.Fprintf(o.streams.Err, "nothing was sent: seed %d does not draw %q, whose probability is %v %%\n", o.seed, tree.Designation, tree.Probability)
		if o.output != "" {
			return cli.PrintObject(o.streams.Out, o.output, nil)
		}
		return nil
	}
	resolved, unknown := chain.Resolve(drawn, func(name string) (string, bool) {
		url, ok := urls[name]
		return url, ok
	})
	if !chain.IsURL(resolved.Designation) {
		return fmt.Errorf("sending the request: %q is no service of the system; it has %s", resolved.Designation, strings.Join(slices.Sorted(maps.Keys(urls)), ", "))
	}
	for _, name := range unknown {
		fmt.Fprintf(o.streams.Err, "note: %q is no service of the system; its caller reports an error\n", name)
	}
	answer, raw, err := o.post(ctx, resolved)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	if o.output == "json" {
		if _, err := o.streams.Out.Write(append(bytes.TrimSpace(raw), '\n')); err != nil {
			return err
		}
		return hopsFailed(answer.response.Failed(drawn))
	}
	drawTree(o.streams.Out, drawn, answer)
	fmt.Fprintf(o.streams.Err, "\nseed %d\n", o.seed)
	return hopsFailed(answer.response.Failed(drawn))
}

// hopsFailed is the error of a request of which hops failed: services answer 200
// whatever became of their routes.
func hopsFailed(hops []chain.FailedHop) error {
	const shown = 5
	if len(hops) == 0 {
		return nil
	}
	var texts []string
	for i := range hops[:min(len(hops), shown)] {
		texts = append(texts, hops[i].String())
	}
	if n := len(hops) - shown; n > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", n))
	}
	return fmt.Errorf("the request was answered, but not well at every hop: %s", strings.Join(texts, "; "))
}

// answered is what came back for a request.
type answered struct {
	response *chain.Response
	took     time.Duration
	times    *service.Times
}

// maxAnswer bounds the response document that is read.
const maxAnswer = 64 << 20

func (o *callOptions) post(ctx context.Context, tree *chain.Chain) (answered, []byte, error) {
	body, err := json.Marshal(tree)
	if err != nil {
		return answered{}, nil, fmt.Errorf("writing the request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	to := strings.TrimSuffix(tree.Designation, "/") + "/"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return answered{}, nil, fmt.Errorf("sending the request to %q: %w", to, err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(contract.TimesHeader, "1")
	// What the services draw follows from the id, and thereby from the seed.
	req.Header.Set(contract.RequestIDHeader, load.RequestID(load.CallKey(o.seed)))
	start := time.Now()
	resp, err := o.do(req)
	if err != nil {
		return answered{}, nil, fmt.Errorf("sending the request: %w", err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return answered{}, nil, fmt.Errorf("reading the answer of %q: %w", to, err)
	}
	a := answered{took: time.Since(start), times: service.ParseTimes(resp.Header.Get(contract.TimesHeader))}
	if err := json.Unmarshal(raw, &a.response); err != nil || a.response == nil {
		return answered{}, nil, fmt.Errorf("reading the answer of %q: status %s, and no response document: %.200s", to, resp.Status, raw)
	}
	if resp.StatusCode != http.StatusOK {
		return a, raw, fmt.Errorf("the service answered %s: %s", resp.Status, strings.Join(a.response.Errors, "; "))
	}
	return a, raw, nil
}

// drawTree prints the answer as a tree, with the name of each hop as the
// request has it, its time, and its errors.
func drawTree(w io.Writer, tree *chain.Chain, a answered) {
	width := treeWidth(tree, 0)
	var draw func(c *chain.Chain, r *chain.Response, t *service.Times, lead, branch, below string)
	draw = func(c *chain.Chain, r *chain.Response, t *service.Times, lead, branch, below string) {
		name := lead + branch + c.Designation
		took := ""
		if t != nil {
			took = fmt.Sprintf("%8.1f ms", float64(t.Took)/float64(time.Millisecond))
		}
		state := ""
		if r == nil {
			state = "  no answer"
		}
		fmt.Fprintf(w, "%s%s  %s%s\n", name, strings.Repeat(" ", max(0, width-len([]rune(name)))), took, state)
		if r == nil {
			return
		}
		for _, e := range r.Errors {
			fmt.Fprintf(w, "%s! %s\n", lead+below, e)
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
	if a.times == nil {
		a.times = &service.Times{Took: a.took}
	}
	draw(tree, a.response, a.times, "", "", "")
}

// treeWidth is the width of the names of a tree, indented as they are drawn.
func treeWidth(c *chain.Chain, depth int) int {
	width := 3*depth + len([]rune(c.Designation))
	for _, route := range c.Routes {
		width = max(width, treeWidth(route, depth+1))
	}
	return width
}
