//go:build unix

package localsim_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// hung is a system whose service leaf has two replicas, one of which is stopped
// by a signal that the supervisor knows nothing of.
func hung(t *testing.T, name string, change func(leaf *topology.Service)) (d *localsim.Deployment, first runner.Replica) {
	t.Helper()
	second := unit.Duration(time.Second)
	leaf := topology.NewService("leaf")
	leaf.Replicas = 2
	leaf.Readiness = &topology.Probe{Period: second, Timeout: second, FailureThreshold: 2}
	leaf.Liveness = &topology.Probe{Period: second, Timeout: second, FailureThreshold: topology.MaxProbeThreshold}
	change(&leaf)
	root := topology.NewService("root", topology.CallTo("leaf"))
	system := &topology.System{Name: name, Services: []topology.Service{root, leaf}}
	config := processes("agent", t.TempDir())
	config.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	d = up(t, config, system)
	replicas, err := d.Replicas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first = replicas[1]
	if err := syscall.Kill(first.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(first.PID, syscall.SIGCONT) })
	return d, first
}

func awaitReplica(t *testing.T, d *localsim.Deployment, what string, done func(runner.Replica) bool) {
	t.Helper()
	var last runner.Replica
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		replicas, err := d.Replicas(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if last = replicas[1]; done(last) {
			return
		}
	}
	t.Fatalf("the replica is not %s: %+v", what, last)
}

func TestAHungReplicaGetsNoCallsAndIsShownSo(t *testing.T) {
	d, first := hung(t, "unready", func(*topology.Service) {})
	awaitReplica(t, d, "unready", func(r runner.Replica) bool { return r.State == runner.Unready && !r.Detected.IsZero() })
	status, err := d.Replicas(t.Context())
	if err != nil || status[2].State != runner.Ready {
		t.Errorf("the other replica is %+v, %v", status[2], err)
	}
	root := status[0].URL
	// The caller is told within moments; then no request waits for the hung one.
	answered := 0
	for end := time.Now().Add(patience); answered < 20; {
		if time.Now().After(end) {
			t.Fatal("calls still go to the replica that is not ready")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		err := answers(ctx, root)
		cancel()
		if answered++; err != nil {
			answered = 0
		}
	}
	if _, body := request(t, "GET", d.ControlURL()+"/health", "", nil); !strings.Contains(body, `"leaf":"healthy"`) {
		t.Errorf("one of two replicas is ready, and the health is %s", body)
	}
	if err := syscall.Kill(first.PID, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	awaitReplica(t, d, "ready again", func(r runner.Replica) bool { return r.State == runner.Ready && r.Restarts == 0 })
}

func TestAHungReplicaIsRestartedAndItsOutageWatched(t *testing.T) {
	second := unit.Duration(time.Second)
	d, first := hung(t, "alive", func(leaf *topology.Service) {
		leaf.Replicas = 1
		leaf.Liveness = &topology.Probe{Period: second, Timeout: second, FailureThreshold: 3}
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var seen []runner.State
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		d.Watch(ctx, func(r runner.Replica) {
			if r.Service != first.Service {
				return
			}
			seen = append(seen, r.State)
			if r.State == runner.Ready && r.Restarts > 0 {
				cancel()
			}
		})
	}()
	awaitReplica(t, d, "unready", func(r runner.Replica) bool { return r.State == runner.Unready })
	if _, body := request(t, "GET", d.ControlURL()+"/health", "", nil); !strings.Contains(body, `"leaf":"unhealthy"`) {
		t.Errorf("no replica is ready, and the health is %s", body)
	}
	select {
	case <-watched:
	case <-time.After(patience):
		t.Fatal("it is not restarted")
	}
	if want := []runner.State{runner.Ready, runner.Unready, runner.Down, runner.Starting, runner.Ready}; !slices.Equal(seen, want) {
		t.Errorf("told were %v, want %v", seen, want)
	}
	outages := d.Outages()
	if len(outages) != 1 || outages[0].Detected.Sub(outages[0].Down) < time.Second || outages[0].Ready.IsZero() {
		t.Errorf("the outages are %+v", outages)
	}
}

// answers asks for a URL on a new connection.
func answers(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		return err
	}
	return response.Body.Close()
}
