package localsim_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// manyServices is a system whose services each call the next few, without a
// cycle.
func manyServices(services, calls int) *topology.System {
	s := &topology.System{Name: "many"}
	for i := range services {
		var steps []topology.Step
		for j := range calls {
			if callee := i*calls + j + 1; callee < services {
				steps = append(steps, topology.CallTo(serviceName(callee)))
			} else if next := i + j + 1; next < services {
				step := topology.CallTo(serviceName(next))
				step.Call.Probability = 0.1
				steps = append(steps, step)
			}
		}
		s.Services = append(s.Services, topology.NewService(serviceName(i), steps...))
	}
	return s
}

func serviceName(i int) string { return fmt.Sprintf("service-%04d", i) }

// BenchmarkThousandServices starts and ends 1000 services with 5000 calls in
// this process.
func BenchmarkThousandServices(b *testing.B) {
	system := manyServices(1000, 5)
	var ready, closed time.Duration
	for b.Loop() {
		began := time.Now()
		d, err := newDeployer(b, inProcess("")).Up(b.Context(), system, 1)
		if err != nil {
			b.Fatal(err)
		}
		ready += time.Since(began)
		began = time.Now()
		if err := d.Close(context.Background()); err != nil {
			b.Fatal(err)
		}
		closed += time.Since(began)
	}
	b.ReportMetric(float64(len(system.Edges())), "edges")
	b.ReportMetric(ready.Seconds()/float64(b.N), "ready-s/op")
	b.ReportMetric(closed.Seconds()/float64(b.N), "close-s/op")
	b.ReportMetric(float64(peakMemory())/(1<<20), "peak-MiB")
}

// BenchmarkProcesses starts and ends 50 services in processes of their own.
func BenchmarkProcesses(b *testing.B) {
	system := manyServices(50, 3)
	for b.Loop() {
		d, err := newDeployer(b, processes("agent", "")).Up(b.Context(), system, 1)
		if err != nil {
			b.Fatal(err)
		}
		if err := d.Close(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// TestThousandServicesLeaveNothing is about what is left, not about speed.
func TestThousandServicesLeaveNothing(t *testing.T) {
	expectNoLeaks(t)
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors()
	began := time.Now()
	d := up(t, inProcess(""), manyServices(1000, 5))
	t.Logf("ready in %v with %d goroutines, %d descriptors, resident memory %d MiB at most",
		time.Since(began).Round(time.Millisecond), runtime.NumGoroutine()-goroutines, openDescriptors()-descriptors, peakMemory()>>20)
	began = time.Now()
	if err := d.Close(context.Background()); err != nil {
		t.Error(err)
	}
	t.Logf("closed in %v; left are %d goroutines and %d descriptors",
		time.Since(began).Round(time.Millisecond), runtime.NumGoroutine()-goroutines, openDescriptors()-descriptors)
}

// peakMemory is the greatest resident set of this process so far, in bytes,
// where the system tells it.
func peakMemory() int64 {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10
		}
	}
	return 0
}
