package kubeapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/internal/controlhttp"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// base is the URL of the API server.
func (c *Client) base() (*url.URL, error) {
	u, _, err := rest.DefaultServerUrlFor(c.Config.REST)
	if err != nil {
		return nil, fmt.Errorf("reading the address of the cluster %q: %w", problem.CleanURL(c.Config.REST.Host), err)
	}
	return u, nil
}

// PodURL is where the API server passes requests on to a port of a pod.
func (c *Client) PodURL(namespace, pod string, port int, path string) (string, error) {
	return c.ProxyURL("pods", namespace, fmt.Sprintf("http:%s:%d", pod, port), path)
}

func (c *Client) ProxyURL(kind, namespace, name, path string) (string, error) {
	u, err := c.base()
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(u.String(), "/") + "/api/v1/namespaces/" + namespace + "/" + kind + "/" + name + "/proxy" + path, nil
}

// MaxStatus bounds how much of an answer is read to see who it is from.
const MaxStatus = 64 << 10

// ServerSaid returns what the API server itself answered; "" where the answer
// is that of a service. The body can still be read.
func ServerSaid(resp *http.Response) string {
	if resp.StatusCode < 400 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") && resp.Header.Get("Content-Type") != "" && !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		return ""
	}
	start, err := io.ReadAll(io.LimitReader(resp.Body, MaxStatus))
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(start), resp.Body), resp.Body}
	var status metav1.Status
	if err != nil || json.Unmarshal(start, &status) != nil || status.Kind != "Status" || status.APIVersion != "v1" {
		return ""
	}
	return status.Message
}

// ControlTimeout bounds one request to a pod.
const ControlTimeout = runner.RequestTimeout

// A PodAddress is what it takes to give orders to a pod.
type PodAddress struct {
	Namespace, Name, Token string
	// Port is that of its control; 0 means the agent's.
	Port int
}

// Control sends a control request to a pod, and reads the answer unless answer
// is nil. An answer of the pod that is not a success is a *controlhttp.StatusError.
func (c *Client) Control(ctx context.Context, pod PodAddress, method, path string, body, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, ControlTimeout)
	defer cancel()
	to, err := c.PodURL(pod.Namespace, pod.Name, cmp.Or(pod.Port, manifest.ControlPort), path)
	if err != nil {
		return err
	}
	err = c.ControlClient(pod.Token).Do(ctx, method, to, body, answer)
	if refused := (&controlhttp.StatusError{}); errors.As(err, &refused) && refused.Code == http.StatusForbidden {
		if denied := Denied(refused.Body); denied != nil {
			return Explain(denied)
		}
	}
	return Explain(err)
}

// ControlClient returns the client of control requests to pods. The API server
// keeps the header Authorization for itself.
func (c *Client) ControlClient(token string) *controlhttp.Client {
	return &controlhttp.Client{HTTP: c.HTTP, Token: token, Header: control.TokenHeader}
}
