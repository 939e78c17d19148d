package manifest

import (
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

func detached() *Detached {
	return &Detached{
		Name: "shop-down", Namespace: "shop", Document: []byte("kind: Experiment\n"), Image: "registry.example/runner:1",
		Args: []string{"agent"}, Arch: "amd64", AtMost: 10 * time.Minute, Rights: Rights{System: "shop"},
	}
}

func TestExperimentIsAsPlanned(t *testing.T) {
	objects, err := BuildExperiment(detached())
	if err != nil {
		t.Fatal(err)
	}
	asPlanned(t, "testdata/experiment.yaml", objects)
}

func TestExperimentWithHelpersIsAsPlanned(t *testing.T) {
	d := detached()
	d.Helpers = "microsim-system"
	d.Rights.Pods, d.Rights.Load = true, ExperimentLoadName(d.Name)
	objects, err := BuildExperiment(d)
	if err != nil {
		t.Fatal(err)
	}
	asPlanned(t, "testdata/experiment_helpers.yaml", objects)
}

// TestAnExperimentIsToldTheImages wants a program in a pod to find what was brought to the
// nodes for it.
func TestAnExperimentIsToldTheImages(t *testing.T) {
	d := detached()
	d.StoreImage = "agent:1-store"
	d.RuntimeImages = map[topology.RuntimeName]RuntimeImage{"flask": {Reference: "r/flask:sha256-2"}, "express": {Reference: "r/express@sha256:1", Arch: "arm64"}}
	told := map[string]string{}
	for _, v := range d.environment() {
		told[v.Name] = v.Value
	}
	if got := told[StoreImageVariable]; got != d.StoreImage {
		t.Errorf("the image of stores is %q, want %q", got, d.StoreImage)
	}
	if got, want := told[RuntimeImagesVariable], "express=r/express@sha256:1;arm64,flask=r/flask:sha256-2"; got != want {
		t.Errorf("the images of runtimes are %q, want %q", got, want)
	}
	for name, want := range map[topology.RuntimeName]RuntimeImage{"flask": d.RuntimeImages["flask"], "express": d.RuntimeImages["express"], "gin": {}, "fl": {}} {
		if got := RuntimeImageIn(told[RuntimeImagesVariable], name); got != want {
			t.Errorf("the image of %s is %+v, want %+v", name, got, want)
		}
	}
}

// Taking a system down selects by its label, which must not match the experiment.
func TestExperimentOutlivesItsSystem(t *testing.T) {
	objects, err := BuildExperiment(detached())
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if of, has := o.GetLabels()[SystemLabel]; has {
			t.Errorf("%s/%s belongs to system %q", o.GetKind(), o.GetName(), of)
		}
	}
}

func TestNoRightsBeyondTheNamespace(t *testing.T) {
	d := detached()
	d.Helpers = "microsim-system"
	objects, err := BuildExperiment(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if strings.HasPrefix(o.GetKind(), "Cluster") || o.GetNamespace() == "" {
			t.Errorf("%s/%s reaches beyond a namespace", o.GetKind(), o.GetName())
		}
	}
	for _, rule := range d.Rights.Rules() {
		for _, word := range append(append(append([]string{}, rule.Verbs...), rule.Resources...), rule.APIGroups...) {
			if word == "*" {
				t.Errorf("a rule takes everything: %v", rule)
			}
		}
		if rule.Resources[0] == "secrets" && len(rule.ResourceNames) == 0 {
			t.Errorf("a rule opens every Secret of the namespace: %v", rule)
		}
	}
}

func TestNeeds(t *testing.T) {
	for name, tt := range map[string]struct {
		kind          fault.Type
		helpers, pods bool
	}{
		"service": {fault.Latency, false, false},
		"network": {fault.NetDelay, true, false},
		"edge":    {fault.Reset, true, false},
		"host":    {fault.CPUStress, true, false},
		"pause":   {fault.Pause, true, false},
		"kill":    {fault.Kill, false, true},
		"restart": {fault.Restart, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			e := &experiment.Experiment{Faults: []fault.Fault{{Type: fault.Error}, {Type: tt.kind}}}
			if got := NeedsHelpers(e); got != tt.helpers {
				t.Errorf("helpers: got %t", got)
			}
			if got := DeletesPods(e); got != tt.pods {
				t.Errorf("pods: got %t", got)
			}
		})
	}
}

func TestMistakesInExperimentsAreNamed(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Detached)
		want   string
	}{
		"name":     {func(d *Detached) { d.Name = "Shop down" }, "lower-case"},
		"long":     {func(d *Detached) { d.Name = strings.Repeat("a", 43) }, "42"},
		"document": {func(d *Detached) { d.Document = make([]byte, maxDocument+1) }, "ConfigMap holds"},
		"image":    {func(d *Detached) { d.Image = "" }, "image"},
		"time":     {func(d *Detached) { d.AtMost = 0 }, "time"},
	} {
		t.Run(name, func(t *testing.T) {
			d := detached()
			tt.change(d)
			if _, err := BuildExperiment(d); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want a text with %q", err, tt.want)
			}
		})
	}
}
