// Package ui is the command that shows a system in the browser.
package ui

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/examples"
	"github.com/microsim-dev/kubectl-microsim/internal/version"
	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/plugin/target"
	"github.com/microsim-dev/kubectl-microsim/webui"
)

// options are those of `ui`.
type options struct {
	streams  cli.Streams
	filename string
	system   string
	on       string
	run      string
	out      string
	port     int
	view     bool
	noOpen   bool
	local    local.Flags
	target   target.Target
}

// New is `ui`.
func New(streams cli.Streams) *cobra.Command {
	o := &options{streams: streams}
	cmd := &cobra.Command{
		Use:   "ui [EXAMPLE | -f FILE | --system NAME | --run DIR]",
		Short: "Show a system in the browser: play it, break it, watch it",
		Long: `Show a system in the browser, as a graph beside its file: change the file with the checker's own
messages, play it in virtual time, on this machine, in a kind sandbox or on a cluster, add faults by
a click while it runs, and see what they do.

With -f, the file is saved where it came from; one that is not there is made. With --system, a
system that runs already is watched, and goes on when this program ends. With --run, a run that
'run --out DIR' has recorded is played back. Without any of these, the page asks.

The page is served to this machine only, at an address that holds a token: who does not have the
address cannot use it. Ctrl-C ends it, and takes down what it has started.`,
		Example: `  kubectl microsim ui
  kubectl microsim ui shop
  kubectl microsim ui -f system.yaml
  kubectl microsim ui --system shop --on local
  kubectl microsim ui --system shop --on cluster -n staging
  kubectl microsim ui --run results/`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return cli.ExampleNames(args, begun, document.KindSystem, document.KindExperiment), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.validate(cmd, args); err != nil {
				return cli.Usage(cmd, err)
			}
			return o.serve(cmd.Context(), args)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.filename, "filename", "f", "", "the file to show and to save to; an example's name shows that, without saving")
	flags.StringVar(&o.system, "system", "", "watch this running system")
	flags.StringVar(&o.on, "on", "", "where the system of --system runs: local, kind or cluster; without --system, where the page offers to play first, which can be virtual, too")
	flags.StringVar(&o.run, "run", "", "play back the run that this directory holds")
	flags.StringVar(&o.out, "out", "", "keep every run that is played on the page, in a directory of its own below this one")
	flags.IntVar(&o.port, "port", 0, "port of the page; 0 lets the machine choose")
	flags.BoolVar(&o.view, "view", false, "only look: no saving, no playing, no faults")
	flags.BoolVar(&o.noOpen, "no-open", false, "print the address, and open no browser")
	flags.StringVar(&o.local.Isolation, "isolation", string(localsim.InProcess),
		"what keeps services apart that the page plays on this machine: inprocess, process (needed for kill, pause, restart and stress), or netns (root, Linux)")
	cli.CompleteFlag(cmd, "isolation", string(localsim.InProcess), string(localsim.Process), string(localsim.Namespace))
	cli.CompleteFlag(cmd, "on", targets()...)
	o.target = target.New()
	o.target.Kube.AddFlags(cmd)
	o.target.Kube.AddImageFlags(cmd)
	_ = cmd.RegisterFlagCompletionFunc("system", func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		running := o.target
		running.On = cmp.Or(o.on, webui.OnLocal)
		return running.CompleteSystems()(cmd, args, begun)
	})
	return cmd
}

func (o *options) validate(cmd *cobra.Command, args []string) error {
	flags := cmd.Flags()
	shown := cli.Given(flags, "filename", "system", "run")
	if len(args) > 0 {
		shown = append(shown, "an example")
	}
	switch {
	case len(shown) > 1:
		return fmt.Errorf("%s and %s are both given, and one page shows one thing: keep one", shown[0], shown[1])
	case o.system != "" && (o.on == "" || o.on == webui.OnVirtual):
		return errors.New("--system shows a system that runs: write where, with --on local, --on kind or --on cluster")
	case o.port < 0 || o.port > 65535:
		return fmt.Errorf("--port %d is not a port: write 1 to 65535, or 0 to let the machine choose", o.port)
	case o.view:
		if err := cli.Refuse(flags, "are about runs that the page plays, and --view plays none: leave them out", "out", "isolation", "image", "push", "image-pull-secret", "node-image", "ready-timeout"); err != nil {
			return err
		}
	}
	if flags.Changed("on") {
		if err := cli.OneOf("on", o.on, targets()...); err != nil {
			return err
		}
	}
	if o.system != "" {
		o.target.On = o.on
		if err := o.target.Validate(cmd); err != nil {
			return err
		}
	} else if err := o.target.ValidateFlags(cmd); err != nil {
		return err
	}
	return o.local.Validate()
}

// targets are where the page plays.
func targets() []string {
	return []string{webui.OnVirtual, webui.OnLocal, webui.OnKind, webui.OnCluster}
}

func (o *options) serve(ctx context.Context, args []string) error {
	if os.Getenv("GOGC") == "" {
		// Each edit reads the whole file, most of which is garbage at once: on a small
		// heap, a third of the time would go into collecting it.
		defer debug.SetGCPercent(debug.SetGCPercent(400))
	}
	config := webui.Config{Worlds: &worlds{options: o}, Token: rand.Text(), Version: version.String(), View: o.view, On: cmp.Or(o.on, webui.OnVirtual)}
	for _, e := range examples.List() {
		if e.Kind != document.KindSystem && e.Kind != document.KindExperiment {
			continue
		}
		text, err := examples.Open(e.Name)
		if err != nil {
			return err
		}
		config.Examples = append(config.Examples, webui.Example{Name: e.Name, Title: e.Title, Kind: e.Kind, Text: string(text)})
	}
	server := webui.New(config)
	if err := o.open(ctx, server, args); err != nil {
		return errors.Join(cli.Cause(ctx, err), server.Close())
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(o.port)))
	if err != nil {
		return errors.Join(fmt.Errorf("serving the page: %w; --port chooses another port", err), server.Close())
	}
	address := fmt.Sprintf("http://%s/#token=%s", listener.Addr(), config.Token)
	fmt.Fprintln(o.streams.Out, address)
	if o.view {
		fmt.Fprintln(o.streams.Err, "The page only looks: it saves, plays and breaks nothing.")
	}
	closeBrowser := func() {}
	if o.noOpen {
		fmt.Fprintln(o.streams.Err, "Open the address in a browser on this machine; it is for you alone. Ctrl-C ends it.")
	} else {
		fmt.Fprintln(o.streams.Err, "Ctrl-C ends it.")
		closeBrowser = openBrowser(o.streams.Err, address)
	}
	err = server.Serve(ctx, listener)
	closeBrowser()
	return err
}

// open shows what the flags name.
func (o *options) open(ctx context.Context, server *webui.Server, args []string) error {
	home := webui.Home{}
	switch {
	case len(args) > 0:
		return server.OpenExample(args[0])
	case o.system != "":
		home.Name, home.Open = "system "+o.system, func(ctx context.Context) error {
			return server.Follow(ctx, webui.Place{Name: o.system, On: o.on})
		}
	case o.run != "":
		rec, err := readRecord(o.run)
		if err != nil {
			return err
		}
		home.Name, home.Open = o.run, func(context.Context) error { return server.Replay(o.run, rec) }
	case o.filename != "":
		if shown, err := o.isExample(server); shown {
			return err
		}
		home.Name, home.Open = o.filename, func(context.Context) error { return server.OpenFile(o.filename) }
	default:
		return nil
	}
	return server.Start(ctx, home)
}

// isExample shows an example if --filename names one, and no file.
func (o *options) isExample(server *webui.Server) (bool, error) {
	if _, err := os.Stat(o.filename); !errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	switch filepath.Ext(o.filename) {
	case ".yaml", ".yml":
		return false, nil
	}
	if err := server.OpenExample(o.filename); err != nil {
		return true, fmt.Errorf("opening %q: no such file, and no example of that name; a new file is named *.yaml", o.filename)
	}
	return true, nil
}
