package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/spec/dialect/chaosmesh"
	"github.com/microsim-dev/kubectl-microsim/model/spec/dialect/microsim"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// faultyShop is web, which calls cart, which calls db; cart has three replicas.
func faultyShop() *topology.System {
	cart := topology.NewService("cart", topology.CallTo("db"))
	cart.Replicas = 3
	return &topology.System{Name: "shop", Services: []topology.Service{topology.NewService("web", topology.CallTo("cart")), cart, topology.NewService("db")}}
}

func readFaults(t testing.TB, name string, data []byte) []*document.Faults {
	t.Helper()
	docs, err := Read(name, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return docs.Faults()
}

// described writes a fault as one line.
func described(t testing.TB, f *fault.Fault) string {
	t.Helper()
	args, err := json.Marshal(f.Args)
	if err != nil {
		t.Fatal(err)
	}
	target := f.Target.String()
	if f.Target.Direction != "" {
		target += " (" + string(f.Target.Direction) + ")"
	}
	return fmt.Sprintf("%s: %s %s %s %s+%s", f.Name, f.Type, target, args, f.Start, f.Duration)
}

// TestFaultFilesAreRead holds what every sample file becomes on a system.
func TestFaultFilesAreRead(t *testing.T) {
	paths, err := filepath.Glob("testdata/faults/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatal(err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, set := range readFaults(t, path, data) {
				faults, err := set.For(faultyShop(), 1)
				if err != nil {
					t.Fatal(err)
				}
				for i := range faults {
					if err := faults[i].Validate().Err(); err != nil {
						t.Error(err)
					}
					lines = append(lines, described(t, &faults[i]))
				}
			}
			compare(t, path+".golden", strings.Join(lines, "\n")+"\n")
		})
	}
}

func TestTheSeedDecidesWhichReplicasAreMeant(t *testing.T) {
	data, err := os.ReadFile("testdata/faults/pods.yaml")
	if err != nil {
		t.Fatal(err)
	}
	one := readFaults(t, "pods.yaml", data)[0]
	hit := map[int]int{}
	for seed := range uint64(300) {
		faults, err := one.For(faultyShop(), seed)
		if err != nil || len(faults) != 1 {
			t.Fatalf("mode one gives %v, %v", faults, err)
		}
		again, _ := one.For(faultyShop(), seed)
		if again[0].Target != faults[0].Target {
			t.Fatal("the same seed draws another replica")
		}
		hit[faults[0].Target.Replica]++
	}
	for replica := 1; replica <= 3; replica++ {
		// 100 are expected; the standard deviation is 8.
		if n := hit[replica]; n < 60 || n > 140 {
			t.Errorf("replica %d is drawn %d times of 300", replica, n)
		}
	}
}

// A label of any name selects the service that is its value, as Chaos Mesh's users
// write them; one that is not a service is named with what to do.
func TestLabelsNameServices(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "testdata", "cases", "chaos-mesh-labels.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	sets := readFaults(t, "labels.yaml", data)
	if len(sets) != 2 || sets[0].Paused || !sets[1].Paused {
		t.Fatalf("read %+v; want two, of which the second is paused", sets)
	}
	faults, err := sets[0].For(faultyShop(), 1)
	if err != nil || len(faults) != 1 || faults[0].Target.Service != "cart" || faults[0].Args.Correlation != 0.25 {
		t.Errorf("the labelled service gives %+v, %v", faults, err)
	}
	if faults, err := sets[1].For(faultyShop(), 1); err != nil || len(faults) != 0 {
		t.Errorf("the paused object gives %v, %v", faults, err)
	}
	unknown := document.Faults{Name: "x", Parts: []document.Part{{Fault: fault.Fault{Type: fault.Kill, Name: "x"}, On: document.Selection{Labels: map[string]string{"app": "nginx", "tier": "front"}}}}}
	var labels *document.LabelsError
	if _, err := unknown.For(faultyShop(), 1); !errors.As(err, &labels) || labels.Selector != "app=nginx,tier=front" || !strings.Contains(err.Error(), "--selector app=nginx,tier=front") {
		t.Errorf("labels of other pods give %v", err)
	}
	unknown.Parts[0].On.Labels = map[string]string{"app": "cart", "component": "web"}
	if _, err := unknown.For(faultyShop(), 1); err == nil || !strings.Contains(err.Error(), "several services") {
		t.Errorf("labels of two services give %v", err)
	}
}

// Labels that name no service select pods of a cluster; the others stay faults on
// the system.
func TestLabelsOfOtherPodsAreSplitOff(t *testing.T) {
	labelled := func(name, value string, mode document.PickMode) document.Part {
		return document.Part{Fault: fault.Fault{Type: fault.NetDelay, Name: name}, Towards: fault.ToTarget, On: document.Selection{Labels: map[string]string{"app": value}, Mode: mode}}
	}
	set := document.Faults{Name: "x", Parts: []document.Part{labelled("ours", "cart", document.PickAll), labelled("theirs", "nginx", document.PickAll)}}
	ours, pods, err := set.Split(faultyShop())
	if err != nil || len(ours.Parts) != 1 || ours.Parts[0].Fault.Name != "ours" || len(set.Parts) != 2 {
		t.Fatalf("got %+v, %v", ours, err)
	}
	if len(pods) != 1 || pods[0].Selector != "app=nginx" || pods[0].Fault.Target != (fault.Target{Service: "app=nginx", Direction: fault.FromTarget}) {
		t.Errorf("the fault on pods is %+v", pods)
	}
	if ours, pods, err = set.Split(nil); err != nil || len(ours.Parts) != 0 || len(pods) != 2 {
		t.Errorf("without a system: %+v, %+v, %v", ours, pods, err)
	}
	set.Parts[1].On.Mode = document.PickOne
	if _, _, err := set.Split(faultyShop()); err == nil || !strings.Contains(err.Error(), "mode one takes some of them") {
		t.Errorf("one of the pods gives %v", err)
	}
	set.Parts[1] = labelled("theirs", "nginx", document.PickAll)
	set.Parts[1].Peers = &document.Selection{}
	if _, _, err := set.Split(faultyShop()); err == nil || !strings.Contains(err.Error(), "--selector and --to") {
		t.Errorf("peers give %v", err)
	}
	set.Paused = true
	if _, pods, err := set.Split(faultyShop()); err != nil || len(pods) != 0 {
		t.Errorf("a paused object gives %+v, %v", pods, err)
	}
}

// The namespaces of a selector are those of a cluster: pods are selected there, and a
// system has to be there.
func TestNamespacesOfSelectors(t *testing.T) {
	text := func(namespaces, label string) string {
		return "{apiVersion: chaos-mesh.org/v1alpha1, kind: PodChaos, metadata: {name: x, namespace: team}, spec: {action: pod-kill, mode: all, selector: {namespaces: [" + namespaces + "], labelSelectors: {" + label + "}}}}"
	}
	for _, test := range []struct{ namespaces, want, fails string }{
		{"there", "there", ""},
		{"", "team", ""},
		{"there, here", "", "names the namespaces there, here, and a fault acts in one"},
	} {
		_, pods, err := readFaults(t, "test.yaml", []byte(text(test.namespaces, "app: nginx")))[0].Split(faultyShop())
		if test.fails != "" {
			if err == nil || !strings.Contains(err.Error(), test.fails) {
				t.Errorf("namespaces %q give %v, want an error with %q", test.namespaces, err, test.fails)
			}
			continue
		}
		if err != nil || len(pods) != 1 || pods[0].Namespace != test.want {
			t.Errorf("namespaces %q give %+v, %v; want the namespace %q", test.namespaces, pods, err, test.want)
		}
	}
	ours := readFaults(t, "test.yaml", []byte(text("there", "app: cart")))[0]
	if err := ours.CheckNamespace("shop", "there"); err != nil {
		t.Error(err)
	}
	if err := ours.CheckNamespace("shop", "elsewhere"); err == nil || !strings.Contains(err.Error(), `namespace "there", and system "shop" is in "elsewhere"`) {
		t.Errorf("another namespace gives %v", err)
	}
	ours = readFaults(t, "test.yaml", []byte(text("", "app: cart")))[0]
	if err := ours.CheckNamespace("shop", "elsewhere"); err != nil {
		t.Errorf("no namespaces: %v", err)
	}
	docs, err := Read("test.yaml", strings.NewReader(text("there", "app: cart")))
	if err != nil {
		t.Fatal(err)
	}
	// Where the namespaces count, no note says that they may not.
	if o := docs[0].Origin; len(o.Notes) != 0 || len(o.OffCluster) != 1 {
		t.Errorf("there are the notes %v, and %v off a cluster; want one off a cluster", o.Notes, o.OffCluster)
	}
}

// VECROsim's fault files carry fields that mean nothing to a fault.
func TestVECROsimsFaultFiles(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "testdata", "cases", "vecrosim-faults.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	sets := readFaults(t, "vecrosim-faults.yaml", data)
	if len(sets) != 1 || len(sets[0].Parts) != 3 {
		t.Fatalf("read %+v; want three behaviours", sets)
	}
}

func TestHowManyReplicasAreTaken(t *testing.T) {
	for _, test := range []struct {
		Mode  document.PickMode
		Value int
		Want  []int // possible numbers out of 3
	}{
		{document.PickAll, 0, []int{3}}, {document.PickOne, 0, []int{1}}, {document.PickFixed, 2, []int{2}}, {document.PickFixed, 9, []int{3}}, {document.PickPercent, 34, []int{1}}, {document.PickPercent, 100, []int{3}}, {document.PickAtMostPer, 100, []int{0, 1, 2, 3}}, {document.PickAtMostPer, 50, []int{0, 1}},
	} {
		seen := map[int]bool{}
		s := document.Selection{Services: []string{"cart"}, Mode: test.Mode, Value: test.Value}
		for seed := range uint64(2000) {
			p := document.Part{Fault: fault.Fault{Type: fault.Kill, Name: "x"}, On: s}
			set := document.Faults{Parts: []document.Part{p}}
			faults, err := set.For(faultyShop(), seed)
			if err != nil {
				t.Fatal(err)
			}
			n := len(faults)
			if n == 1 && faults[0].Target.Replica == 0 {
				n = 3
			}
			seen[n] = true
		}
		if len(seen) != len(test.Want) {
			t.Errorf("%s %d takes %v, want %v", test.Mode, test.Value, seen, test.Want)
		}
		for _, n := range test.Want {
			if !seen[n] {
				t.Errorf("%s %d never takes %d", test.Mode, test.Value, n)
			}
		}
	}
}

func TestFaultsThatDoNotFitTheSystemAreExplained(t *testing.T) {
	for name, test := range map[string]struct{ Text, Want string }{
		"service":   {"{name: a, faults: [{name: f, target: crat, duration: 1s, behaviors: {net-loss: {percent: 1}}}]}", `did you mean "cart"`},
		"system":    {chaosText("pod-kill", "app.kubernetes.io/part-of: other"), `meant for system "other"`},
		"strangers": {networkText("db", "web", "all"), "do not call each other"},
		"callers":   {networkText("cart", "db", "one"), "some replicas"},
		"nobody":    {strings.Replace(chaosText("pod-kill", "app.kubernetes.io/name: cart"), "mode: all", "mode: fixed-percent, value: '33'", 1), "of 3 replicas that are selected, it would take none"},
	} {
		sets := readFaults(t, "test.yaml", []byte(test.Text))
		if _, err := sets[0].For(faultyShop(), 1); err == nil || !strings.Contains(err.Error(), test.Want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, test.Want)
		}
	}
}

func chaosText(action, label string) string {
	return "{apiVersion: chaos-mesh.org/v1alpha1, kind: PodChaos, metadata: {name: x}, spec: {action: " + action + ", mode: all, selector: {labelSelectors: {" + label + "}}}}"
}

func networkText(on, target, mode string) string {
	return "{apiVersion: chaos-mesh.org/v1alpha1, kind: NetworkChaos, metadata: {name: x}, spec: {action: partition, mode: " + mode + ", selector: {labelSelectors: {app.kubernetes.io/name: " + on +
		"}}, target: {mode: all, selector: {labelSelectors: {app.kubernetes.io/name: " + target + "}}}}}"
}

func TestRatesOfTC(t *testing.T) {
	for text, want := range map[string]unit.Size{
		"100kbit": 12500, "1mbit": 125_000, "8": 1, "1mbps": 1_000_000, "1MBPS": 1_000_000, "2kibit": 256, "1gibps": 1 << 30, "1.5kbps": 1500, "8bit": 1, "7bps": 7, "1tbit": 125e9,
	} {
		var got unit.TCRate
		if err := got.UnmarshalText([]byte(text)); err != nil || unit.Size(got) != want {
			t.Errorf("%s is %d, %v; want %d bytes per second", text, got, err, want)
		}
	}
	for _, text := range []string{"", "fast", "1mb", "1 mbit", "-1kbit", "0kbit", "1bit", "1e400gbps", "99999999999999tbps", "1mbit/s", "1.2.3kbit"} {
		if err := new(unit.TCRate).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is accepted as a rate", text)
		}
	}
}

func TestSizesOfChaosMesh(t *testing.T) {
	for text, want := range map[string]unit.Size{"256MB": 256e6, "1GiB": 1 << 30, "10KB": 10e3, "512": 512, "4Mi": 4 << 20} {
		var got chaosmesh.ChaosSize
		if err := got.UnmarshalText([]byte(text)); err != nil || unit.Size(got) != want {
			t.Errorf("%s is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "B", "50%", "many"} {
		if err := new(chaosmesh.ChaosSize).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is accepted as a size", text)
		}
	}
}

const oneSystem = "name: shop\nservices: [{name: web, type: base, calls: [cart]}, {name: cart, type: base}]\n---\n"

const oneLoad = `apiVersion: microsim.isala.me/v1alpha1
kind: LoadGenerator
metadata: {name: steady}
spec: {requests: ['{"designation": "web"}'], betweenDelay: 100ms}
---
`

const oneFault = "name: evening\nfaults: [{name: slow, target: cart, start: 10s, duration: 20s, behaviors: {net-delay: {time: 50ms}}}]\n"

func TestDocumentsMakeOneExperiment(t *testing.T) {
	docs := readText(t, oneSystem+oneLoad+oneFault)
	e, err := docs.Experiment()
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Faults) != 1 || e.Faults[0].Name != "slow" || e.Name != "shop" || e.Load.Phases[0].Duration != unit.Duration(60e9) {
		t.Errorf("the experiment is %+v", e)
	}
	if docs.Loads()[0].Profile.Phases[0].Duration != microsim.Endless {
		t.Error("the load's own document was changed")
	}
	text, err := Format(docs)
	if err != nil {
		t.Fatal(err)
	}
	again := readText(t, string(text))
	if len(again) != 1 || len(again.Experiments()[0].Faults) != 1 {
		t.Errorf("the native form is\n%s", text)
	}
	native := "apiVersion: microsim.dev/v1alpha1\nkind: Experiment\nname: own\nsystem: shop\nload: {users: 1, duration: 60s}\nfaults: [{type: error, target: cart}]\n---\n"
	if e, err = readText(t, oneSystem+native+oneFault).Experiment(); err != nil || len(e.Faults) != 2 || e.Load.Phases[0].Duration != unit.Duration(60e9) {
		t.Errorf("faults beside an experiment give %+v, %v", e, err)
	}
	for text, want := range map[string]unit.Duration{oneSystem: 60e9, oneSystem + strings.Replace(oneFault, "20s", "25s", 1): 65e9} {
		if e, err := readText(t, text).Experiment(); err != nil || e.Load.Phases[0].Rate != 20 || e.Load.Phases[0].Duration != want {
			t.Errorf("a system without a load gives %+v, %v, want 20 requests a second for %s", e, err, want)
		}
	}
	for text, want := range map[string]string{
		oneLoad + oneFault: "0 systems", oneFault: "0 systems and 0 loads",
		oneSystem + strings.Replace(oneLoad, "spec: {", "spec: {simulationRef: {name: other}, ", 1): `meant for system "other"`,
		oneSystem + oneLoad + strings.Replace(oneFault, "target: cart", "target: card", 1):          `did you mean "cart"`,
		oneSystem + native + native: "2 experiments",
	} {
		docs, err := Read("test.yaml", strings.NewReader(text))
		if err == nil {
			_, err = docs.Experiment()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q, of\n%s", err, want, text)
		}
	}
}

// FuzzFaults holds that no file of faults makes reading panic, and that what is
// accepted gives valid faults or an explanation.
func FuzzFaults(f *testing.F) {
	for _, pattern := range []string{"testdata/faults/*.yaml", "testdata/mistakes/chaos*.yaml", "testdata/mistakes/vecro*.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			for _, document := range bytes.Split(data, []byte("\n---\n")) {
				f.Add(document)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, err := Read("fuzz.yaml", bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, set := range docs.Faults() {
			faults, err := set.For(faultyShop(), 1)
			if err != nil && err.Error() == "" {
				t.Error("an error says nothing")
			}
			for i := range faults {
				if problems := faults[i].Validate(); len(problems) > 0 {
					t.Errorf("%+v: %v", faults[i], problems.Err())
				}
				if faultyShop().Service(faults[i].Target.Service) == nil {
					t.Errorf("%+v has no target", faults[i])
				}
			}
		}
	})
}
