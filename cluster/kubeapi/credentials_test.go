package kubeapi

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// credentialed is a client whose kubeconfig names a program for credentials.
func credentialed(t *testing.T, program string, args ...string) *Client {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer right" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"kind":"PodList","apiVersion":"v1","items":[]}`)) // a client that is gone fails the test
	}))
	t.Cleanup(server.Close)
	c, err := NewClient(Config{REST: &rest.Config{
		Host: server.URL, TLSClientConfig: rest.TLSClientConfig{Insecure: true}, ContentConfig: rest.ContentConfig{ContentType: "application/json"},
		ExecProvider: &clientcmdapi.ExecConfig{Command: program, Args: args, APIVersion: "client.authentication.k8s.io/v1", InteractiveMode: clientcmdapi.NeverExecInteractiveMode},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.HTTP.CloseIdleConnections)
	return c
}

// TestAProgramForCredentialsDoesNotOutlastItsRequest: client-go waits for it without a bound,
// so an interrupt ended nothing.
func TestAProgramForCredentialsDoesNotOutlastItsRequest(t *testing.T) {
	t.Parallel()
	late := filepath.Join(t.TempDir(), "late")
	c := credentialed(t, "sh", "-c", "sleep 3; echo >"+late)
	interrupted := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(300*time.Millisecond, func() { cancel(interrupted) })
	_, err := c.Clientset.CoreV1().Pods("shop").List(ctx, metav1.ListOptions{})
	if text := Explain(err).Error(); !strings.Contains(text, "interrupted") || strings.Contains(text, "reachable") {
		t.Errorf("an interrupt is told as %s", text)
	}
	if _, ended := os.Stat(late); err == nil || ended == nil {
		t.Errorf("the request ends with %v, and waited for the program: %v", err, ended == nil)
	}
	// The program outlives the request, and is not to outlive the directory of the test.
	for _, err := os.Stat(late); err != nil; _, err = os.Stat(late) {
		time.Sleep(50 * time.Millisecond)
	}
}

func TestCredentialsOfAProgram(t *testing.T) {
	t.Parallel()
	give := `echo '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"TOKEN"}}'`
	for name, tt := range map[string]struct{ script, want string }{
		"right":   {strings.Replace(give, "TOKEN", "right", 1), ""},
		"expired": {strings.Replace(give, "TOKEN", "old", 1), "log in to the cluster again"},
		"fails":   {"echo no session >&2; exit 7", "'kubectl auth whoami' works"},
		"garbage": {"echo hello", "'kubectl auth whoami' works"},
		"silent":  {"true", "'kubectl auth whoami' works"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := credentialed(t, "sh", "-c", tt.script).Clientset.CoreV1().Pods("shop").List(t.Context(), metav1.ListOptions{})
			err = Explain(err)
			if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "reachable")) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	_, err := credentialed(t, "no-such-program").Clientset.CoreV1().Pods("shop").List(t.Context(), metav1.ListOptions{})
	if err = Explain(err); err == nil || !strings.Contains(err.Error(), "no-such-program") || !strings.Contains(err.Error(), "names this program") {
		t.Errorf("without the program: %v", err)
	}
}

// TestCertificatesAreExplained: the address of an API server is not what is wrong if its
// certificate is.
func TestCertificatesAreExplained(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	c, err := NewClient(Config{REST: &rest.Config{Host: server.URL}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Clientset.CoreV1().Pods("shop").List(t.Context(), metav1.ListOptions{})
	if err = Explain(err); err == nil || !strings.Contains(err.Error(), "another certificate authority") || strings.Contains(err.Error(), "reachable") {
		t.Errorf("got %v", err)
	}
}
