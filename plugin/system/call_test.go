package system

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/plugin/request"
)

// upTwo starts a system with the services front and back on this machine.
func upTwo(t *testing.T) (d *localsim.Deployment, door *request.Door) {
	t.Helper()
	flags := local.Flags{Isolation: string(localsim.InProcess)}
	deployer, err := flags.DeployerIn(t.TempDir(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	system := &topology.System{Name: "seeds", Services: []topology.Service{topology.NewService("front"), topology.NewService("back")}}
	d, err = deployer.Up(t.Context(), system, 7)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	door, err = request.ToLocal(t.Context(), http.DefaultClient, d)
	if err != nil {
		t.Fatal(err)
	}
	return d, door
}

// send sends a request by the command and returns the answer document.
func send(t *testing.T, text string, seed uint64, door *request.Door) (*chain.Response, error) {
	t.Helper()
	tree, err := chain.Parse([]byte(text), chain.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	o := callOptions{streams: cli.Streams{Out: &out, Err: io.Discard}, seed: seed, timeout: time.Minute, output: cli.Output{Format: "json"}}
	failed := o.send(t.Context(), tree, door)
	var r *chain.Response
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s", failed, out.Bytes())
	}
	return r, failed
}

// shape is what of an answer a seed decides: which routes were drawn, and which
// of them failed.
func shape(r *chain.Response) string {
	var b strings.Builder
	for _, route := range r.Response {
		if route == nil {
			b.WriteByte('x')
		} else {
			b.WriteByte('o')
		}
	}
	return b.String()
}

// A seed decides alike by both doors, for the routes and for the services' own
// draws.
func TestCallAndControlPlaneDrawAlike(t *testing.T) {
	d, door := upTwo(t)
	route := `{"designation":"back","probability":50,"faults":{"before":[{"type":"error","args":{"rate":50}}]}}`
	text := `{"designation":"front","routes":[` + strings.TrimSuffix(strings.Repeat(route+",", 20), ",") + `]}`
	var shapes []string
	for seed := range uint64(6) {
		called, _ := send(t, text, seed, door) // some routes fail, as they shall
		resp, err := http.Post(fmt.Sprintf("%s/?seed=%d", d.ControlURL(), seed), "application/json", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		var posted *chain.Response
		err = json.NewDecoder(resp.Body).Decode(&posted)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if shape(called) != shape(posted) {
			t.Errorf("seed %d: call draws %s, the control plane %s", seed, shape(called), shape(posted))
		}
		shapes = append(shapes, shape(called))
	}
	all := strings.Join(shapes, " ")
	if len(slices.Compact(slices.Clone(shapes))) < 3 || !strings.Contains(all, "x") || !strings.Contains(all, "o") {
		t.Errorf("seeds hardly differ: %s", all)
	}
}

// A request of which a hop failed is an error, though it was answered 200.
func TestCallFailsWithItsHops(t *testing.T) {
	_, door := upTwo(t)
	for text, want := range map[string]string{
		`{"designation":"front","routes":[{"designation":"back"}]}`:                                                                        "",
		`{"designation":"front","routes":[{"designation":"ghost"}]}`:                                                                       `front -> ghost: designation "ghost" is not a service`,
		`{"designation":"front","routes":[{"designation":"back","faults":{"before":[{"type":"error","args":{"status":503}}]}}]}`:           "front -> back: it answered 503",
		`{"designation":"front","routes":[{"designation":"back","routes":[{"designation":"ghost"}]}]}`:                                     "front -> back -> ghost: ",
		`{"designation":"front","routes":[{"designation":"back","faults":{"after":[{"type":"latency","args":{"delay":1}}]},"routes":[]}]}`: "",
	} {
		_, err := send(t, text, 1, door)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
