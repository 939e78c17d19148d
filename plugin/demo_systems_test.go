package plugin

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/examples"
	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// TestUsersAndOrders asks the services of the example for all that they can
// answer: known and unknown users, and orders while the users are in trouble.
func TestUsersAndOrders(t *testing.T) {
	t.Parallel()
	deployment, urls := upExample(t, "users-orders")
	order := func(user int) string {
		return ask(t, http.MethodPost, urls["order"]+"/create_order", fmt.Sprintf(`{"user_id": %d, "product": "Book"}`, user))
	}
	for _, c := range []struct{ got, want string }{
		{ask(t, http.MethodGet, urls["user"]+"/", ""), "200 User Service is running!"},
		{ask(t, http.MethodGet, urls["user"]+"/users/2", ""), `200 {"id":2,"name":"Jane Doe"}`},
		{ask(t, http.MethodGet, urls["user"]+"/users/7", ""), `404 {"error":"User not found"}`},
		{ask(t, http.MethodGet, urls["order"]+"/orders", ""), `200 [{"id":1,"user_id":1,"product":"Book"},{"id":2,"user_id":2,"product":"Laptop"}]`},
		{order(1), `201 {"id": 3, "user_id": 1, "product": "Book"}`},
	} {
		if c.got != c.want {
			t.Errorf("answered %s, want %s", c.got, c.want)
		}
	}
	// Unknown users are not failures: they are not tried again, and open no breaker.
	before := attempts(t, urls["order"])
	for range 4 {
		if got := order(9); got != `404 {"error":"User not found"}` {
			t.Errorf("an order of an unknown user: %s", got)
		}
	}
	if n := attempts(t, urls["order"]) - before; n != 4 {
		t.Errorf("for 4 orders of unknown users, users were asked %d times", n)
	}
	if got := order(2); !strings.HasPrefix(got, "201 ") {
		t.Errorf("after unknown users: %s", got)
	}
	troubled(t, deployment, "user", fault.Error, func() {
		if got := order(1); got != `500 {"error":"User service error"}` {
			t.Errorf("while users fail: %s", got)
		}
	})
	troubled(t, deployment, "user", fault.Unreachable, func() {
		if got := order(1); got != `503 {"error":"User service unavailable"}` {
			t.Errorf("while users are away: %s", got)
		}
		// The third failure in a row opens the breaker, and says so.
		_ = order(1)
		before := attempts(t, urls["order"])
		if got := order(1); got != `503 {"error":"User service unavailable"}` || attempts(t, urls["order"]) != before {
			t.Errorf("with an open breaker: %s, and users were asked %d times more", got, attempts(t, urls["order"])-before)
		}
	})
}

// attempts is how many requests a service has sent to others.
func attempts(t *testing.T, url string) (n int) {
	t.Helper()
	for line := range strings.Lines(ask(t, http.MethodGet, url+control.MetricsPath, "")) {
		if strings.HasPrefix(line, control.CallAttemptsTotal+"{") {
			count, err := strconv.Atoi(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]))
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			n += count
		}
	}
	return n
}

// TestHomePageDegrades asks the home page while the services behind it are away.
func TestHomePageDegrades(t *testing.T) {
	t.Parallel()
	deployment, urls := upExample(t, "outage")
	page := func(token string) string {
		status, _, _ := strings.Cut(ask(t, http.MethodGet, urls["home"]+"/", token), " ")
		return status
	}
	if page("") != "401" || page("0x123") != "200" {
		t.Errorf("without a token %s, with one %s", page(""), page("0x123"))
	}
	for service, want := range map[string]string{"recommendations": "200", "popular": "200", "authentication": "500"} {
		troubled(t, deployment, service, fault.Unreachable, func() {
			if got := page("0x123"); got != want {
				t.Errorf("without %s: %s, want %s", service, got, want)
			}
		})
	}
	if page("0x123") != "200" {
		t.Error("the page does not come back")
	}
}

// upExample brings the system of an example up for the time of a test, and
// returns the URL of each of its services.
func upExample(t *testing.T, name string) (runner.Deployment, map[string]string) {
	t.Helper()
	text, err := examples.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	docs, err := spec.Read(name, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	l := local.Flags{Isolation: string(localsim.InProcess)}
	deployer, err := l.DeployerIn("", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	deployment, err := deployer.Up(t.Context(), docs.Systems()[0], 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := deployment.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	replicas, err := deployment.Replicas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	urls := map[string]string{}
	for _, r := range replicas {
		urls[r.Service] = r.URL
	}
	return deployment, urls
}

// troubled does something while a fault acts on a service.
func troubled(t *testing.T, deployment runner.Deployment, service string, kind fault.Type, do func()) {
	t.Helper()
	f := fault.Fault{Type: kind, Target: fault.Target{Service: service}, Probability: 1}.WithDefaults()
	if err := deployment.Inject(t.Context(), string(kind), f, time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	do()
	if err := deployment.Clear(t.Context(), string(kind)); err != nil {
		t.Fatal(err)
	}
}

// ask sends a request and returns status and body. A GET has a token in place of
// a body.
func ask(t *testing.T, method, url, body string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodGet {
		request.Header.Set("Authorization", body)
		request.Body, request.ContentLength = nil, 0
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(response.StatusCode, " ", strings.TrimSpace(string(answer)))
}
