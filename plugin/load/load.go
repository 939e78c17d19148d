// Package load is the command that puts load on a system or on URLs and prints what
// came back.
package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/observe/report"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/plugin/target"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/workload/loadgen"
)

// loadOptions are those of `load`.
type loadOptions struct {
	streams     cli.Streams
	inputs      cli.Inputs
	target      target.Target
	system      string
	service     string
	endpoint    string
	method      string
	urls        string
	body        string
	seed        uint64
	rate, to    float64
	poisson     bool
	burst       int
	users       int
	think       unit.Duration
	every       unit.Duration
	delay       unit.Duration
	follow      bool
	duration    unit.Duration
	count       int
	Timeout     unit.Duration
	noKeepAlive bool
	pods        int
	output      string
}

func New(streams cli.Streams) *cobra.Command {
	o := &loadOptions{streams: streams, target: target.New()}
	cmd := &cobra.Command{
		Use:   "load (--system SYSTEM | --url URL) (--rate N | --users N)",
		Short: "Put load on a running system, and print what came back",
		Long: `Put load on a running system, or on URLs, and print what came back.

With --rate the loop is open: requests start at their time whatever becomes of the answers.
With --users it is closed: each user waits for an answer, thinks, and asks again. Latency
counts from the time at which a request was meant to start.

On a cluster, the load is generated inside it, by --load-pods pods that share it; what they
send does not depend on how many they are. Services are reached by their names then, and
URLs are as seen from the cluster. URLs without --on are loaded from this machine.

Phases, ramps and mixes of requests are described in a file: the load of an Experiment,
or a LoadGenerator of MicroSim.`,
		Example: `  kubectl microsim load --system shop --rate 50 --duration 30s --on local
  kubectl microsim load --system shop --rate 10 --to 200 --poisson --duration 1min --on local
  kubectl microsim load --system shop --rate 2000 --duration 1min --on kind --load-pods 3
  kubectl microsim load --url http://127.0.0.1:8080/ --users 10 --every 1s --duration 1min
  kubectl microsim load --url http://127.0.0.1:8080/ --delay 100ms --users 5
  kubectl microsim load -f loadgenerator.yaml --on local --follow`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.Validate(cmd, args); err != nil {
				return cli.Usage(cmd, err)
			}
			return o.run(cmd.Context(), args)
		},
	}
	o.inputs.AddFlags(cmd, "the load")
	o.target.AddFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&o.system, "system", "", "the running system; may be left out where there is only one")
	flags.StringVar(&o.service, "service", "", "the service to send to; without one each entry of the system alike")
	flags.StringVar(&o.endpoint, "endpoint", "", "the path to send to; without one the service's first")
	flags.StringVar(&o.method, "method", "", "HTTP method")
	flags.StringVar(&o.urls, "url", "", "URLs to send to in place of a system, apart by spaces, as seen from where the load is generated")
	flags.StringVar(&o.body, "body", "", "body of each request")
	flags.Uint64Var(&o.seed, "seed", document.DefaultSeed, "seed of all random decisions")
	flags.Float64Var(&o.rate, "rate", 0, "open loop: requests per second")
	flags.Float64Var(&o.to, "to", 0, "open loop: rate to reach at the end")
	flags.BoolVar(&o.poisson, "poisson", false, "open loop: random arrivals in place of even ones")
	flags.IntVar(&o.burst, "burst", 0, "open loop: requests that each arrival sends at once")
	flags.IntVar(&o.users, "users", 0, "closed loop: users; with --url as many for each URL")
	flags.Var(&o.think, "think", "closed loop: how long a user waits after an answer")
	flags.Var(&o.every, "every", "closed loop: beat of each user; one that finds the user waiting is skipped")
	flags.Var(&o.delay, "delay", "closed loop, as VECROsim's: --every, with POST, a connection for each request, and one user unless --users is given")
	flags.BoolVar(&o.follow, "follow", false, "change the load when its file changes")
	flags.Var(&o.duration, "duration", "how long; without it until Ctrl-C")
	flags.IntVar(&o.count, "count", 0, "stop after as many arrivals")
	flags.Var(&o.Timeout, "timeout", "how long to wait for an answer (default 15s)")
	flags.BoolVar(&o.noKeepAlive, "no-keep-alive", false, "open a connection for each request")
	target.AddLoadPods(cmd, &o.pods)
	o.target.Kube.AddImageFlags(cmd)
	flags.StringVarP(&o.output, "output", "o", "", "output format: json or yaml")
	_ = cmd.RegisterFlagCompletionFunc("system", o.target.CompleteSystems())
	_ = cmd.RegisterFlagCompletionFunc("service", o.target.CompleteServices(&o.system))
	return cmd
}

func (o *loadOptions) Validate(cmd *cobra.Command, args []string) error {
	if o.output != "" {
		if err := cli.OneOf("output", o.output, "json", "yaml"); err != nil {
			return err
		}
	}
	fromFile := len(o.inputs.Filenames)+len(args) > 0
	for _, flag := range []string{"rate", "users"} {
		if fromFile && cmd.Flags().Changed(flag) {
			return fmt.Errorf("--%s and a file both describe the load: keep one", flag)
		}
	}
	if o.delay != 0 {
		o.imitate()
	}
	switch {
	case o.follow && len(o.inputs.Filenames) != 1:
		return errors.New("--follow needs a file that it can read again: name one with -f")
	case !fromFile && (o.rate != 0) == (o.users != 0):
		return errors.New("the load is not described: write --rate for an open loop, or --users for a closed one")
	case o.urls != "" && (o.service != "" || o.system != ""):
		return errors.New("--url and a system's service are both given: keep one")
	case o.urls != "" && o.target.On == "":
		o.target.On = "local"
	}
	if err := o.target.Validate(); err != nil {
		return err
	}
	return o.target.ValidateLoadPods(cmd, o.pods)
}

// imitate fills in what VECROsim's load generator takes for granted.
func (o *loadOptions) imitate() {
	o.every, o.noKeepAlive = o.delay, true
	o.method = cmp.Or(o.method, http.MethodPost)
	o.users = cmp.Or(o.users, 1)
}

// forever is the length of a load that has no end of its own.
const forever = unit.Duration(24 * time.Hour)

// profile makes the load that the flags describe.
func (o *loadOptions) profile() load.Profile {
	p := load.Profile{Timeout: o.Timeout, NoKeepAlive: o.noKeepAlive}
	phase := load.Phase{
		Name: "load", Duration: o.duration, Rate: o.rate, Burst: o.burst, Users: o.users, Think: dist.Fixed(o.think.Std()), Every: o.every, Count: o.count,
	}
	if o.duration == 0 {
		phase.Duration = forever
	}
	if o.to != 0 {
		phase.RateTo = &o.to
	}
	if o.poisson {
		phase.Arrivals = load.Poisson
	}
	request := load.Request{Service: o.service, Endpoint: o.endpoint, Method: o.method, Body: o.body, Weight: 1}
	urls := strings.Fields(o.urls)
	for _, url := range urls {
		request.URL = url
		p.Requests = append(p.Requests, request)
	}
	if len(urls) > 0 {
		phase.Users *= len(urls)
		phase.Each = true
	} else if o.service != "" {
		p.Requests = []load.Request{request}
	}
	p.Phases = []load.Phase{phase}
	return p.WithDefaults()
}

// Read returns the load of the flags or of the files, and the system that the
// files name.
func (o *loadOptions) Read(ctx context.Context, args []string) (load.Profile, string, error) {
	if len(o.inputs.Filenames)+len(args) == 0 {
		p := o.profile()
		return p, o.system, p.Validate().Err()
	}
	docs, err := o.inputs.Read(ctx, o.streams, args)
	if err != nil {
		return load.Profile{}, "", err
	}
	cli.ShowNotes(o.streams.Err, docs)
	if loads := docs.Loads(); len(loads) == 1 {
		if o.system == "" {
			return loads[0].Profile, loads[0].System, nil
		}
		return loads[0].Profile, o.system, nil
	}
	if experiments := docs.Experiments(); len(experiments) == 1 {
		return experiments[0].Load, o.system, nil
	}
	return load.Profile{}, "", errors.New("the files do not describe one load: name a file with one LoadGenerator or one Experiment")
}

func (o *loadOptions) run(ctx context.Context, args []string) error {
	profile, name, err := o.Read(ctx, args)
	if err != nil {
		return err
	}
	put := o.onThisMachine
	if o.target.OnCluster() {
		put = o.onKubernetes
	}
	result, err := put(ctx, profile, name)
	if result == nil {
		return cli.Cause(ctx, err)
	}
	if ctx.Err() != nil {
		err = onlyCleanup(err) // Ctrl-C is how a load without an end ends
	}
	if o.output != "" {
		return errors.Join(err, cli.PrintObject(o.streams.Out, o.output, result))
	}
	return errors.Join(err, report.Load(o.streams.Out, result, cli.StyleOf(o.streams.Out)))
}

// onlyCleanup keeps of an error what could not be cleaned up.
func onlyCleanup(err error) error {
	if left := (*runner.CleanupError)(nil); errors.As(err, &left) {
		return left
	}
	return nil
}

// onThisMachine puts the load on a system of this machine, or on URLs.
func (o *loadOptions) onThisMachine(ctx context.Context, profile load.Profile, name string) (*result.LoadReport, error) {
	to := runner.LoadTarget{System: &topology.System{}, Seed: o.seed}
	if o.urls == "" {
		client, err := local.Find(name)
		if err != nil {
			return nil, err
		}
		status, err := client.Status(ctx)
		if err != nil {
			return nil, err
		}
		if to.System, err = client.System(ctx); err != nil {
			return nil, err
		}
		to.URLs = status.URLs()
	}
	generator := &loadgen.Generator{Processors: max(1, runtime.NumCPU()/2)}
	if o.follow {
		live := loadgen.NewControl()
		generator.Control = live
		defer o.followFile(ctx, profile, func(f control.LoadFactors) { live.Set(f.Rate, f.Burst, f.Users) })()
	}
	return generator.Load(ctx, profile, to, nil)
}
