// Package kube connects commands to a cluster: the flags of kubectl, kind sandboxes
// and images.
package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // the ways in which clouds log in
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/klog/v2"

	"github.com/microsim-dev/kubectl-microsim/cluster"
	"github.com/microsim-dev/kubectl-microsim/cluster/access"
	"github.com/microsim-dev/kubectl-microsim/cluster/image"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/sandbox"
	"github.com/microsim-dev/kubectl-microsim/localsim/registry"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/netfault"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/workload/service"
)

// Flags are the flags of systems on Kubernetes. They read no file and send no
// request before a command asks for the cluster.
type Flags struct {
	// Config has kubectl's own flags.
	Config *genericclioptions.ConfigFlags
	// Sandbox names the kind cluster of --on kind.
	Sandbox string
	// Image is the agent's image, and Push the reference to which it is pushed; at
	// most one is given.
	Image, Push string
	// PullSecret is the name of the Secret with which nodes pull images; empty means none.
	PullSecret string
	// TraceSample is the share, from 0 to 1, of requests whose traces services keep
	// even if they do not fail; 0 makes no spans.
	TraceSample float64
	// Verbose makes services log every request. LogFormat is the format of their
	// lines.
	Verbose   bool
	LogFormat string
	// ReadyTimeout is how long pods may take to become ready.
	ReadyTimeout time.Duration

	set       *pflag.FlagSet // those of the command
	nodeImage string
	pushed    *pushes
}

// AddFlags adds kubectl's flags, and those of sandboxes.
func (k *Flags) AddFlags(cmd *cobra.Command) {
	k.Config = genericclioptions.NewConfigFlags(true)
	k.TraceSample = span.DefaultShare
	k.Config.CacheDir = nil // nothing is cached
	flags := cmd.Flags()
	k.set, k.pushed = flags, &pushes{}
	k.Config.AddFlags(flags)
	k.completeConfig(cmd)
	// The others work as with kubectl, and would bury the flags of the command.
	for _, name := range []string{
		"as", "as-group", "as-uid", "as-user-extra", "certificate-authority", "client-certificate", "client-key", "cluster", "disable-compression",
		"insecure-skip-tls-verify", "proxy-url", "request-timeout", "server", "tls-server-name", "token", "user", "username", "password",
	} {
		if flag := flags.Lookup(name); flag != nil {
			flag.Hidden = true
		}
	}
	flags.StringVar(&k.Sandbox, "sandbox", sandbox.DefaultName, "the kind cluster of --on kind: a sandbox, or one that others made")
	cli.OnlyOn(flags, []string{"kind"}, "sandbox")
	cli.OnlyOn(flags, []string{"kind", "cluster"}, "namespace", "as", "as-group", "as-uid", "as-user-extra", "request-timeout")
	cli.OnlyOn(flags, []string{"cluster"},
		"kubeconfig", "context", "cluster", "user", "server", "token", "certificate-authority", "client-certificate", "client-key",
		"insecure-skip-tls-verify", "tls-server-name", "disable-compression", "proxy-url")
}

// AddImageFlags adds the flags of commands that create pods.
func (k *Flags) AddImageFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&k.nodeImage, "node-image", "", "image of the nodes, for the sandbox that --on kind makes if there is none")
	cli.OnlyOn(flags, []string{"kind"}, "node-image")
	flags.DurationVar(&k.ReadyTimeout, "ready-timeout", 5*time.Minute, "how long pods may take to become ready")
	cli.OnlyOn(flags, []string{"kind", "cluster"}, "ready-timeout")
	k.AddHelperFlags(cmd)
}

// AddHelperFlags adds the flags of commands that create pods for a system that runs
// already.
func (k *Flags) AddHelperFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&k.Image, "image", "", "image of microsim-agent that the cluster can pull")
	flags.StringVar(&k.Push, "push", "", "push the agent's image to this reference, and use it")
	flags.StringVar(&k.PullSecret, "image-pull-secret", "", "Secret with which nodes pull the images, of the namespace of the pods or, if that is new, of the context")
	cli.OnlyOn(flags, []string{"kind", "cluster"}, "image", "push", "image-pull-secret")
}

// Args returns the flags on the command line that say which cluster is meant,
// without credentials.
func (k *Flags) Args() (words []string) {
	return k.Changed("kubeconfig", "context", "cluster", "user", "as", "namespace", "sandbox")
}

// Changed returns those of the named flags that are on the command line, with their
// values.
func (k *Flags) Changed(names ...string) (words []string) {
	for _, name := range names {
		if flag := k.set.Lookup(name); flag != nil && flag.Changed {
			words = append(words, "--"+name, flag.Value.String())
		}
	}
	return words
}

// Cluster returns the cluster that --on means. If pods is set, it makes the agent's
// image available there, and creates the sandbox if there is none.
func (k *Flags) Cluster(ctx context.Context, on string, streams cli.Streams, pods bool, more ...func(*kubeapi.Config)) (*cluster.Cluster, error) {
	// Silence klog: our errors already carry what it would print.
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	config := kubeapi.Config{
		ServiceSpec: k.ServiceSpec, AgentArgs: k.AgentArgs(), ReadyTimeout: k.ReadyTimeout, Namespace: *k.Config.Namespace,
		CheckNetwork: checkNetwork, Progress: func(line string) { fmt.Fprintln(streams.Err, line) },
	}
	var err error
	if config.PullSecret, err = k.pullSecret(ctx, on); err != nil {
		return nil, cli.Cause(ctx, err)
	}
	if on == "kind" {
		err = k.useSandbox(ctx, streams, pods, &config)
	} else {
		err = k.useContext(ctx, streams, pods, &config)
	}
	if err != nil {
		return nil, cli.Cause(ctx, err)
	}
	for _, change := range more {
		change(&config)
	}
	return cluster.New(config)
}

// checkNetwork returns an error if a fault on the network cannot act on packets.
func checkNetwork(f *fault.Fault) error {
	if entry, _ := fault.Lookup(f.Type); entry.Layer != fault.OnNetwork {
		return nil
	}
	_, err := netfault.ImpairmentOf(f)
	return err
}

// pullSecret returns the Secret with which nodes pull images, and its namespace.
func (k *Flags) pullSecret(ctx context.Context, on string) (kubeapi.PullSecret, error) {
	if k.PullSecret == "" {
		return kubeapi.PullSecret{}, nil
	}
	from, err := k.Namespace(ctx, on)
	return kubeapi.PullSecret{Name: k.PullSecret, From: from}, err
}

// AgentArgs returns the arguments of serving agents that differ from the defaults.
func (k *Flags) AgentArgs() (args []string) {
	if k.Verbose {
		args = append(args, "--verbose")
	}
	if k.LogFormat != "" && k.LogFormat != service.TextLogs {
		args = append(args, "--log-format="+k.LogFormat)
	}
	return args
}

// ServiceSpec returns the spec of a service on a cluster, without its token, which
// comes in a Secret.
func (k *Flags) ServiceSpec(system *topology.System, s *topology.Service, seed uint64, peers manifest.Peers) ([]byte, error) {
	part := service.SpecFor(system, s, 1, seed, peers, "")
	part.TraceSample = k.TraceSample
	// Leave out the number of replicas, so that scaling does not replace pods.
	part.Service.Replicas = topology.DefaultReplicas
	return json.Marshal(part)
}

// useContext configures the cluster of the kubeconfig's context, as kubectl does.
func (k *Flags) useContext(ctx context.Context, streams cli.Streams, pods bool, config *kubeapi.Config) error {
	raw, err := cli.Interruptible(ctx, k.Config.ToRawKubeConfigLoader().RawConfig)
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	name := cmp.Or(*k.Config.Context, raw.CurrentContext)
	// Inside a pod, use the pod's own cluster.
	inside := os.Getenv("KUBERNETES_SERVICE_HOST") != ""
	if chosen := *k.Config.Context; chosen != "" && raw.Contexts[chosen] == nil {
		return fmt.Errorf("finding the cluster: there is no context %q in the kubeconfig; 'kubectl config get-contexts' lists those that are there%s", chosen, absentFiles())
	}
	if raw.Contexts[name] == nil && *k.Config.APIServer == "" && *k.Config.ClusterName == "" && !inside {
		return fmt.Errorf("finding the cluster: there is no kubeconfig, or no context in it is chosen%s; set KUBECONFIG or --context, write --on kind for a sandbox, or --on local for this machine", absentFiles())
	}
	if config.REST, err = cli.Interruptible(ctx, k.Config.ToRESTConfig); err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	config.Inside = inside && raw.Contexts[name] == nil && *k.Config.APIServer == ""
	// Ignore the namespace default, which every context has; another one was chosen
	// by the user.
	if c := raw.Contexts[name]; c != nil && config.Namespace == "" && c.Namespace != "default" {
		config.Namespace = c.Namespace
	}
	if !pods {
		return nil
	}
	local := sandbox.Recognise(&raw, name)
	var load loader
	if local != nil {
		load = func(ctx context.Context, reference string, archive sandbox.Archive) error {
			return loadLocal(ctx, streams, config.REST, local, reference, archive)
		}
	}
	config.RuntimeImage, config.StoreImage = k.runtimeFinder(streams, config.REST, load), k.storeFinder(streams, config.REST, load)
	if local == nil || k.Image != "" || k.Push != "" {
		return k.useImage(ctx, streams, config)
	}
	config.Image, config.PullPolicy, err = k.loadAgent(ctx, config.REST, func(ctx context.Context, rest *rest.Config, img *image.Image) error {
		return loadLocal(ctx, streams, rest, local, img.Tag.String(), img)
	})
	return err
}

// absentFiles names the files of KUBECONFIG that are not there, which nobody else tells.
func absentFiles() string {
	var absent []string
	for _, file := range filepath.SplitList(os.Getenv(clientcmd.RecommendedConfigPathEnvVar)) {
		if _, err := os.Stat(file); file != "" && errors.Is(err, fs.ErrNotExist) {
			absent = append(absent, strconv.Quote(file))
		}
	}
	if len(absent) == 0 {
		return ""
	}
	return fmt.Sprintf(" (of KUBECONFIG, not there: %s)", strings.Join(absent, ", "))
}

// loadAgent builds the agent's image for the architecture of a cluster's API server,
// and loads it into the nodes.
func (k *Flags) loadAgent(ctx context.Context, rest *rest.Config, load func(context.Context, *rest.Config, *image.Image) error) (string, corev1.PullPolicy, error) {
	// Ask the cluster: its nodes run on the machine of Docker, which may differ
	// from this one.
	arch, err := access.Architecture(ctx, rest)
	if err != nil {
		return "", "", err
	}
	img, err := AgentImage(arch)
	if err != nil {
		return "", "", err
	}
	return img.Tag.String(), corev1.PullNever, load(ctx, rest, img)
}

// LoadImage loads an image into the nodes of a cluster on this machine: a kind cluster
// of --on kind, or the cluster of the context if kind, minikube or k3d made it. It
// returns false for other clusters.
func (k *Flags) LoadImage(ctx context.Context, on string, streams cli.Streams, rest *rest.Config, img *image.Image) (known bool, err error) {
	if on == "kind" {
		return true, loadKind(ctx, streams, k.Sandbox, img.Tag.String(), img)
	}
	local, err := k.local(ctx)
	if err != nil || local == nil {
		return false, err
	}
	return true, loadLocal(ctx, streams, rest, local, img.Tag.String(), img)
}

// local returns the cluster of the context if it runs on this machine, or nil.
func (k *Flags) local(ctx context.Context) (*sandbox.Local, error) {
	raw, err := cli.Interruptible(ctx, k.Config.ToRawKubeConfigLoader().RawConfig)
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	return sandbox.Recognise(&raw, cmp.Or(*k.Config.Context, raw.CurrentContext)), nil
}

// loadLocal loads an image into the nodes of a cluster that was recognised by its
// context.
func loadLocal(ctx context.Context, streams cli.Streams, rest *rest.Config, local *sandbox.Local, reference string, img sandbox.Archive) error {
	if local.Tool == sandbox.Kind {
		manager, err := Sandboxes(streams)
		if err == nil && !manager.Serves(local.Name, rest.Host) {
			err = fmt.Errorf("the container runtime of this machine has no kind cluster %q at %s", local.Name, rest.Host)
		}
		if err != nil {
			return fmt.Errorf("loading the image %s into the kind cluster %q: %w; run this where its nodes are, push the image to a registry with --push REFERENCE, or name one that is there with --image", reference, local.Name, err)
		}
		return loadKind(ctx, streams, local.Name, reference, img)
	}
	if access.NodesHave(ctx, rest, reference) {
		return nil
	}
	dir, err := sandboxDir()
	if err != nil {
		return err
	}
	if err := local.Import(ctx, reference, img, dir); err != nil {
		return err
	}
	fmt.Fprintf(streams.Err, "Loaded the image %s into the %s cluster %s.\n", reference, local.Tool, local.Name)
	return nil
}

// loadKind loads an image into those nodes of a kind cluster that do not have an
// image of its name.
func loadKind(ctx context.Context, streams cli.Streams, name, reference string, img sandbox.Archive) error {
	manager, err := Sandboxes(streams)
	if err != nil {
		return err
	}
	loaded, err := manager.Load(ctx, name, reference, img)
	for _, node := range loaded {
		fmt.Fprintf(streams.Err, "Loaded the image %s into node %s.\n", reference, node)
	}
	return err
}

// ImageFinder returns a function that makes the agent's image available to the
// cluster, and returns its reference.
func (k *Flags) ImageFinder(on string, streams cli.Streams) func(context.Context) (string, corev1.PullPolicy, error) {
	return func(ctx context.Context) (string, corev1.PullPolicy, error) {
		var config kubeapi.Config
		use := k.useContext
		if on == "kind" {
			use = k.useSandbox
		}
		err := use(ctx, streams, true, &config)
		return config.Image, config.PullPolicy, err
	}
}

// Namespace returns the namespace of foreign objects, by kubectl's rules.
func (k *Flags) Namespace(ctx context.Context, on string) (string, error) {
	if *k.Config.Namespace != "" || on == "kind" {
		return cmp.Or(*k.Config.Namespace, "default"), nil
	}
	namespace, err := cli.Interruptible(ctx, func() (string, error) {
		namespace, _, err := k.Config.ToRawKubeConfigLoader().Namespace()
		return namespace, err
	})
	if err != nil {
		return "", fmt.Errorf("finding the namespace: %w", err)
	}
	return namespace, nil
}

// useImage finds an image for a cluster into whose nodes this program cannot load
// images.
func (k *Flags) useImage(ctx context.Context, streams cli.Streams, config *kubeapi.Config) error {
	config.Image = k.Image
	switch {
	case k.Image != "":
		return nil
	case k.Push == "":
		p, err := Published()
		if err != nil {
			return err
		}
		if p != nil {
			config.Image = p.Agent
			return nil
		}
		return errors.New("finding the agent's image: the nodes of this cluster cannot be reached from here, as those of kind, minikube and k3d could; push the image to a registry that they can pull from with --push REFERENCE, or name one that is there with --image")
	}
	var err error
	config.Image, err = k.push(ctx, k.Push, func() (string, error) {
		images, err := agentImages()
		if err != nil {
			return "", err
		}
		fmt.Fprintf(streams.Err, "Pushing the agent's image to %s, for nodes of %s\n", k.Push, architecturesOf(images))
		return image.Push(ctx, images, k.Push)
	})
	return err
}

// AgentImage builds the agent's image for nodes of an architecture.
func AgentImage(arch string) (*image.Image, error) { return imageOf(image.Find, arch) }

// imageOf builds the image of a program that is found beside this one.
func imageOf(find func(plugin, arch string) (*image.Agent, error), arch string) (*image.Image, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program, beside which the others are: %w", err)
	}
	program, err := find(self, arch)
	if err != nil {
		return nil, err
	}
	return image.Build(program)
}

// agentImages builds the images for all architectures for which there is an agent.
func agentImages() ([]*image.Image, error) { return imagesOf(image.FindAll) }

// imagesOf builds the images of the programs that are found beside this one.
func imagesOf(find func(plugin string) ([]*image.Agent, error)) ([]*image.Image, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program, beside which the others are: %w", err)
	}
	agents, err := find(self)
	if err != nil {
		return nil, err
	}
	var images []*image.Image
	for _, a := range agents {
		img, err := image.Build(a)
		if err != nil {
			return nil, err
		}
		images = append(images, img)
	}
	return images, nil
}

// architecturesOf names the architectures of images.
func architecturesOf(images []*image.Image) string {
	var names []string
	for _, i := range images {
		names = append(names, i.Arch)
	}
	return strings.Join(names, " and ")
}

// sandboxDir returns the directory of the records of sandboxes.
func sandboxDir() (string, error) {
	dir, err := registry.DefaultDir(os.Getenv)
	// The state directory itself belongs to the systems on this machine.
	return dir + "-sandboxes", err
}

// Sandboxes returns the manager of sandboxes, the kind clusters of this program.
func Sandboxes(streams cli.Streams) (*sandbox.Manager, error) {
	dir, err := sandboxDir()
	if err != nil {
		return nil, err
	}
	return sandbox.New(dir, func(line string) { fmt.Fprintln(streams.Err, line) })
}

// useSandbox configures the kind cluster of --sandbox. If there is none and pods is set,
// it creates the cluster.
func (k *Flags) useSandbox(ctx context.Context, streams cli.Streams, pods bool, config *kubeapi.Config) error {
	manager, err := Sandboxes(streams)
	if err != nil {
		return err
	}
	connect := func() error {
		config.REST, err = manager.Connect(k.Sandbox)
		if err == nil {
			err = k.adjust(config.REST)
		}
		return err
	}
	if !pods {
		return connect()
	}
	s, err := manager.Ensure(ctx, k.Sandbox, sandbox.Options{NodeImage: k.nodeImage})
	if err != nil {
		return err
	}
	made := "of unknown age"
	if !s.Created.IsZero() {
		made = cli.Age(time.Since(s.Created)) + " old"
	}
	if s.Foreign {
		fmt.Fprintf(streams.Err, "Using the kind cluster %s (%s), which kubectl microsim did not make: its image goes to the nodes, 'down' removes all else.\n", s.Name, made)
	} else {
		fmt.Fprintf(streams.Err, "Using the sandbox %s (%s), which stays; 'kubectl microsim cluster delete %s' deletes it.\n", s.Name, made, s.Name)
	}
	if err := connect(); err != nil {
		return err
	}
	load := func(ctx context.Context, reference string, archive sandbox.Archive) error {
		return loadKind(ctx, streams, k.Sandbox, reference, archive)
	}
	config.RuntimeImage, config.StoreImage = k.runtimeFinder(streams, config.REST, load), k.storeFinder(streams, config.REST, load)
	if k.Image != "" || k.Push != "" {
		return k.useImage(ctx, streams, config)
	}
	config.Image, config.PullPolicy, err = k.loadAgent(ctx, config.REST, func(ctx context.Context, _ *rest.Config, img *image.Image) error {
		return loadKind(ctx, streams, k.Sandbox, img.Tag.String(), img)
	})
	return err
}

// adjust applies kubectl's flags to the connection to a sandbox, except those that
// choose a cluster or credentials.
func (k *Flags) adjust(config *rest.Config) error {
	timeout, err := clientcmd.ParseTimeout(*k.Config.Timeout)
	if err != nil {
		return fmt.Errorf("reading --request-timeout %q: %w", *k.Config.Timeout, err)
	}
	config.Timeout = timeout
	extra := map[string][]string{}
	for _, pair := range *k.Config.ImpersonateUserExtra {
		if name, value, ok := strings.Cut(pair, "="); ok {
			extra[name] = append(extra[name], value)
		}
	}
	config.Impersonate = rest.ImpersonationConfig{
		UserName: *k.Config.Impersonate, UID: *k.Config.ImpersonateUID, Groups: *k.Config.ImpersonateGroup, Extra: extra,
	}
	return nil
}

// completeConfig completes --context, --cluster and --user with the names in the
// kubeconfig.
func (k *Flags) completeConfig(cmd *cobra.Command) {
	for flag, names := range map[string]func(clientcmdapi.Config) []string{
		"context": func(c clientcmdapi.Config) []string { return slices.Collect(maps.Keys(c.Contexts)) },
		"cluster": func(c clientcmdapi.Config) []string { return slices.Collect(maps.Keys(c.Clusters)) },
		"user":    func(c clientcmdapi.Config) []string { return slices.Collect(maps.Keys(c.AuthInfos)) },
	} {
		// Registering fails only if the flag does not exist.
		_ = cmd.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			raw, err := k.Config.ToRawKubeConfigLoader().RawConfig()
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			found := names(raw)
			slices.Sort(found)
			return found, cobra.ShellCompDirectiveNoFileComp
		})
	}
}

// Loads reports whether this program loads the agent's image into the nodes.
func (k *Flags) Loads(ctx context.Context, on string) bool {
	if k.Image != "" || k.Push != "" || on == "kind" {
		return k.Image == "" && k.Push == ""
	}
	local, err := k.local(ctx)
	return err == nil && local != nil
}

// ImageToExpect returns the image that pods would have, for plans.
func (k *Flags) ImageToExpect(ctx context.Context, on string) string {
	if !k.Loads(ctx, on) {
		if k.Image+k.Push == "" {
			if p, err := Published(); err == nil && p != nil {
				return p.Agent
			}
		}
		return k.Image
	}
	images, err := agentImages()
	if err != nil {
		return ""
	}
	return images[0].Tag.String()
}
