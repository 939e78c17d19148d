package nodehelper

import (
	"flag"
	"os"
	"testing"

	"sigs.k8s.io/yaml"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

var update = flag.Bool("update", false, "write testdata anew") //nolint:gochecknoglobals // a flag of the test

func TestJob(t *testing.T) {
	got, err := yaml.Marshal(NewJob("worker-1.example", Options{Image: "registry.example/agent@sha256:1", PullPolicy: corev1.PullNever, Priority: PriorityClass, secret: "helper-x"}))
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/job.yaml"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("the Job is\n%s\nwant %s; run the test with -update if that is right", got, golden)
	}
}

func TestSecretOf(t *testing.T) {
	if got := SecretOf(&NewJob("a", Options{secret: "helper-x"}).Spec.Template.Spec); got != "helper-x" {
		t.Errorf("the token is in %q", got)
	}
	if got := SecretOf(&corev1.PodSpec{Containers: []corev1.Container{{}}}); got != "" {
		t.Errorf("another pod has its token in %q", got)
	}
}

func TestNamesAndLabelsAreValid(t *testing.T) {
	const long = "node.with.a.very.long.name.that.labels.do.not.take.because.they.have.at.most.63.characters.example.org"
	for _, node := range []string{"a", long} {
		if errs := validation.IsDNS1123Label(Name(node)); errs != nil {
			t.Errorf("the name of the helper of %q: %v", node, errs)
		}
		for key, value := range labels(node) {
			if errs := validation.IsValidLabelValue(value); errs != nil {
				t.Errorf("label %s of the helper of %q: %v", key, node, errs)
			}
		}
		if got := Node(NewOrders(node)); got != node {
			t.Errorf("orders for %q are read as for %q", node, got)
		}
	}
}
