package servicetest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/service"
)

// token opens the control of the services of the suite.
const token = "conformance"

// plain is a service with an endpoint at / and the steps.
func plain(steps ...topology.Step) service.Spec {
	return service.Spec{System: "conformance", Service: topology.NewService("subject", steps...), Replica: 1, Seed: 1, Token: token}
}

// A reply is an answer that was read whole.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) chain(t T) chain.Response {
	t.Helper()
	var response chain.Response
	dec := json.NewDecoder(bytes.NewReader(r.body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&response); err != nil {
		t.Fatalf("reading the response document %q: %v", r.body, err)
	}
	if response.Errors == nil || response.Response == nil {
		t.Errorf("%s: errors and response must be lists", r.body)
	}
	return response
}

func try(method, url, body string, header ...string) (reply, error) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
	}
	// A connection for each request, so that none is sent twice.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, data}, err
}

func do(t T, method, url, body string, header ...string) reply {
	t.Helper()
	r, err := try(method, url, body, header...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return r
}

func call(t T, url, chain string) chain.Response {
	t.Helper()
	r := do(t, "POST", url+"/", chain)
	if r.status != 200 {
		t.Fatalf("the chain %s got %d %s", chain, r.status, r.body)
	}
	return r.chain(t)
}
