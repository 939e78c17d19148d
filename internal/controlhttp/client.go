// Package controlhttp speaks the contract of model/control over HTTP: the one
// client that sends control requests, the one comparison of tokens and the one
// reader of their bodies.
package controlhttp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/control"
)

const (
	// maxAnswer bounds the answer to a control request, in bytes.
	maxAnswer = 16 << 20
	// maxQuoted bounds what an error repeats of an answer, in bytes.
	maxQuoted = 500
)

// A Doer sends a request; an *http.Client is one.
type Doer interface {
	Do(req *http.Request) (*http.Response, error)
}

// A Client sends control requests that carry a token.
type Client struct {
	HTTP  Doer
	Token string
	// Header carries the token: control.AuthorizationHeader, which is also meant
	// by "", or control.TokenHeader if a proxy keeps that one for itself.
	Header string
}

// A StatusError is an answer that is not a success.
type StatusError struct {
	Code int
	// Status is the status line's, such as "404 Not Found".
	Status string
	// Body is the whole answer.
	Body []byte
}

// Text is the beginning of the answer.
func (e *StatusError) Text() string {
	return strings.TrimSpace(string(e.Body[:min(len(e.Body), maxQuoted)]))
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("it answers %d: %s", e.Code, e.Text())
}

// OnlyReplaced reports whether an error of sending a control.Description says that the
// program which got it has to be replaced to follow it.
func OnlyReplaced(err error) bool {
	var refused *StatusError
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.Code {
	case http.StatusConflict, http.StatusNotFound, http.StatusMethodNotAllowed:
		return true
	}
	return false
}

// Do sends a request, with body as JSON unless it is nil, and reads the answer
// into answer unless that is nil. An answer that is not a success is a
// *StatusError; an error of the transport is returned as it is, with the method
// and the URL in it.
func (c *Client) Do(ctx context.Context, method, url string, body, answer any) error {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("writing the body of %s %s: %w", method, url, err)
		}
		content = bytes.NewReader(text)
	}
	resp, err := c.send(ctx, method, url, content)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(text) > maxAnswer {
		err = fmt.Errorf("it has more than %d bytes", maxAnswer)
	}
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return &StatusError{resp.StatusCode, resp.Status, text}
	}
	if answer == nil {
		return nil
	}
	// Unknown fields are left out: a running system may be of a later version.
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return nil
}

// Stream sends a GET and returns the body of the answer, which the caller reads
// and closes. An answer that is not 200 is a *StatusError.
func (c *Client) Stream(ctx context.Context, url string) (io.ReadCloser, error) {
	resp, err := c.send(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxQuoted)) // the status says enough
	return nil, &StatusError{resp.StatusCode, resp.Status, text}
}

func (c *Client) send(ctx context.Context, method, url string, content io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, content)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if c.Header == "" || c.Header == control.AuthorizationHeader {
		req.Header.Set(control.AuthorizationHeader, control.Bearer+c.Token)
	} else {
		req.Header.Set(c.Header, c.Token)
	}
	return c.HTTP.Do(req)
}
