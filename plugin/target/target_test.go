package target

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// command is a command with all flags of targets.
func command(t *testing.T, at *Target, args ...string) *cobra.Command {
	t.Helper()
	cmd := &cobra.Command{Use: "up"}
	at.AddFlags(cmd)
	at.AddAllNamespaces(cmd)
	at.Kube.AddImageFlags(cmd)
	pods := 0
	AddLoadPods(cmd, &pods)
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func TestTargets(t *testing.T) {
	for name, tt := range map[string]struct {
		args    []string
		virtual bool // the command plays whole experiments
		on      string
		err     string
	}{
		"no word":                       {nil, false, "cluster", ""},
		"this machine":                  {[]string{"--on", "local"}, false, "local", ""},
		"a sandbox of a name":           {[]string{"--on", "kind", "--sandbox", "lab", "-n", "team"}, false, "kind", ""},
		"a cluster of a context":        {[]string{"--context", "c", "-A"}, false, "cluster", ""},
		"virtual time":                  {[]string{"--on", "virtual"}, true, "virtual", ""},
		"virtual time of a system":      {[]string{"--on", "virtual"}, false, "", "plays whole experiments"},
		"a target that is none":         {[]string{"--on", "moon"}, false, "", "moon"},
		"a namespace of this machine":   {[]string{"--on", "local", "-n", "team"}, false, "", "--namespace"},
		"a sandbox of a cluster":        {[]string{"--sandbox", "lab"}, false, "", "--sandbox"},
		"a context of a sandbox":        {[]string{"--on", "kind", "--context", "c"}, false, "", "--context"},
		"an image of this machine":      {[]string{"--on", "local", "--image", "x"}, false, "", "--image"},
		"pods of this machine":          {[]string{"--on", "local", "--load-pods", "2"}, false, "", "--load-pods"},
		"a namespace and all":           {[]string{"-n", "team", "-A"}, false, "", "--namespace and --all-namespaces are both given"},
		"an image and a registry":       {[]string{"--image", "x", "--push", "y"}, false, "", "--image and --push are both given"},
		"no time for pods":              {[]string{"--ready-timeout", "0s"}, false, "", "--ready-timeout 0s leaves pods no time"},
		"a namespace in virtual time":   {[]string{"--on", "virtual", "-n", "team"}, true, "", "--namespace"},
		"all namespaces in a sandbox":   {[]string{"--on", "kind", "-A"}, false, "kind", ""},
		"a sandbox's node image":        {[]string{"--on", "kind", "--node-image", "n"}, false, "kind", ""},
		"a cluster's node image":        {[]string{"--node-image", "n"}, false, "", "--node-image"},
		"the time for pods on a target": {[]string{"--ready-timeout", "1m"}, false, "cluster", ""},
	} {
		t.Run(name, func(t *testing.T) {
			at := New()
			at.AllowVirtual = tt.virtual
			cmd := command(t, &at, tt.args...)
			err := at.Validate(cmd)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("the error is %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil || at.On != tt.on || at.OnCluster() != (tt.on == "kind" || tt.on == "cluster") || at.Virtual() != (tt.on == "virtual") {
				t.Errorf("the target is %q, on a cluster %v, virtual %v, %v; want %q", at.On, at.OnCluster(), at.Virtual(), err, tt.on)
			}
		})
	}
}

// -A looks through all namespaces, whatever the context says.
func TestAllNamespaces(t *testing.T) {
	for want, args := range map[string][]string{"": {"-A"}, "team": nil} {
		at := New()
		command(t, &at, args...)
		config := kubeapi.Config{Namespace: "team"}
		at.everywhere(&config)
		if config.Namespace != want || at.AllNamespaces() != (want == "") {
			t.Errorf("%q: the namespace is %q, want %q", args, config.Namespace, want)
		}
	}
}

// The command line of a next step means the same target.
func TestCommand(t *testing.T) {
	for want, args := range map[string][]string{
		"kubectl microsim down shop --on local":                                  {"--on", "local"},
		"kubectl microsim down shop --on kind --namespace team --sandbox lab":    {"--on", "kind", "--sandbox", "lab", "-n", "team"},
		"kubectl microsim down shop --on cluster --context c":                    {"--context", "c", "--token", "secret"},
		"kubectl microsim down shop --on cluster --kubeconfig k --namespace two": {"--kubeconfig", "k", "-n", "two", "--ready-timeout", "1m"},
	} {
		at := New()
		if err := at.Validate(command(t, &at, args...)); err != nil {
			t.Fatal(err)
		}
		if got := at.Command("down", "shop"); got != want {
			t.Errorf("%q: the command is %q, want %q", args, got, want)
		}
	}
}

// Errors of a cluster name command lines for the same cluster: without their flags, those
// would be about that of the current context.
func TestErrorsNameTheCluster(t *testing.T) {
	for want, args := range map[string][]string{
		"'kubectl microsim down shop -n lab --on kind --sandbox two'":        {"--on", "kind", "--sandbox", "two", "-n", "lab"},
		"'kubectl microsim down shop -n lab --on cluster --context staging'": {"--context", "staging", "--token", "secret"},
	} {
		at := New()
		if err := at.Validate(command(t, &at, args...)); err != nil {
			t.Fatal(err)
		}
		c := kubeapi.Client{}
		at.commands(&c.Config)
		if got := c.Command("down", "shop", "-n", "lab"); got != want {
			t.Errorf("%q: the command is %s, want %s", args, got, want)
		}
	}
	if got := (&kubeapi.Client{}).Command("status"); got != "'kubectl microsim status'" {
		t.Errorf("without a target: %s", got)
	}
}

func TestLoadPods(t *testing.T) {
	for pods, possible := range map[int]bool{-1: false, 0: false, 1: true, 100: true, 101: false} {
		if err := ValidateLoadPods(pods); (err == nil) != possible {
			t.Errorf("%d pods: %v", pods, err)
		}
	}
}

// A shell gets words that are not there yet, and nothing if they are not known.
func TestComplete(t *testing.T) {
	find := func(context.Context, cli.Streams) ([]string, error) { return []string{"web", "db", "cart"}, nil }
	at := New()
	words, _ := at.Complete(find)(command(t, &at), []string{"db"}, "")
	if !slices.Equal(words, []string{"web", "cart"}) {
		t.Errorf("the words are %q", words)
	}
	unknown := New()
	if words, _ := unknown.Complete(find)(command(t, &unknown, "--on", "moon"), nil, ""); words != nil {
		t.Errorf("a target that is none has the words %q", words)
	}
	broken := New()
	failing := func(context.Context, cli.Streams) ([]string, error) { return []string{"half"}, errors.New("no answer") }
	if words, _ := broken.Complete(failing)(command(t, &broken), nil, ""); words != nil {
		t.Errorf("words that were not found are %q", words)
	}
	machine := Target{}
	if words, _ := machine.Complete(find)(&cobra.Command{}, nil, ""); len(words) != 3 || machine.On != "local" {
		t.Errorf("a command of this machine looks on %q and finds %q", machine.On, words)
	}
}

// Without a system, there are no words, and no error that a shell would show.
func TestCompleteSystemsOfThisMachine(t *testing.T) {
	t.Setenv("MICROSIM_STATE_DIR", t.TempDir())
	at := New()
	words, directive := at.CompleteSystems()(command(t, &at, "--on", "local"), nil, "")
	if len(words) != 0 || directive != cobra.ShellCompDirectiveNoFileComp {
		t.Errorf("the words are %q, the directive is %v", words, directive)
	}
}
