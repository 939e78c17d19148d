package faults

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// onServer returns a system without services on an API server.
func onServer(t *testing.T, handler http.Handler) *Instance {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := kubeapi.NewClient(kubeapi.Config{REST: &rest.Config{Host: server.URL}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.HTTP.CloseIdleConnections)
	return NewInstance(c, &topology.System{Name: "shop"}, "shop", "")
}

// within fails the test when do has not returned soon.
func within(t *testing.T, what string, do func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	case <-time.After(10 * time.Second):
		t.Errorf("%s waits for a request that hangs", what)
	}
}

func TestATokenThatCannotBeReadBlocksNobody(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	d := onServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.Contains(r.URL.Path, "/secrets/"):
			close(asked)
			<-answer
			fmt.Fprint(w, `{"kind":"Secret","apiVersion":"v1","data":{"token":"c2VjcmV0"}}`)
		case strings.HasSuffix(r.URL.Path, "/pods"):
			fmt.Fprint(w, `{"kind":"PodList","apiVersion":"v1","items":[]}`)
		default:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`)
		}
	}))
	reading := make(chan error, 1)
	go func() {
		token, err := d.tokenOf(t.Context())
		if err == nil && token != "secret" {
			err = fmt.Errorf("the token is %q", token)
		}
		reading <- err
	}()
	<-asked
	within(t, "Active", func() error { _, err := d.Active(t.Context()); return err })
	within(t, "Replicas", func() error { _, err := d.Replicas(t.Context()); return err })
	within(t, "Release", d.Release)
	close(answer)
	if err := <-reading; err != nil {
		t.Error(err)
	}
	// It is asked for once: a second request would close the channel again.
	if token, err := d.tokenOf(t.Context()); token != "secret" || err != nil {
		t.Errorf("got %q, %v", token, err)
	}
}
