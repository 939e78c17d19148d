package kubeapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// TestCredentialsFollowNoRedirect asks a pod that answers with a redirect to another
// server: neither the token of the cluster nor that of the pod goes there.
func TestCredentialsFollowNoRedirect(t *testing.T) {
	var visits atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visits.Add(1) }))
	defer elsewhere.Close()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	}))
	defer api.Close()
	c, err := NewClient(Config{REST: &rest.Config{Host: api.URL, BearerToken: "of-the-cluster"}})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Control(t.Context(), PodAddress{Namespace: "shop", Name: "cart-1", Token: "of-the-pod"}, http.MethodGet, "/admin/faults", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "307") {
		t.Errorf("the redirect is answered with %v", err)
	}
	if _, err := c.Clientset.CoreV1().Pods("shop").List(t.Context(), metav1.ListOptions{}); err == nil {
		t.Error("a redirect is taken for a list of pods")
	}
	if n := visits.Load(); n != 0 {
		t.Errorf("%d requests came elsewhere", n)
	}
}

func TestErrorsNameNoPassword(t *testing.T) {
	for _, host := range []string{"https://ann:secret@127.0.0.1:port", "https://ann:secret@127.0.0.1:1/%zz"} {
		_, err := NewClient(Config{REST: &rest.Config{Host: host}})
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "xxxxx") {
			t.Errorf("%v", err)
		}
	}
}
