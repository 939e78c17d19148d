package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
)

// TokenHeader carries the system's token past the API server, which keeps the
// header Authorization for itself.
const TokenHeader = "Microsim-Token"

// base is the URL of the API server.
func (c *Client) base() (*url.URL, error) {
	u, _, err := rest.DefaultServerUrlFor(c.config.REST)
	if err != nil {
		return nil, fmt.Errorf("reading the address of the cluster %q: %w", c.config.REST.Host, err)
	}
	return u, nil
}

// podURL is where the API server passes requests on to a port of a pod.
func (c *Client) podURL(namespace, pod string, port int, path string) (string, error) {
	return c.proxyURL("pods", namespace, fmt.Sprintf("http:%s:%d", pod, port), path)
}

func (c *Client) proxyURL(kind, namespace, name, path string) (string, error) {
	u, err := c.base()
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(u.String(), "/") + "/api/v1/namespaces/" + namespace + "/" + kind + "/" + name + "/proxy" + path, nil
}

// maxStatus bounds how much of an answer is read to see who it is from.
const maxStatus = 64 << 10

// serverSaid returns what the API server itself answered; "" where the answer
// is that of a service. The body can still be read.
func serverSaid(resp *http.Response) string {
	if resp.StatusCode < 400 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") && resp.Header.Get("Content-Type") != "" && !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		return ""
	}
	start, err := io.ReadAll(io.LimitReader(resp.Body, maxStatus))
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

// orderTimeout bounds one order to a pod.
const orderTimeout = 10 * time.Second

// An orderError is an answer of a pod that is no success.
type orderError struct {
	status int
	text   string
}

func (e *orderError) Error() string {
	return fmt.Sprintf("it answers %d: %s", e.status, e.text)
}

// A podAddress is what it takes to give orders to a pod.
type podAddress struct{ namespace, name, token string }

func (c *Client) order(ctx context.Context, pod podAddress, method, path string, body, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, orderTimeout)
	defer cancel()
	to, err := c.podURL(pod.namespace, pod.name, manifest.ControlPort, path)
	if err != nil {
		return err
	}
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("writing an order: %w", err)
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, to, content)
	if err != nil {
		return err
	}
	req.Header.Set(TokenHeader, pod.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return explain(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return fmt.Errorf("reading the answer of pod %q: %w", pod.name, err)
	}
	if denied := deniedBy(text); denied != nil && resp.StatusCode == http.StatusForbidden {
		return explain(denied)
	}
	if resp.StatusCode/100 != 2 {
		return &orderError{resp.StatusCode, strings.TrimSpace(string(text[:min(len(text), 500)]))}
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("reading the answer of pod %q: %w", pod.name, err)
	}
	return nil
}
