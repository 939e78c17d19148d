package service

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/http1"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// The comparison is fair in this way: each side runs in a process of its own
// with the same number of processors (this test's program, started again), gets
// the same wrk for the same time, and the sides take turns, so that whatever
// else the machine does hits both. The figure is the median of the rounds'
// ratios. The processor time per request of both processes is told beside it: on
// a machine that does other things, too, it says more than the rate. The
// hand-written side is the net/http handler that one would write
// for the same body, its client with as many idle connections as ours.

const (
	serveEnv  = "MICROSIM_BENCH_SERVE"
	wrkRounds = 5
	wrkTime   = "3s"
	chainHops = 5
)

func BenchmarkLeafAgainstNetHTTP(b *testing.B)  { compare(b, "bare-1", "ours-1") }
func BenchmarkChainAgainstNetHTTP(b *testing.B) { compare(b, "bare-5", "ours-5") }

// BenchmarkLeafTraced and BenchmarkChainTraced are what the traces of 1 % of the
// requests cost, beside the same services without.
func BenchmarkLeafTraced(b *testing.B)  { compare(b, "ours-1", "traced-1") }
func BenchmarkChainTraced(b *testing.B) { compare(b, "ours-5", "traced-5") }

// compare reports requests per second of both sides and their ratio.
func compare(b *testing.B, theirs, ours string) {
	wrk, err := exec.LookPath("wrk")
	if err != nil {
		b.Fatalf("wrk is needed for this comparison: %v; install it (apt-get install wrk)", err)
	}
	theirURL, theirPID := serveInProcess(b, theirs)
	ourURL, ourPID := serveInProcess(b, ours)
	for _, url := range []string{theirURL, ourURL} {
		if r := get(b, url); r.status != 200 || r.body != emptyPayload {
			b.Fatalf("%s answers %d %q", url, r.status, r.body)
		}
		runWrk(b, wrk, url, "1s")
	}
	var their, our, ratios, cpu []float64
	seconds, _ := strconv.ParseFloat(strings.TrimSuffix(wrkTime, "s"), 64)
	for b.Loop() {
		for range wrkRounds {
			began := cpuSeconds(theirPID)
			t := runWrk(b, wrk, theirURL, wrkTime)
			theirCPU := (cpuSeconds(theirPID) - began) / (t * seconds)
			began = cpuSeconds(ourPID)
			o := runWrk(b, wrk, ourURL, wrkTime)
			ourCPU := (cpuSeconds(ourPID) - began) / (o * seconds)
			their, our, ratios, cpu = append(their, t), append(our, o), append(ratios, o/t), append(cpu, theirCPU/ourCPU)
		}
	}
	b.ReportMetric(median(their), "theirs/s")
	b.ReportMetric(median(our), "ours/s")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(median(cpu), "cpu-ratio")
}

// cpuSeconds is the processor time that a process has used, on Linux, where a
// tick is 10 ms (proc_pid_stat(5)).
func cpuSeconds(pid int) float64 {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

func runWrk(b *testing.B, wrk, url, duration string) float64 {
	b.Helper()
	out, err := exec.Command(wrk, "-t1", "-c32", "-d"+duration, url).CombinedOutput()
	if err != nil {
		b.Fatalf("wrk: %v\n%s", err, out)
	}
	if regexp.MustCompile(`Socket errors|Non-2xx`).Match(out) {
		b.Fatalf("wrk saw errors:\n%s", out)
	}
	m := regexp.MustCompile(`Requests/sec:\s+([\d.]+)`).FindSubmatch(out)
	if m == nil {
		b.Fatalf("wrk printed no rate:\n%s", out)
	}
	rate, _ := strconv.ParseFloat(string(m[1]), 64)
	return rate
}

// serveInProcess starts this program again to serve one side.
func serveInProcess(b *testing.B, what string) (url string, pid int) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveEnv+"="+what)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return line[:len(line)-1], cmd.Process.Pid
}

// serveForBenchmark is the other process: it serves until stdin ends.
func serveForBenchmark(what string) error {
	ctx, cancel := context.WithCancel(context.Background())
	var url string
	var err error
	switch what {
	case "bare-1":
		url, err = bareHops(1)
	case "bare-5":
		url, err = bareHops(chainHops)
	case "ours-1":
		url, err = ourHops(ctx, 1, 0)
	case "ours-5":
		url, err = ourHops(ctx, chainHops, 0)
	case "traced-1":
		url, err = ourHops(ctx, 1, 0.01)
	case "traced-5":
		url, err = ourHops(ctx, chainHops, 0.01)
	default:
		err = fmt.Errorf("nothing is known of %q", what)
	}
	if err == nil {
		fmt.Println(url)
		_, err = io.Copy(io.Discard, os.Stdin)
	}
	cancel()
	return err
}

// bareHops is written by hand: n handlers, each calling the next.
func bareHops(n int) (url string, err error) {
	body := []byte(emptyPayload)
	for range n {
		next := url
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: http1.MaxIdle}}
		handler := func(w http.ResponseWriter, r *http.Request) {
			if next != "" {
				response, err := client.Get(next)
				if err != nil {
					http.Error(w, err.Error(), http.StatusBadGateway)
					return
				}
				_, err = io.Copy(io.Discard, response.Body)
				response.Body.Close()
				if err != nil {
					http.Error(w, err.Error(), http.StatusBadGateway)
					return
				}
			}
			w.Header().Set("Content-Type", "application/json")
			w.Write(body)
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		go http.Serve(ln, http.HandlerFunc(handler))
		url = "http://" + ln.Addr().String() + "/"
	}
	return url, nil
}

func ourHops(ctx context.Context, n int, traces float64) (url string, err error) {
	peers := map[string][]string{}
	for i := range n {
		t := topology.NewService(fmt.Sprintf("hop-%d", i))
		if i > 0 {
			t = topology.NewService(t.Name, topology.CallTo(fmt.Sprintf("hop-%d", i-1)))
		}
		s, err := New(Config{System: "bench", Service: t, Peers: peers, TraceSample: traces})
		if err != nil {
			return "", err
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		go s.Serve(ctx, ln)
		url = "http://" + ln.Addr().String()
		peers[t.Name] = []string{url}
	}
	time.Sleep(10 * time.Millisecond)
	return url + "/", nil
}

// BenchmarkHandler is what the service adds to a request, without the network.
func BenchmarkHandler(b *testing.B) { benchmarkHandler(b, 0) }

// BenchmarkHandlerTraced is the same with the traces of 1 % of the requests.
func BenchmarkHandlerTraced(b *testing.B) { benchmarkHandler(b, 0.01) }

func benchmarkHandler(b *testing.B, traces float64) {
	s, err := New(Config{System: "bench", Service: topology.NewService("leaf"), TraceSample: traces})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	r, _ := http.NewRequest("GET", "/", nil)
	w := &nullWriter{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		s.serveHTTP(w, r)
	}
}

type nullWriter struct{ header http.Header }

func (w *nullWriter) Header() http.Header         { return w.header }
func (w *nullWriter) Write(b []byte) (int, error) { return len(b), nil }
func (w *nullWriter) WriteHeader(int)             {}
