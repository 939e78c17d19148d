package system

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/microsim-dev/kubectl-microsim/cluster/sandbox"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/kube"
)

// NewCluster has the commands for kind clusters of our own.
func NewCluster(streams cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "Make, list and delete sandboxes: kind clusters for --on kind",
		Args:  cli.Commands,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newClusterCreate(streams), newClusterList(streams), newClusterDelete(streams))
	return cmd
}

func sandboxName(args []string) string {
	if len(args) == 0 {
		return sandbox.DefaultName
	}
	return args[0]
}

func newClusterCreate(streams cli.Streams) *cobra.Command {
	var o sandbox.Options
	cmd := &cobra.Command{
		Use:     "create [NAME]",
		Short:   "Make a sandbox",
		Example: "  kubectl microsim cluster create --workers 2",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := sandboxName(args)
			if err := sandbox.CheckName(name); err != nil {
				return cli.Usage(cmd, err)
			}
			if o.Workers < 0 {
				return cli.Usage(cmd, fmt.Errorf("--workers %d is not a number of nodes: write 0 or more", o.Workers))
			}
			manager, err := kube.Sandboxes(streams)
			if err != nil {
				return err
			}
			s, err := manager.Create(cmd.Context(), name, o)
			if err != nil {
				return cli.Cause(cmd.Context(), err)
			}
			fmt.Fprintf(streams.Out, "cluster/%s created\n", s.Name)
			fmt.Fprintf(streams.Err, "kubectl reaches it with --kubeconfig %s\n", s.Kubeconfig)
			return nil
		},
	}
	cmd.Flags().IntVar(&o.Workers, "workers", 0, "nodes beside the control plane")
	cmd.Flags().StringVar(&o.NodeImage, "node-image", "", "image of the nodes; kind's own if left out")
	return cmd
}

func newClusterList(streams cli.Streams) *cobra.Command {
	var output cli.Output
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show the sandboxes, and the kind clusters of others",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := output.Validate(); err != nil {
				return cli.Usage(cmd, err)
			}
			manager, err := kube.Sandboxes(streams)
			if err != nil {
				return err
			}
			all, err := manager.List()
			if err != nil {
				return err
			}
			kubeconfigs(all)
			switch {
			case output.Names():
				var names []string
				for _, s := range all {
					names = append(names, s.Name)
				}
				return cli.PrintNames(streams.Out, "cluster", names)
			case output.Machine():
				return output.Object(streams.Out, cli.AsList(all))
			case len(all) == 0:
				fmt.Fprintln(streams.Err, "There are no kind clusters.")
				return nil
			}
			var rows [][]string
			for _, s := range all {
				state, made := "ready", "<unknown>"
				if !s.Ready {
					state = "incomplete"
				}
				if !s.Created.IsZero() {
					made = cli.Age(time.Since(s.Created))
				}
				owner, kubeconfig := "microsim", cmp.Or(s.Kubeconfig, "<none>")
				if s.Foreign {
					owner = "others"
				}
				rows = append(rows, []string{s.Name, fmt.Sprint(len(s.Nodes)), state, owner, kubeconfig, made})
			}
			return output.Table(streams.Out, []string{"NAME", "NODES", "STATE", "OWNER", "KUBECONFIG", "AGE"}, rows)
		},
	}
	output.AddFlags(cmd, append(cli.Templates(), "name")...)
	output.AddNoHeaders(cmd)
	return cmd
}

// kubeconfigs adds, for clusters of others, the file of the user's kubeconfig in which
// kind has put their context.
func kubeconfigs(all []sandbox.Sandbox) {
	config, err := clientcmd.NewDefaultClientConfigLoadingRules().Load()
	if err != nil {
		return // then they have none that is known
	}
	for i := range all {
		if c := config.Contexts["kind-"+all[i].Name]; c != nil && all[i].Kubeconfig == "" {
			all[i].Kubeconfig = c.LocationOfOrigin
		}
	}
}

// completeSandboxes completes the names of sandboxes.
func completeSandboxes(streams cli.Streams) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var names []cobra.Completion
		if manager, err := kube.Sandboxes(streams); err == nil {
			all, err := manager.List()
			for _, s := range all {
				if err == nil && !s.Foreign && !slices.Contains(args, s.Name) {
					names = append(names, s.Name)
				}
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

func newClusterDelete(streams cli.Streams) *cobra.Command {
	var all, ignoreNotFound bool
	cmd := &cobra.Command{
		Use:               "delete (NAME ... | --all)",
		Short:             "Delete sandboxes and all that is in them",
		ValidArgsFunction: completeSandboxes(streams),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case !all && len(args) == 0:
				return cli.Usage(cmd, errors.New("there is nothing to delete: name sandboxes, or write --all"))
			case all && len(args) > 0:
				return cli.Usage(cmd, errors.New("--all deletes every sandbox, and some are named, too: keep one"))
			case all && ignoreNotFound:
				return cli.Usage(cmd, errors.New("--ignore-not-found is about sandboxes that are named, and --all names none: keep one"))
			}
			manager, err := kube.Sandboxes(streams)
			if err != nil {
				return err
			}
			if all {
				found, err := manager.List()
				if err != nil {
					return err
				}
				for _, s := range found {
					if !s.Foreign {
						args = append(args, s.Name)
					}
				}
			}
			var failed error
			for _, name := range args {
				err := manager.Delete(name)
				var missing *sandbox.NotFoundError
				if errors.As(err, &missing) && ignoreNotFound {
					continue
				}
				if err == nil {
					fmt.Fprintf(streams.Out, "cluster/%s deleted\n", name)
				}
				failed = errors.Join(failed, err)
			}
			return failed
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "delete every sandbox")
	cmd.Flags().BoolVar(&ignoreNotFound, "ignore-not-found", false, "a sandbox that does not exist is not an error")
	return cmd
}
