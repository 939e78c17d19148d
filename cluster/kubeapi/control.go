package kubeapi

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
	u, _, err := rest.DefaultServerUrlFor(c.Config.REST)
	if err != nil {
		return nil, fmt.Errorf("reading the address of the cluster %q: %w", c.Config.REST.Host, err)
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

// ControlTimeout bounds one order to a pod.
const ControlTimeout = 10 * time.Second

// A ControlError is an answer of a pod that is no success.
type ControlError struct {
	Status int
	Text   string
}

func (e *ControlError) Error() string {
	return fmt.Sprintf("it answers %d: %s", e.Status, e.Text)
}

// A PodAddress is what it takes to give orders to a pod.
type PodAddress struct{ Namespace, Name, Token string }

func (c *Client) Control(ctx context.Context, pod PodAddress, method, path string, body, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, ControlTimeout)
	defer cancel()
	to, err := c.PodURL(pod.Namespace, pod.Name, manifest.ControlPort, path)
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
	req.Header.Set(TokenHeader, pod.Token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return Explain(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return fmt.Errorf("reading the answer of pod %q: %w", pod.Name, err)
	}
	if denied := Denied(text); denied != nil && resp.StatusCode == http.StatusForbidden {
		return Explain(denied)
	}
	if resp.StatusCode/100 != 2 {
		return &ControlError{resp.StatusCode, strings.TrimSpace(string(text[:min(len(text), 500)]))}
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("reading the answer of pod %q: %w", pod.Name, err)
	}
	return nil
}
