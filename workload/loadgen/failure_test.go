package loadgen

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// sendSame sends a few of the same request and returns the report.
func sendSame(t *testing.T, request load.Request, count int, patience time.Duration) *result.LoadReport {
	t.Helper()
	profile := load.Profile{
		Requests: []load.Request{request}, Phases: []load.Phase{{Users: 1, Count: count}}, Timeout: unit.Duration(patience),
	}
	report, err := new(Generator).Load(t.Context(), profile, runner.LoadTarget{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestReasonsOfFailures(t *testing.T) {
	const body = "no room\r\n\x1b[31mfor you"
	answering := func(status int, text string) string {
		return serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			io.WriteString(w, text)
		})
	}
	reset := func(c net.Conn) { c.(*net.TCPConn).SetLinger(0) }
	const tree = `{"designation":"%s","routes":[{"designation":"http://b"}]}`
	for name, tt := range map[string]struct {
		request load.Request
		class   outcome.Class
		reason  outcome.Reason
		text    string // a part of the example's
	}{
		"refused":   {load.Request{URL: "http://127.0.0.1:1/"}, outcome.ConnectionError, outcome.Refused, "refused"},
		"dns":       {load.Request{URL: "http://no-such-host.invalid/"}, outcome.ConnectionError, outcome.NoSuchHost, "no-such-host.invalid"},
		"tls":       {load.Request{URL: strings.Replace(answering(200, ""), "http", "https", 1)}, outcome.ConnectionError, outcome.NoTLS, "TLS handshake"},
		"reset":     {load.Request{URL: respond(t, reset)}, outcome.ConnectionError, outcome.Reset, "reset"},
		"closed":    {load.Request{URL: respond(t, func(net.Conn) {})}, outcome.ConnectionError, outcome.Closed, "EOF"},
		"timeout":   {load.Request{URL: respond(t, func(c net.Conn) { io.Copy(io.Discard, c) })}, outcome.Timeout, outcome.AnswerTimeout, "timeout"},
		"no HTTP":   {load.Request{URL: respond(t, say("SSH-2.0\r\n"))}, outcome.Malformed, "malformed", "SSH-2.0"},
		"503":       {load.Request{URL: answering(503, body)}, outcome.HTTPError, "status_503", "503 Service Unavailable: no room [31mfor you"},
		"404":       {load.Request{URL: answering(404, "")}, outcome.HTTPError, "status_404", "404 Not Found"},
		"hop":       {load.Request{Chain: fmt.Sprintf(tree, answering(200, `{"errors":["calling http://b: nobody"],"response":[null]}`))}, outcome.FailedHop, "failed_hop", "nobody"},
		"no answer": {load.Request{Chain: fmt.Sprintf(tree, answering(200, `fine`))}, outcome.Malformed, "malformed", "response document"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			patience := time.Minute
			if tt.class == outcome.Timeout {
				patience = 100 * time.Millisecond
			}
			report := sendSame(t, tt.request, 3, patience)
			if len(report.Failures) != 1 || report.Total.Outcomes[tt.class] != 3 {
				t.Fatalf("got %+v and %v", report.Failures, report.Total.Outcomes)
			}
			f := report.Failures[0]
			if f.Class != tt.class || f.Reason != tt.reason || f.Count != 3 || !strings.Contains(f.Example.Text, tt.text) {
				t.Errorf("got %+v", f)
			}
			if f.Example.URL == "" || f.Example.ID == "" || f.Example.Request == "" {
				t.Errorf("the example does not say which request it is: %+v", f.Example)
			}
			if strings.ContainsFunc(f.Example.Text, unicode.IsControl) {
				t.Errorf("%q would reach the terminal", f.Example.Text)
			}
			if hop := f.Hop; tt.class == outcome.FailedHop && !strings.HasSuffix(hop, " -> http://b") {
				t.Errorf("the hop is %q", hop)
			}
		})
	}
}

// However many ways there are to fail, the report is bounded, and counts all.
func TestReasonsAreBounded(t *testing.T) {
	var n atomic.Int64
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(400 + int(n.Add(1))%100) })
	report := sendSame(t, load.Request{URL: url}, 500, time.Minute)
	sum := report.FurtherFailures
	for _, f := range report.Failures {
		sum += f.Count
	}
	if len(report.Failures) != result.MaxFailures || report.FurtherFailures == 0 || sum != 500 {
		t.Errorf("%d kinds, %d beyond them, %d in all, want %d, some, 500", len(report.Failures), report.FurtherFailures, sum, result.MaxFailures)
	}
}

func TestPairsOfChainsAndAnswers(t *testing.T) {
	var n atomic.Int64
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		// Every second answer is like no other, every fourth is long.
		switch i := n.Add(1); i % 4 {
		case 1, 3:
			io.WriteString(w, `{"response":[]}`)
		case 2:
			fmt.Fprintf(w, `{"service":"%d","response":[]}`, i)
		default:
			fmt.Fprintf(w, `{"service":"%s%d","response":[]}`, strings.Repeat("s", 5000), i)
		}
	})
	report := sendSame(t, load.Request{Chain: `{"designation":"` + url + `"}`}, 200, time.Minute)
	sum := report.FurtherPairs
	for _, p := range report.Pairs {
		sum += p.Count
		if len(p.Answer) > result.MaxPairText+3 || !strings.HasPrefix(p.Sent, `{"designation":"`+url) || p.Status != 200 {
			t.Errorf("pair %+v", p)
		}
	}
	if len(report.Pairs) != result.MaxPairs || report.Pairs[0].Count != 100 || sum != 200 {
		t.Errorf("%d pairs, %d of the first, %d in all", len(report.Pairs), report.Pairs[0].Count, sum)
	}
	if sendSame(t, load.Request{URL: url}, 1, time.Minute).Pairs != nil {
		t.Error("a request that is not a chain has pairs")
	}
}
