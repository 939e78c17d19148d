package loadgen

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

const serveEnv = "LOADGEN_TEST_SERVE"

// TestServeForBenchmarks is the server of the benchmarks, in a process of its
// own; as a test it does nothing.
func TestServeForBenchmarks(t *testing.T) {
	if os.Getenv(serveEnv) == "" {
		t.Skip("serves the benchmarks only")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("listening on", l.Addr())
	body := []byte(`{"service":"leaf","address":"/","errors":[],"response":[]}`)
	t.Fatal(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(body)
	})))
}

// serveApart starts a bare server in another process.
func serveApart(b *testing.B) (url string) {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestServeForBenchmarks$")
	cmd.Env = append(os.Environ(), serveEnv+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if addr, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
			return "http://" + addr + "/"
		}
	}
	b.Fatal("the server said no address")
	return ""
}

// wrk returns the requests per second of wrk with one thread and 32 connections.
func wrk(b *testing.B, url string, d time.Duration, args ...string) float64 {
	b.Helper()
	args = append([]string{"-t1", "-c32", "-d" + strconv.Itoa(int(d.Seconds())) + "s"}, append(args, url)...)
	out, err := exec.Command("wrk", args...).CombinedOutput()
	if err != nil {
		b.Fatalf("wrk %q: %v\n%s", args, err, out)
	}
	for line := range strings.Lines(string(out)) {
		if text, ok := strings.CutPrefix(line, "Requests/sec:"); ok {
			rps, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				b.Fatal(err)
			}
			return rps
		}
	}
	b.Fatalf("wrk says no rate:\n%s", out)
	return 0
}

func generate(tb testing.TB, generator *Generator, url string, phase load.Phase) *result.LoadReport {
	tb.Helper()
	profile := load.Profile{Requests: []load.Request{{URL: url}}, Phases: []load.Phase{phase}}
	report, err := generator.Load(context.Background(), profile, runner.LoadTarget{}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return report
}

// alone is a generator in a process of its own, as the command line uses it.
func alone() *Generator { return &Generator{Processors: max(runtime.NumCPU()/2, 1)} }

func median(values []float64) float64 {
	return stats.Quantile(slices.Sorted(slices.Values(values)), 0.5)
}

// BenchmarkClosedLoopAgainstWrk compares the rate of 32 users who do not think
// with wrk's on the same server, in alternating runs. The ratio is to wrk
// sending the same header, the plain one to wrk sending none of its own.
func BenchmarkClosedLoopAgainstWrk(b *testing.B) {
	if _, err := exec.LookPath("wrk"); err != nil {
		b.Skip("wrk is not installed")
	}
	url := serveApart(b)
	const d = time.Second
	var ours, same, plain, ratio, ratioPlain []float64
	for range 5 {
		plain = append(plain, wrk(b, url, d))
		o := generate(b, alone(), url, load.Phase{Duration: unit.Duration(d), Users: 32}).Total
		if o.Outcomes["ok"] != o.Sent {
			b.Fatalf("outcomes are %v", o.Outcomes)
		}
		ours = append(ours, o.Rate)
		same = append(same, wrk(b, url, d, "-H", "X-Request-ID: "+load.RequestID(0)))
		ratio = append(ratio, o.Rate/same[len(same)-1])
		ratioPlain = append(ratioPlain, o.Rate/plain[len(plain)-1])
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(ours), "requests/s")
	b.ReportMetric(median(same), "wrk-same-header/s")
	b.ReportMetric(median(plain), "wrk-plain/s")
	b.ReportMetric(median(ratio), "ratio-same-header")
	b.ReportMetric(median(ratioPlain), "ratio-plain")
}

// BenchmarkOpenLoopLateness tells by how much sends are later than due.
func BenchmarkOpenLoopLateness(b *testing.B) {
	url := serveApart(b)
	for _, arrivals := range []load.Arrivals{load.Constant, load.Poisson} {
		b.Run(string(arrivals), func(b *testing.B) {
			reportLateness(b, lateness(b, url, arrivals))
		})
	}
}

// lateness returns, ascending and in µs, by how much each of 5000 sends a second
// was late.
func lateness(b *testing.B, url string, arrivals load.Arrivals) []float64 {
	var late []float64
	outcomes := make(chan measure.Outcome, 1<<16)
	profile := load.Profile{
		Requests: []load.Request{{URL: url}},
		Phases:   []load.Phase{{Duration: unit.Duration(5 * time.Second), Rate: 5000, Arrivals: arrivals}},
	}
	_, err := alone().Load(context.Background(), profile, runner.LoadTarget{}, func(o measure.Outcome) { outcomes <- o })
	if err != nil {
		b.Fatal(err)
	}
	close(outcomes)
	for o := range outcomes {
		late = append(late, float64(o.Late.Nanoseconds())/1e3)
	}
	slices.Sort(late)
	return late
}

// BenchmarkBareSleepLateness is what the machine allows: the same waiting, with
// nothing sent. Where other programs keep the processors busy, it shows.
func BenchmarkBareSleepLateness(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var late []float64
	alone := make(chan struct{}, 1)
	start := time.Now()
	for i := range 15000 {
		due := start.Add(time.Duration(i) * 200 * time.Microsecond)
		waitUntil(context.Background(), due, nil, alone)
		late = append(late, float64(time.Since(due).Nanoseconds())/1e3)
	}
	slices.Sort(late)
	reportLateness(b, late)
}

func reportLateness(b *testing.B, late []float64) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(stats.Quantile(late, 0.5), "p50-µs")
	b.ReportMetric(stats.Quantile(late, 0.99), "p99-µs")
	b.ReportMetric(stats.Quantile(late, 0.999), "p99.9-µs")
	b.ReportMetric(late[len(late)-1], "max-µs")
	in, _ := slices.BinarySearch(late, 1000)
	b.ReportMetric(100*float64(in)/float64(len(late)), "%within1ms")
}
