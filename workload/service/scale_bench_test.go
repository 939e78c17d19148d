package service

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// BenchmarkThousandServices brings 1000 services with 5000 calls up in one
// process, sends each a request, and takes them down.
func BenchmarkThousandServices(b *testing.B) {
	const n, fanOut = 1000, 5
	for b.Loop() {
		began := time.Now()
		before := descriptors()
		listeners := make([]net.Listener, n)
		peers := map[string][]string{}
		for i := range n {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			listeners[i] = ln
			peers[name(i)] = []string{"http://" + ln.Addr().String()}
		}
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		for i, ln := range listeners {
			var steps []topology.Step
			for j := i * fanOut; j < i*fanOut+fanOut; j++ {
				steps = append(steps, topology.CallTo(name(n/2+j%(n/2))))
			}
			t := topology.NewService(name(i), steps...)
			if i >= n/2 {
				t = topology.NewService(name(i))
			}
			s, err := New(Config{System: "big", Service: t, Peers: peers})
			if err != nil {
				b.Fatal(err)
			}
			running.Go(func() {
				if err := s.Serve(ctx, ln); err != nil {
					b.Error(err)
				}
			})
		}
		for i := range n {
			for get(b, peers[name(i)][0]+"/readyz").status != 200 {
				runtime.Gosched()
			}
		}
		b.ReportMetric(time.Since(began).Seconds(), "s-up")
		for i := range n {
			if r := get(b, peers[name(i)][0]+"/"); r.status != 200 {
				b.Fatalf("%s answers %d %s", name(i), r.status, r.body)
			}
		}
		b.ReportMetric(residentMB(), "MB-RSS")
		b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
		began = time.Now()
		cancel()
		running.Wait()
		b.ReportMetric(time.Since(began).Seconds(), "s-down")
		b.ReportMetric(float64(descriptors()-before), "fds-left")
	}
}

func name(i int) string { return fmt.Sprintf("service-%d", i) }

// descriptors counts the open files of the process, on Linux.
func descriptors() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

// residentMB is the process's resident memory, on Linux.
func residentMB() float64 {
	data, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(data)) {
		var kb float64
		if _, err := fmt.Sscanf(line, "VmRSS: %f kB", &kb); err == nil {
			return kb / 1024
		}
	}
	return 0
}
