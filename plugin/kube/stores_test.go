package kube

import (
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

// TestTheImageOfStoresIsBesideTheAgents wants no guess where the name tells nothing.
func TestTheImageOfStoresIsBesideTheAgents(t *testing.T) {
	for name, c := range map[string]struct {
		args      []string
		variable  string
		want, err string
	}{
		"a tag":               {[]string{"--image", "registry.example/agent:v1"}, "", "registry.example/agent:v1-store", ""},
		"no tag, and a port":  {[]string{"--image", "localhost:5000/agent"}, "", "localhost:5000/agent:store", ""},
		"a digest":            {[]string{"--image", "registry.example/agent@sha256:abc"}, "", "", "name it by a tag"},
		"a digest, and named": {[]string{"--image", "registry.example/agent@sha256:abc"}, "registry.example/store:1", "registry.example/store:1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("MICROSIM_STORE_IMAGE", c.variable)
			got, _, err := flagsOf(t, kubeconfig, c.args...).storeFinder(silent, &rest.Config{}, nil)(t.Context())
			if got != c.want || c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("the image is %q, %v; want %q, %q", got, err, c.want, c.err)
			}
		})
	}
}
