package ui

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/plugin/request"
	"github.com/microsim-dev/kubectl-microsim/webui"
)

// threeServices runs front, back and db on this machine.
func threeServices(t *testing.T) *localsim.Deployment {
	t.Helper()
	flags := local.Flags{Isolation: string(localsim.InProcess), TraceSample: span.DefaultShare}
	deployer, err := flags.DeployerIn(t.TempDir(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	d, err := deployer.Up(t.Context(), &topology.System{Name: "sent", Services: []topology.Service{topology.NewService("front"), topology.NewService("back"), topology.NewService("db")}}, 7)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return d
}

func sendText(t *testing.T, send webui.Sender, text string) (*webui.Sent, error) {
	t.Helper()
	tree, err := chain.Parse([]byte(text), chain.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return send(t.Context(), tree, 3)
}

// lines has a hop a line: its place by indentation, status, and reasons.
func lines(h *webui.SentHop, indent string) (text string) {
	if h == nil {
		return "nothing"
	}
	took := ""
	if h.Took == nil || *h.Took < 0 || *h.Took > 60 {
		took = " without a time"
	}
	text = fmt.Sprintf("%s%s %d %t%s%s\n", indent, h.Designation, h.Status, h.Answered, took, strings.Join(append([]string{""}, h.Reasons...), " ! "))
	for _, r := range h.Routes {
		text += lines(r, indent+" ")
	}
	return text
}

// All requests have one seed, and so one id: each has a trace of its own nevertheless.
func TestWhatBecameOfEachHop(t *testing.T) {
	send := sendLocal(threeServices(t))
	for name, tt := range map[string]struct {
		text, want, failure string
		spans               int
	}{
		"all well": {
			`{"designation":"front","routes":[{"designation":"back","routes":[{"designation":"db"}]},{"designation":"db"}]}`,
			"front 200 true\n back 200 true\n  db 200 true\n db 200 true\n", "", 8,
		},
		"a fault two calls away": {
			`{"designation":"front","routes":[{"designation":"db"},{"designation":"back","routes":[{"designation":"db","faults":{"before":[{"type":"error","args":{"status":503}}]}}]}]}`,
			"front 200 true\n db 200 true\n back 200 true\n  db 503 false ! it answered 503 Service Unavailable: 503 by the chain's fault\n", "front -> back -> db: it answered 503", 8,
		},
		"the first service refuses": {
			`{"designation":"front","faults":{"after":[{"type":"error","args":{"status":502}}]},"routes":[{"designation":"back"}]}`,
			"front 502 true ! 502 by the chain's fault\n back 200 true\n", "the service answered 502 Bad Gateway", 4,
		},
		"a service that there is not": {
			`{"designation":"front","routes":[{"designation":"ghost"}]}`,
			"front 200 true\n ghost 0 false without a time ! designation \"ghost\" is not a service of system \"sent\"\n", "front -> ghost: ", 2,
		},
		"not drawn": {`{"designation":"front","probability":0,"routes":[{"designation":"back"}]}`, "nothing", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			sent, err := sendText(t, send, tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := lines(sent.Answer, ""); got != tt.want {
				t.Errorf("the answer is\n%swant\n%s", got, tt.want)
			}
			if (sent.Failure == "") != (tt.failure == "") || !strings.Contains(sent.Failure, tt.failure) {
				t.Errorf("it says %q, want %q", sent.Failure, tt.failure)
			}
			if sent.Answer == nil {
				if sent.NotDrawn != 2 || sent.Spans != nil {
					t.Errorf("what was not sent is %+v", sent)
				}
			} else if len(sent.Spans) != tt.spans || sent.Untraced != "" || sent.Spans[0].Depth != 0 || sent.Spans[1].Service != "front" || sent.NotDrawn != 0 {
				t.Errorf("the spans are %+v, %q", sent.Spans, sent.Untraced)
			}
			if slices.Contains(sent.Unknown, "ghost") != strings.Contains(tt.text, "ghost") {
				t.Errorf("not known are %q", sent.Unknown)
			}
		})
	}
}

// A refused connection, and a first service that the system does not have, are errors.
func TestAServiceThatIsAway(t *testing.T) {
	d := threeServices(t)
	if _, err := sendText(t, sendLocal(d), `{"designation":"ghost"}`); err == nil || !strings.Contains(err.Error(), `the system has no service "ghost"; it has back, db, front`) {
		t.Errorf("a service that there is not: %v", err)
	}
	if _, err := sendText(t, sendLocal(away{d, freedAddress(t)}), `{"designation":"front"}`); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a service that is away: %v", err)
	}
}

// freedAddress is one at which nobody listens any more.
func freedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return "http://" + l.Addr().String()
}

// away is a system whose services have gone from where they were.
type away struct {
	request.Local
	url string
}

func (a away) Status(ctx context.Context) (*control.Status, error) {
	status, err := a.Local.Status(ctx)
	if err == nil {
		for i := range status.Services {
			status.Services[i].Endpoint = a.url
		}
	}
	return status, err
}

// checkSending sends a request to the service web of a run.
func checkSending(t *testing.T, send webui.Sender) {
	t.Helper()
	if send == nil {
		t.Error("a run on this machine takes no requests")
		return
	}
	sent, err := sendText(t, send, `{"designation":"web"}`)
	if err != nil || sent.Failure != "" || lines(sent.Answer, "") != "web 200 true\n" || len(sent.Spans) != 2 {
		t.Errorf("a request to the run: %+v, %v", sent, err)
	}
}
