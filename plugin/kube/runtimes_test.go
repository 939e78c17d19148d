package kube

import (
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
)

// TestAProgramInAPodTakesTheRuntimesItWasGiven wants others refused, with what to do.
func TestAProgramInAPodTakesTheRuntimesItWasGiven(t *testing.T) {
	find := givenRuntimes("express=r/express:1;arm64", noRuntimes)
	if got, err := find(t.Context(), "express"); err != nil || got != (manifest.RuntimeImage{Reference: "r/express:1", Arch: "arm64"}) {
		t.Errorf("the image is %+v, %v", got, err)
	}
	if got, err := find(t.Context(), "flask"); err == nil || !strings.Contains(err.Error(), "--push REFERENCE") {
		t.Errorf("the image of another is %+v, %v", got, err)
	}
}

// TestTheImageOfARuntimeIsBesideTheAgents on clusters whose nodes are not reached from here.
func TestTheImageOfARuntimeIsBesideTheAgents(t *testing.T) {
	t.Setenv(manifest.RuntimeImagesVariable, "")
	for name, c := range map[string]struct {
		args      []string
		want, err string
	}{
		"a tag":    {[]string{"--image", "registry.example/agent:v1"}, "registry.example/agent:v1-express", ""},
		"no tag":   {[]string{"--image", "localhost:5000/agent"}, "localhost:5000/agent:express", ""},
		"a digest": {[]string{"--image", "registry.example/agent@sha256:" + strings.Repeat("a", 64)}, "", "MICROSIM_RUNTIME_IMAGES=express=REFERENCE"},
		"no image": {nil, "", "--push REFERENCE"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := flagsOf(t, kubeconfig, c.args...).runtimeFinder(silent, &rest.Config{}, nil)(t.Context(), "express")
			if got.Reference != c.want || c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("the image is %+v, %v; want %q, %q", got, err, c.want, c.err)
			}
		})
	}
}
