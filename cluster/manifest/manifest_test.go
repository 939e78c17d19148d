package manifest

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

var update = flag.Bool("update", false, "write the expected manifests anew")

func options() Options {
	return Options{
		Namespace: "shop", CreateNamespace: true, Image: "registry.example/agent:1", Seed: 1<<63 + 1, Token: "secret",
		ServiceSpec: func(system *topology.System, s *topology.Service, _ uint64, peers Peers) ([]byte, error) {
			return json.Marshal(map[string]any{"system": system.Name, "service": s.Name, "peers": peers})
		},
	}
}

func system() *topology.System {
	s := &topology.System{Name: "shop", Services: []topology.Service{
		topology.NewService("cart", topology.CallTo("db")), topology.NewService("db"),
	}}
	s.Services[0].Language, s.Services[0].Framework = "java", "spring"
	s.Services[0].Replicas = 2
	s.Services[0].Resources = &topology.Resources{CPURequest: 0.1, CPULimit: 0.5, MemoryLimit: 64 << 20}
	s.Services[1].Memory = 10 << 20
	return s
}

func render(t *testing.T, objects []*unstructured.Unstructured) []byte {
	t.Helper()
	var text bytes.Buffer
	for _, o := range objects {
		data, err := yaml.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString("---\n")
		text.Write(data)
	}
	return text.Bytes()
}

func TestBuildIsAsPlanned(t *testing.T) {
	objects, err := Build(system(), options())
	if err != nil {
		t.Fatal(err)
	}
	asPlanned(t, "testdata/shop.yaml", objects)
}

// asPlanned compares objects with those of a file.
func asPlanned(t *testing.T, file string, objects []*unstructured.Unstructured) {
	t.Helper()
	got := render(t, objects)
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the plan has changed; if it should have, run go test ./cluster/manifest -update and look at the difference of %s. Now it is\n%s", file, got)
	}
}

// deploymentOf returns the Deployment of a service.
func deploymentOf(t *testing.T, objects []*unstructured.Unstructured, name string) map[string]any {
	t.Helper()
	for _, o := range objects {
		if o.GetKind() == "Deployment" && o.GetName() == name {
			return o.Object
		}
	}
	t.Fatalf("there is no Deployment %q", name)
	return nil
}

func TestLargePartsAreFiles(t *testing.T) {
	o := options()
	o.ServiceSpec = func(*topology.System, *topology.Service, uint64, Peers) ([]byte, error) {
		return bytes.Repeat([]byte("$"), maxInline+1), nil
	}
	objects, err := Build(system(), o)
	if err != nil {
		t.Fatal(err)
	}
	text := string(render(t, objects))
	for _, want := range []string{"value: '@/etc/microsim/service.json'", "name: microsim-shop-spec-cart", "mountPath: /etc/microsim"} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in the objects", want)
		}
	}
	// Read as a file, a dollar sign is one.
	if strings.Contains(text, strings.Repeat("$", maxInline+2)) {
		t.Error("the part was changed on its way into the file")
	}
}

func TestDollarSignsSurviveTheEnvironment(t *testing.T) {
	o := options()
	o.ServiceSpec = func(*topology.System, *topology.Service, uint64, Peers) ([]byte, error) {
		return []byte(`{"path":"/$(HOME)$"}`), nil
	}
	s := system()
	s.Services[1].Runtime, o.RuntimeImages = "express", map[topology.RuntimeName]RuntimeImage{"express": {Reference: "x"}}
	objects, err := Build(s, o)
	if err != nil {
		t.Fatal(err)
	}
	containers, _, err := unstructured.NestedSlice(deploymentOf(t, objects, "db"), "spec", "template", "spec", "containers")
	if err != nil {
		t.Fatal(err)
	}
	env := containers[0].(map[string]any)["env"].([]any)
	if got := env[2].(map[string]any)["value"]; got != `{"token":"$(MICROSIM_TOKEN)","path":"/$$(HOME)$$"}` {
		t.Errorf("the variable is %q", got)
	}
	// The kubelet fills nothing into a variable that comes from a ConfigMap.
	if got := partsOf(objects)["cart"]; got != `{"path":"/$(HOME)$"}` {
		t.Errorf("the part of cart is %q", got)
	}
}

func TestPodsChangeWithTheirPart(t *testing.T) {
	annotation := func(seed uint64) string {
		o := options()
		o.ServiceSpec = func(*topology.System, *topology.Service, uint64, Peers) ([]byte, error) { return json.Marshal(seed) }
		objects, err := Build(system(), o)
		if err != nil {
			t.Fatal(err)
		}
		text, _, err := unstructured.NestedString(deploymentOf(t, objects, "db"), "spec", "template", "metadata", "annotations", SpecAnnotation)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	if a, b := annotation(1), annotation(2); a == b || a == "" {
		t.Errorf("parts that differ have the marks %q and %q", a, b)
	}
}

func TestResources(t *testing.T) {
	for name, tt := range map[string]struct {
		in   *topology.Resources
		held unit.Size
		want string
	}{
		"nothing":     {nil, 0, `{"requests":{"cpu":"5m","memory":"16Mi"}}`},
		"memory held": {nil, 84 << 20, `{"requests":{"cpu":"5m","memory":"100Mi"}}`},
		"limits":      {&topology.Resources{CPULimit: 0.25, MemoryLimit: 32 << 20}, 0, `{"limits":{"cpu":"250m","memory":"32Mi"},"requests":{"cpu":"250m","memory":"32Mi"}}`},
		"requests":    {&topology.Resources{CPURequest: 2}, 0, `{"requests":{"cpu":"2","memory":"16Mi"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := json.Marshal(resources(&topology.Service{Resources: tt.in, Memory: tt.held}))
			if err != nil || string(got) != tt.want {
				t.Errorf("got %s, %v; want %s", got, err, tt.want)
			}
		})
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*topology.System, *Options)
		want   string
	}{
		"store": {func(s *topology.System, _ *Options) {
			s.Services[1] = topology.Service{Name: s.Services[1].Name, Kind: topology.Redis}
		}, `service "db": no image of microsim-store`},
		"digit":      {func(s *topology.System, _ *Options) { s.Services[0].Name = "2cart" }, `"2cart"`},
		"no service": {func(s *topology.System, _ *Options) { s.Services = nil }, "no services"},
		"no image":   {func(_ *topology.System, o *Options) { o.Image = "" }, "image"},
	} {
		t.Run(name, func(t *testing.T) {
			s, o := system(), options()
			tt.change(s, &o)
			if _, err := Build(s, o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want a text with %q", err, tt.want)
			}
		})
	}
}

func TestPodMonitorSelectsThePodsOfTheSystem(t *testing.T) {
	o := options()
	o.PodMonitor = true
	objects, err := Build(system(), o)
	if err != nil {
		t.Fatal(err)
	}
	last := objects[len(objects)-1]
	if last.GetKind() != PodMonitorKind || last.GetName() != "microsim-shop" || last.GetNamespace() != "shop" || last.GetLabels()[SystemLabel] != "shop" {
		t.Errorf("the last object is\n%s", render(t, objects[len(objects)-1:]))
	}
	selector, _, _ := unstructured.NestedStringMap(last.Object, "spec", "selector", "matchLabels")
	pods, _, _ := unstructured.NestedStringMap(deploymentOf(t, objects, "cart"), "spec", "template", "metadata", "labels")
	for key, value := range selector {
		if pods[key] != value {
			t.Errorf("it selects %s=%s, which the pods do not have: %v", key, value, pods)
		}
	}
	endpoints, _, _ := unstructured.NestedSlice(last.Object, "spec", "podMetricsEndpoints")
	if e := endpoints[0].(map[string]any); len(endpoints) != 1 || e["path"] != "/metrics" || e["port"] != "control" || e["interval"] != ScrapeInterval {
		t.Errorf("it scrapes %v", endpoints)
	}
}
