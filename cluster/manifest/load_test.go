package manifest

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func loadOptions() LoadOptions {
	return LoadOptions{
		Name: "microsim-load-abc", System: "shop", Namespace: "shop", Image: "registry.example/agent:1", PullPolicy: corev1.PullNever,
		Pods: 3, Token: "secret", Job: []byte(`{"of":3}`),
	}
}

func TestBuildLoadIsAsPlanned(t *testing.T) {
	objects, err := BuildLoad(loadOptions())
	if err != nil {
		t.Fatal(err)
	}
	asPlanned(t, "testdata/load.yaml", objects)
	o := loadOptions()
	o.CreateNamespace = true
	if objects, err = BuildLoad(o); err != nil || objects[0].GetKind() != "Namespace" || objects[0].GetLabels()[SystemLabel] != "shop" {
		t.Errorf("with a namespace of its own, the load is %v, %v", objects, err)
	}
}

func TestLoadsThatCannotBeAreRefused(t *testing.T) {
	for want, change := range map[string]func(*LoadOptions){
		"no image":         func(o *LoadOptions) { o.Image = "" },
		"0 pods":           func(o *LoadOptions) { o.Pods = 0 },
		"a Secret holds":   func(o *LoadOptions) { o.Job = make([]byte, maxSecret+1) },
		"bodies and chain": func(o *LoadOptions) { o.Job = make([]byte, 2*maxSecret) },
	} {
		o := loadOptions()
		change(&o)
		if _, err := BuildLoad(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
}
