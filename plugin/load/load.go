// Package load has the command that puts load on a system or on URLs, and prints
// the results.
package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/observe/report"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/plugin/target"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
	"github.com/microsim-dev/kubectl-microsim/workload/loadgen"
)

// loadOptions holds the flags of `load`.
type loadOptions struct {
	streams cli.Streams
	inputs  cli.Inputs
	target  target.Target
	flags   *pflag.FlagSet
	system  string
	seed    uint64
	follow  bool
	pods    int
	output  cli.Output
	described
}

// New returns the command `load`.
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
or LoadGenerators of MicroSim, which run at the same time, each at its own rate.`,
		Example: `  kubectl microsim load --system shop --rate 50 --duration 30s --on local
  kubectl microsim load --system shop --rate 10 --to 200 --poisson --duration 1min --on local
  kubectl microsim load --system shop --rate 2000 --duration 1min --on kind --load-pods 3
  kubectl microsim load --url http://127.0.0.1:8080/ --users 10 --every 1s --duration 1min
  kubectl microsim load --url http://127.0.0.1:8080/ --delay 100ms --users 5
  kubectl microsim load -f loadgenerator.yaml --on local --follow`,
		ValidArgsFunction: cli.CompleteInputs("LoadGenerator", document.KindExperiment),
		RunE: func(cmd *cobra.Command, args []string) error {
			profile, name, err := o.prepare(cmd, args)
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), profile, name)
		},
	}
	o.inputs.AddFlags(cmd, "the load")
	o.inputs.AddOnly(cmd, "experiments or loads")
	o.target.AddFlags(cmd)
	o.flags = cmd.Flags()
	o.flags.StringVar(&o.system, "system", "", "the running system; may be left out if there is only one")
	o.described.AddFlags(cmd)
	o.flags.Uint64Var(&o.seed, "seed", document.DefaultSeed, "seed of all random decisions")
	o.flags.BoolVar(&o.follow, "follow", false, "change the load when its file changes")
	target.AddLoadPods(cmd, &o.pods)
	o.target.Kube.AddImageFlags(cmd)
	o.output.AddFlags(cmd, cli.Templates()...)
	_ = cmd.RegisterFlagCompletionFunc("system", o.target.CompleteSystems())
	_ = cmd.RegisterFlagCompletionFunc("service", o.target.CompleteServices(&o.system))
	return cmd
}

// prepare reads the load and checks it with the flags. name is the name of the
// system; empty means the only running one.
func (o *loadOptions) prepare(cmd *cobra.Command, args []string) (profile load.Profile, name string, err error) {
	if err := o.validate(args); err != nil {
		return profile, "", cli.Usage(cmd, err)
	}
	profile, name, err = o.read(cmd.Context(), args)
	if err != nil {
		if !o.fromFile(args) {
			err = cli.Usage(cmd, err)
		}
		return profile, "", err
	}
	if !needsSystem(&profile) {
		if o.flags.Changed("system") {
			return profile, "", cli.Usage(cmd, errors.New("--system names what to put load on, and the load has only URLs: keep one"))
		}
		if o.target.On == "" {
			o.target.On = "local"
		}
	}
	if err := cmp.Or(o.target.Validate(cmd), target.ValidateLoadPods(o.pods)); err != nil {
		return profile, "", cli.Usage(cmd, err)
	}
	return profile, name, nil
}

// fromFile reports whether files describe the load.
func (o *loadOptions) fromFile(args []string) bool { return len(o.inputs.Filenames)+len(args) > 0 }

func (o *loadOptions) validate(args []string) error {
	if err := o.output.Validate(); err != nil {
		return err
	}
	if len(o.inputs.Only) > 0 && !o.fromFile(args) {
		return errors.New("--only chooses among the loads of files: name one with -f, or leave it out")
	}
	if o.follow && (len(o.inputs.Filenames) != 1 || len(args) > 0 || o.inputs.Filenames[0] == "-") {
		return errors.New("--follow needs a file that it can read again: name one with -f")
	}
	var err error
	if o.certificates, err = o.tls.Read(); err != nil {
		return err
	}
	if o.fromFile(args) {
		return o.described.validateBesideFile()
	}
	return o.described.validate(o.flags.Changed("system"))
}

// read returns the load of the flags or of the files, and the name of the system on
// which it is put.
func (o *loadOptions) read(ctx context.Context, args []string) (load.Profile, string, error) {
	if !o.fromFile(args) {
		p := o.described.profile()
		problems := p.Validate()
		for i := range problems {
			problems[i].Path = flagOf(problems[i].Path)
		}
		return p, o.system, problems.Err()
	}
	docs, err := o.inputs.Read(ctx, o.streams, args)
	if err != nil {
		return load.Profile{}, "", err
	}
	cli.ShowNotes(o.streams.Err, docs)
	profile, name := load.Profile{}, o.system
	switch loads, experiments := docs.Loads(), docs.Experiments(); {
	case len(loads) > 0 && len(experiments) > 0:
		return profile, "", fmt.Errorf("the files describe %d loads, and %d experiments with loads of their own: choose with --only, of %s", len(loads), len(experiments), strings.Join(docs.Names(), ", "))
	case len(loads) > 0:
		joined, err := docs.Join()
		if err != nil {
			return profile, "", err
		}
		profile, name = joined.Profile, cmp.Or(o.system, joined.System)
	case len(loads) == 0 && len(experiments) == 1:
		profile = experiments[0].Load
	default:
		return profile, "", fmt.Errorf("the files describe no load and %d experiments: name a file with LoadGenerators or one Experiment, or choose one with --only, of %s", len(experiments), strings.Join(docs.Names(), ", "))
	}
	profile, err = o.described.adjust(profile)
	return profile, name, err
}

func (o *loadOptions) run(ctx context.Context, profile load.Profile, name string) error {
	put := o.onThisMachine
	if o.target.OnCluster() {
		put = o.onKubernetes
	}
	shown := showProgress(o.streams.Err, &profile)
	sent, err := put(ctx, profile, name, shown.observe)
	shown.close()
	err = cli.Cause(ctx, err)
	if sent == nil {
		return err
	}
	if profile.TLS == nil && slices.ContainsFunc(sent.Failures, func(f result.Failure) bool { return f.Reason == outcome.NoTLS }) {
		fmt.Fprintln(o.streams.Err, "note: certificates were not accepted; --cacert names the authority that has signed them, and --insecure does not check them")
	}
	if ctx.Err() != nil && profile.Endless() {
		err = onlyCleanup(err) // an interrupt is the usual end of an endless load
	}
	if o.output.Machine() {
		return errors.Join(err, o.output.Object(o.streams.Out, sent))
	}
	out, style := cli.Styled(o.streams.Out)
	return errors.Join(err, report.Load(out, sent, style))
}

// onlyCleanup returns the CleanupError that an error wraps, or nil.
func onlyCleanup(err error) error {
	if left := (*runner.CleanupError)(nil); errors.As(err, &left) {
		return left
	}
	return nil
}

// onThisMachine puts the load on a system of this machine, or on URLs.
func (o *loadOptions) onThisMachine(ctx context.Context, profile load.Profile, name string, observe func(measure.Outcome)) (*result.LoadReport, error) {
	to := runner.LoadTarget{System: &topology.System{}, Seed: o.seed}
	if needsSystem(&profile) {
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
	return generator.Load(ctx, profile, to, observe)
}

// needsSystem reports whether a request of the load goes to a service of a system,
// not to a URL.
func needsSystem(p *load.Profile) bool {
	for i := range p.Requests {
		r := &p.Requests[i]
		if r.Service != "" {
			return true
		}
		if r.Chain == "" {
			continue
		}
		tree, err := chain.Parse([]byte(r.Chain), chain.Limits{})
		if err != nil || slices.ContainsFunc(tree.Designations(), func(name string) bool { return !chain.IsURL(name) }) {
			return true
		}
	}
	return len(p.Requests) == 0
}
