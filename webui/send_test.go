package webui

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// sendsTo plays on local until the test ends, with a sender.
func sendsTo(t *testing.T, send Sender) *client {
	t.Helper()
	c := serve(t, Config{Worlds: &aWorld{play: func(ctx context.Context, o Order) (*result.Result, error) {
		if o.On != OnVirtual {
			o.Deployed(&anInjector{})
			o.Sends(send)
		}
		o.Observe(runner.LoadBegun{At: time.Now(), Length: time.Minute})
		<-ctx.Done()
		return nil, ctx.Err()
	}}})
	return c
}

func (c *client) request(text, seed string, into any) int {
	c.t.Helper()
	return c.ask("POST", "/api/request", map[string]string{"text": text, "seed": seed}, into)
}

func TestARequestIsSentToWhatRuns(t *testing.T) {
	var got *chain.Chain
	var seeds []uint64
	c := sendsTo(t, func(_ context.Context, tree *chain.Chain, seed uint64) (*Sent, error) {
		if got = tree; tree.Designation == "gone" {
			return nil, errors.New("sending the request: connection refused")
		}
		seeds = append(seeds, seed)
		return &Sent{Answer: &SentHop{Designation: tree.Designation, Answered: true, Status: 200}, Failure: "not well"}, nil
	})
	const good = `{"designation": "front", "routes": [{"designation": "back", "probability": 50}]}`
	var f failure
	if status := c.request(good, "", &f); status != 409 || !strings.Contains(f.Error, "no system runs") {
		t.Errorf("without a system, it is answered %d %q", status, f.Error)
	}
	c.ask("POST", "/api/run", map[string]any{"text": emptyText, "on": OnVirtual}, nil)
	await(t, c, func(v *runView) bool { return v.State == running && !v.Sends })
	if status := c.request(good, "", &f); status != 409 || !strings.Contains(f.Error, "virtual time takes no single requests: play on local") {
		t.Errorf("in virtual time, it is answered %d %q", status, f.Error)
	}
	c.ask("POST", "/api/stop", struct{}{}, nil)
	await(t, c, func(v *runView) bool { return v.Ended })
	c.ask("POST", "/api/run", map[string]any{"text": emptyText, "on": OnLocal}, nil)
	await(t, c, func(v *runView) bool { return v.Sends })

	var sent struct {
		Seed    string
		Answer  *SentHop
		Failure string
	}
	if status := c.request(good, "18446744073709551615", &sent); status != 200 || sent.Seed != "18446744073709551615" || sent.Answer == nil || sent.Answer.Status != 200 || sent.Failure != "not well" {
		t.Errorf("it is answered %d %+v", status, sent)
	}
	if got == nil || len(got.Routes) != 1 || got.Routes[0].Probability != 50 || seeds[0] != math.MaxUint64 {
		t.Errorf("there was sent %+v, seeds %v", got, seeds)
	}
	if c.request(good, "", nil); seeds[1] == 0 {
		t.Error("a request without a seed has that of 0")
	}
	for text, want := range map[string]string{
		"":                                      "there is nothing to send",
		`{"designation": "front"`:               "request:2:1: this is not YAML",
		`{"designation": "front", "rutes": []}`: `request:1:26: rutes: field "rutes" is not known (did you mean "routes"?)`,
		"{\"designation\": \"front\",\n \"faults\": {\"before\": [{\"type\": \"rain\"}]}}": "request:2:33: faults.before[0].type: fault type rain, is not implemented",
		`{"designation": "front", "faults": {"before": [{"type": "latency"}]}}`:            "fault type latency needs delay",
		`{"designation": "front", "probability": 101}`:                                     "the range is 0 to 100",
		emptyText:                       "the text has 0 requests among 1 documents",
		good + "\n---\n" + good:         "the text has 2 requests",
		`{"designation": "http://a.b"}`: `"http://a.b" is a URL`,
		`{"designation": "gone"}`:       "sending the request: connection refused",
		`{"designation": "front", "routes": [` + strings.Repeat(`{"designation": "a"},`, 60_000) + `{"designation": "a"}]}`: "more than the 1",
	} {
		before := len(seeds)
		if status := c.request(text, "", &f); status < 400 || status >= 500 || !strings.Contains(f.Error, want) || len(seeds) != before {
			t.Errorf("%.80s is answered %d %.300q, want %q", text, status, f.Error, want)
		}
	}
	if status := c.request(good, "-1", &f); status != 400 || !strings.Contains(f.Error, `invalid seed "-1"`) {
		t.Errorf("the seed -1 is answered %d %q", status, f.Error)
	}
	if status := c.request(strings.Repeat("x", maxRequest), "", &f); status != 413 {
		t.Errorf("a request of more than 4 MiB is answered %d %q", status, f.Error)
	}
	var list []chain.Entry
	if status := c.ask("GET", "/api/request/vocabulary", nil, &list); status != 200 || len(list) == 0 {
		t.Errorf("the faults of requests are answered %d %v", status, list)
	}
}

// A page that goes away gives its request up.
func TestARequestEndsWithItsPage(t *testing.T) {
	began, ended := make(chan struct{}), make(chan error, 1)
	c := sendsTo(t, func(ctx context.Context, _ *chain.Chain, _ uint64) (*Sent, error) {
		close(began)
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return nil, ctx.Err()
	})
	c.ask("POST", "/api/run", map[string]any{"text": emptyText, "on": OnLocal}, nil)
	await(t, c, func(v *runView) bool { return v.Sends })
	page, leave := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		c.sendUntil(page, "/api/request", `{"text":"{\"designation\":\"front\"}"}`)
	}()
	<-began
	leave()
	<-gone
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}

// sendUntil posts a text with the token, and gives up when ctx ends.
func (c *client) sendUntil(ctx context.Context, path, text string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, strings.NewReader(text))
	if err != nil {
		c.t.Error(err)
		return
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
		c.t.Errorf("it was answered %s", resp.Status)
	}
}
