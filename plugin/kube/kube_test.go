package kube

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/workload/service"
)

// kubeconfig has a context with a namespace, one with the namespace that every context
// has, and one without any.
const kubeconfig = `
apiVersion: v1
kind: Config
current-context: team
contexts:
- {name: team, context: {cluster: one, user: ann, namespace: team-a}}
- {name: plain, context: {cluster: two, user: ann, namespace: default}}
- {name: none, context: {cluster: two, user: ann}}
clusters:
- {name: one, cluster: {server: "https://one.example:6443"}}
- {name: two, cluster: {server: "https://two.example:6443"}}
users:
- {name: ann, user: {token: secret}}
`

// flagsOf are the flags of a command line, with the kubeconfig of the test, or none.
func flagsOf(t *testing.T, config string, args ...string) *Flags {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config")
	if config != "" {
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("KUBECONFIG", path)
	k := &Flags{}
	cmd := &cobra.Command{}
	k.AddFlags(cmd)
	k.AddImageFlags(cmd)
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return k
}

var silent = cli.Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}

// Several files of KUBECONFIG are one; a file that is not there is named if what is wanted
// is not in the others.
func TestSeveralKubeconfigs(t *testing.T) {
	dir := t.TempDir()
	second := filepath.Join(dir, "second")
	if err := os.WriteFile(second, []byte(strings.NewReplacer("team", "lab", "one", "far", "current-context: lab\n", "").Replace(kubeconfig)), 0o600); err != nil {
		t.Fatal(err)
	}
	use := func(args ...string) (string, error) {
		k := flagsOf(t, kubeconfig, args...)
		t.Setenv("KUBECONFIG", strings.Join([]string{os.Getenv("KUBECONFIG"), filepath.Join(dir, "typo"), second}, string(os.PathListSeparator)))
		config := kubeapi.Config{}
		if err := k.useContext(t.Context(), silent, false, &config); err != nil {
			return "", err
		}
		return config.REST.Host + " " + config.Namespace, nil
	}
	for context, want := range map[string]string{"team": "https://one.example:6443 team-a", "lab": "https://far.example:6443 lab-a"} {
		if got, err := use("--context", context); err != nil || got != want {
			t.Errorf("context %s is %q, %v; want %q", context, got, err, want)
		}
	}
	if _, err := use("--context", "tema"); err == nil || !strings.Contains(err.Error(), "not there: ") || !strings.Contains(err.Error(), "typo") || strings.Contains(err.Error(), "second") {
		t.Errorf("a context that is in none: %v", err)
	}
}

// The context and the namespace that win are kubectl's, but for the namespace default,
// which every context has.
func TestContextAndNamespace(t *testing.T) {
	for name, tt := range map[string]struct {
		config          string
		args            []string
		host, namespace string
		of              string // the namespace of objects that are not ours
		err             string
	}{
		"the current context":                 {kubeconfig, nil, "https://one.example:6443", "team-a", "team-a", ""},
		"another context":                     {kubeconfig, []string{"--context", "plain"}, "https://two.example:6443", "", "default", ""},
		"a context without a namespace":       {kubeconfig, []string{"--context", "none"}, "https://two.example:6443", "", "default", ""},
		"-n before the context's":             {kubeconfig, []string{"-n", "mine"}, "https://one.example:6443", "mine", "mine", ""},
		"-n default is asked for":             {kubeconfig, []string{"-n", "default"}, "https://one.example:6443", "default", "default", ""},
		"another cluster of the same context": {kubeconfig, []string{"--cluster", "two"}, "https://two.example:6443", "team-a", "team-a", ""},
		"a server without a kubeconfig":       {"", []string{"--server", "http://127.0.0.1:1"}, "http://127.0.0.1:1", "", "default", ""},
		"a context that is not there":         {kubeconfig, []string{"--context", "tema"}, "", "", "", `there is no context "tema"`},
		"no kubeconfig":                       {"", nil, "", "", "", "there is no kubeconfig, or no context in it is chosen"},
		"no chosen context":                   {strings.Replace(kubeconfig, "current-context: team", "current-context: ''", 1), nil, "", "", "", "no context in it is chosen"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBERNETES_SERVICE_HOST", "")
			k := flagsOf(t, tt.config, tt.args...)
			config := kubeapi.Config{Namespace: *k.Config.Namespace}
			err := k.useContext(t.Context(), silent, false, &config)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("the error is %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if config.REST.Host != tt.host || config.Namespace != tt.namespace || config.Inside {
				t.Errorf("server %s, namespace %q, inside %v; want %s and %q", config.REST.Host, config.Namespace, config.Inside, tt.host, tt.namespace)
			}
			if of, err := k.Namespace(t.Context(), "cluster"); err != nil || of != tt.of {
				t.Errorf("objects of others are in namespace %q (%v), want %q", of, err, tt.of)
			}
		})
	}
}

// With --on kind, the namespace of the kubeconfig's context is another cluster's.
func TestNamespaceOfASandbox(t *testing.T) {
	for want, args := range map[string][]string{"default": nil, "mine": {"-n", "mine"}} {
		if got, err := flagsOf(t, kubeconfig, args...).Namespace(t.Context(), "kind"); err != nil || got != want {
			t.Errorf("%v: namespace %q (%v), want %q", args, got, err, want)
		}
	}
}

// A command line that repeats another names its cluster, and no credential.
func TestArgsNameTheClusterWithoutCredentials(t *testing.T) {
	k := flagsOf(t, kubeconfig, "--context", "plain", "--token", "secret", "-n", "mine", "--as", "ben", "--image", "x")
	if got, want := k.Args(), []string{"--context", "plain", "--as", "ben", "--namespace", "mine"}; !slices.Equal(got, want) {
		t.Errorf("the arguments are %q, want %q", got, want)
	}
	if got := flagsOf(t, kubeconfig).Args(); len(got) > 0 {
		t.Errorf("without flags the arguments are %q", got)
	}
}

// On a cluster whose nodes cannot be reached, pods need an image that somebody names.
func TestImageOfACluster(t *testing.T) {
	config := kubeapi.Config{}
	if err := flagsOf(t, kubeconfig).useContext(t.Context(), silent, true, &config); err == nil || !strings.Contains(err.Error(), "--push REFERENCE") {
		t.Errorf("without an image: %v, want the flags that bring one", err)
	}
	k := flagsOf(t, kubeconfig, "--image", "registry.example/agent:1")
	if err := k.useContext(t.Context(), silent, true, &config); err != nil || config.Image != "registry.example/agent:1" || config.PullPolicy != "" {
		t.Errorf("the image is %q with policy %q, %v", config.Image, config.PullPolicy, err)
	}
	if image := k.ImageToExpect(t.Context(), "cluster"); image != "registry.example/agent:1" {
		t.Errorf("pods would have the image %q", image)
	}
	for name, tt := range map[string]struct {
		on   string
		args []string
		want bool
	}{
		"kind":                          {"kind", nil, true},
		"kind with an image":            {"kind", []string{"--image", "x"}, false},
		"kind with a registry":          {"kind", []string{"--push", "x"}, false},
		"a cluster elsewhere":           {"cluster", nil, false},
		"a cluster that minikube made":  {"cluster", []string{"--context", "minikube"}, true},
		"the same, with its own image":  {"cluster", []string{"--context", "minikube", "--image", "x"}, false},
		"a context that is not there":   {"cluster", []string{"--context", "gone"}, false},
		"a cluster of a kind on a host": {"cluster", []string{"--context", "kind-lab"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			local := strings.Replace(kubeconfig, "contexts:\n", `contexts:
- {name: minikube, context: {cluster: minikube, user: ann}}
- {name: kind-lab, context: {cluster: kind-lab, user: kind-lab}}
`, 1)
			local = strings.Replace(local, "clusters:\n", `clusters:
- name: minikube
  cluster: {server: "https://127.0.0.1:8443", extensions: [{name: cluster_info, extension: {provider: minikube.sigs.k8s.io}}]}
- {name: kind-lab, cluster: {server: "https://127.0.0.1:7443"}}
`, 1)
			if got := flagsOf(t, local, tt.args...).Loads(t.Context(), tt.on); got != tt.want {
				t.Errorf("the image is loaded: %v, want %v", got, tt.want)
			}
		})
	}
}

// A sandbox has a connection of its own; what kubectl's flags say beside cluster and
// credentials is for it, too.
func TestFlagsOnASandboxsConnection(t *testing.T) {
	k := flagsOf(t, kubeconfig, "--as", "ben", "--as-group", "devs", "--as-uid", "7", "--as-user-extra", "team=a", "--request-timeout", "3s")
	var config rest.Config
	if err := k.adjust(&config); err != nil {
		t.Fatal(err)
	}
	who := config.Impersonate
	if who.UserName != "ben" || who.UID != "7" || !slices.Equal(who.Groups, []string{"devs"}) || !slices.Equal(who.Extra["team"], []string{"a"}) || config.Timeout.Seconds() != 3 {
		t.Errorf("the connection is for %+v with a timeout of %v", who, config.Timeout)
	}
	if err := flagsOf(t, kubeconfig, "--request-timeout", "soon").adjust(&config); err == nil || !strings.Contains(err.Error(), `"soon"`) {
		t.Errorf("a timeout that is none: %v", err)
	}
}

// The description of a service that is stored in the cluster is complete, except
// for its token.
func TestServiceSpec(t *testing.T) {
	k := flagsOf(t, kubeconfig)
	k.TraceSample = 0.5
	shop := &topology.System{Name: "shop", AllowHosts: []string{"bank.example"}, Services: []topology.Service{topology.NewService("web", topology.CallTo("cart")), topology.NewService("cart")}}
	text, err := k.ServiceSpec(shop, &shop.Services[0], 9, map[string][]string{"cart": {"http://cart:8080"}})
	if err != nil {
		t.Fatal(err)
	}
	spec, err := service.ParseSpec(text)
	if err != nil {
		t.Fatal(err)
	}
	want := service.SpecFor(shop, &shop.Services[0], 1, 9, map[string][]string{"cart": {"http://cart:8080"}}, "")
	want.TraceSample = 0.5
	wantText, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != string(wantText) || spec.Token != "" || spec.Service.Name != behave.Bind(shop, &shop.Services[0]).Name {
		t.Errorf("the spec is\n%s\nwant\n%s", text, wantText)
	}
}

func TestAgentArgs(t *testing.T) {
	for want, k := range map[string]Flags{
		"":                            {},
		"--verbose":                   {Verbose: true, LogFormat: service.TextLogs},
		"--log-format=json":           {LogFormat: service.JSONLogs},
		"--verbose --log-format=json": {Verbose: true, LogFormat: service.JSONLogs},
	} {
		if got := strings.Join(k.AgentArgs(), " "); got != want {
			t.Errorf("the arguments are %q, want %q", got, want)
		}
	}
}

// Only faults on the network are checked for what packets can suffer.
func TestCheckNetwork(t *testing.T) {
	for _, f := range []fault.Fault{{Type: fault.Error}, {Type: fault.Kill}, {Type: fault.NetPartition, Probability: 1}} {
		if err := checkNetwork(&f); err != nil {
			t.Errorf("%s: %v", f.Type, err)
		}
	}
	f := fault.Fault{Type: fault.NetDelay, Probability: 0.5}
	if err := checkNetwork(&f); err == nil || !strings.Contains(err.Error(), "leave out the probability") {
		t.Errorf("a delay of half of the packets: %v", err)
	}
}
