package gate_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/testenv/peer"
	"github.com/microsim-dev/kubectl-microsim/netfault/gate"
)

// copyLoop is the plainest proxy, to compare with.
func copyLoop(b *testing.B, upstream string) string {
	return peer.Serve(b, func(c *net.TCPConn) {
		s, err := net.Dial("tcp", upstream)
		if err != nil {
			return
		}
		var both sync.WaitGroup
		for _, way := range [][2]net.Conn{{c, s}, {s, c}} {
			both.Go(func() {
				buf := make([]byte, 32<<10)
				// The wrappers hide splice.
				io.CopyBuffer(struct{ io.Writer }{way[1]}, struct{ io.Reader }{way[0]}, buf)
				way[1].(*net.TCPConn).CloseWrite()
			})
		}
		both.Wait()
		s.Close()
	})
}

func benchGate(b *testing.B, upstream string, conditions ...gate.Condition) *gate.Gate {
	b.Helper()
	g, err := gate.Start(context.Background(), gate.Config{Listen: "127.0.0.1:0", Upstream: upstream})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { g.Close() })
	if _, err := g.ToServer().Set(conditions...); err != nil {
		b.Fatal(err)
	}
	return g
}

// A path is a way to a server.
type path struct {
	name    string
	address string
}

// paths are direct, through a copy loop, through an idle gate, and through one with a condition.
func paths(b *testing.B, upstream string) []path {
	return []path{
		{"direct", upstream},
		{"copy-loop", copyLoop(b, upstream)},
		{"gate-idle", benchGate(b, upstream).Addr()},
		{"gate-condition", benchGate(b, upstream, gate.Delay{By: time.Millisecond}).Addr()},
	}
}

// ratios measures each path in turn, in small rounds so that a busy machine is
// fair to all, and reports medians relative to the first. measure returns a
// number of which more is better.
func ratios(b *testing.B, paths []path, unit string, measure func(address string) float64) {
	values := make([][]float64, len(paths))
	for b.Loop() {
		for i, p := range paths {
			values[i] = append(values[i], measure(p.address))
		}
	}
	for i := range values {
		slices.Sort(values[i])
	}
	first := values[0][len(values[0])/2]
	for i, p := range paths {
		m := values[i][len(values[i])/2]
		b.ReportMetric(m, p.name+"-"+unit)
		if i > 0 {
			b.ReportMetric(m/first, p.name+"/direct")
		}
	}
}

// BenchmarkRequests is request after request on 32 connections.
func BenchmarkRequests(b *testing.B) {
	upstream := peer.Serve(b, func(c *net.TCPConn) { io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}) })
	all := paths(b, upstream)
	ratios(b, all[:3], "req/s", func(address string) float64 {
		var work sync.WaitGroup
		const clients, each = 32, 100
		start := time.Now()
		for range clients {
			work.Go(func() {
				c, err := net.Dial("tcp", address)
				if err != nil {
					b.Error(err)
					return
				}
				defer c.Close()
				buf := make([]byte, 100)
				for range each {
					if _, err := c.Write(buf); err != nil {
						b.Error(err)
						return
					}
					if _, err := io.ReadFull(c, buf); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		work.Wait()
		return clients * each / time.Since(start).Seconds()
	})
}

// BenchmarkBulk is 256 MB in one go, to the server.
func BenchmarkBulk(b *testing.B) {
	const size = 256 << 20
	upstream := peer.Serve(b, func(c *net.TCPConn) {
		buf := make([]byte, 256<<10)
		for got := 0; got < size; {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			got += n
		}
		c.Write([]byte{1})
	})
	data := make([]byte, 1<<20)
	ratios(b, paths(b, upstream), "Gbit/s", func(address string) float64 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		start := time.Now()
		for range size / len(data) {
			if _, err := c.Write(data); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := io.ReadFull(c, data[:1]); err != nil {
			b.Fatal(err)
		}
		return size * 8 / time.Since(start).Seconds() / 1e9
	})
}

// BenchmarkAddedLatency is one round trip at a time.
func BenchmarkAddedLatency(b *testing.B) {
	upstream := peer.Serve(b, func(c *net.TCPConn) { io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}) })
	p50 := map[string]float64{}
	all := paths(b, upstream)[:3]
	took := map[string][]float64{}
	conns := map[string]net.Conn{}
	for _, p := range all {
		c, err := net.Dial("tcp", p.address)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		conns[p.name] = c
	}
	buf := make([]byte, 10)
	for b.Loop() {
		for _, p := range all {
			start := time.Now()
			conns[p.name].Write(buf)
			if _, err := io.ReadFull(conns[p.name], buf); err != nil {
				b.Fatal(err)
			}
			took[p.name] = append(took[p.name], float64(time.Since(start).Nanoseconds())/1e3)
		}
	}
	for _, p := range all {
		slices.Sort(took[p.name])
		p50[p.name] = took[p.name][len(took[p.name])/2]
		b.ReportMetric(p50[p.name]-p50["direct"], p.name+"-added-p50-us")
	}
}

// BenchmarkDelayPrecision sends 2000 messages a second through 100 ms.
func BenchmarkDelayPrecision(b *testing.B) {
	const by, rate = 100 * time.Millisecond, 2000
	errors := make(chan float64, rate*10)
	upstream := peer.Serve(b, func(c *net.TCPConn) {
		var sent [8]byte
		for {
			if _, err := io.ReadFull(c, sent[:]); err != nil {
				return
			}
			took := time.Now().UnixNano() - int64(binary.BigEndian.Uint64(sent[:]))
			select {
			case errors <- float64(took)/1e6 - by.Seconds()*1e3:
			default:
			}
		}
	})
	g := benchGate(b, upstream, gate.Delay{By: by})
	c, err := net.Dial("tcp", g.Addr())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	var all []float64
	for b.Loop() {
		start := time.Now()
		for i := range rate {
			time.Sleep(time.Until(start.Add(time.Duration(i) * time.Second / rate)))
			var now [8]byte
			binary.BigEndian.PutUint64(now[:], uint64(time.Now().UnixNano()))
			if _, err := c.Write(now[:]); err != nil {
				b.Fatal(err)
			}
		}
		for range rate {
			all = append(all, <-errors)
		}
	}
	slices.Sort(all)
	b.ReportMetric(all[len(all)/2], "p50-error-ms")
	b.ReportMetric(all[len(all)*99/100], "p99-error-ms")
	b.ReportMetric(all[0], "least-error-ms")
}

// BenchmarkBandwidth reports how far off the rate is, in percent, from 10 kB/s to 100 MB/s.
func BenchmarkBandwidth(b *testing.B) {
	for _, rate := range []int64{10e3, 100e3, 1e6, 10e6, 100e6} {
		b.Run(fmt.Sprintf("%dkBps", rate/1000), func(b *testing.B) {
			arrived := make(chan time.Duration, 1)
			size := rate // a second's worth after the burst
			upstream := peer.Serve(b, func(c *net.TCPConn) {
				start := time.Now()
				io.CopyN(io.Discard, c, size)
				arrived <- time.Since(start)
			})
			g := benchGate(b, upstream)
			data := make([]byte, size)
			var off []float64
			for b.Loop() {
				if _, err := g.ToServer().Set(gate.Bandwidth{Rate: rate, Burst: 1}); err != nil {
					b.Fatal(err)
				}
				c, err := net.Dial("tcp", g.Addr())
				if err != nil {
					b.Fatal(err)
				}
				c.Write(data)
				took := <-arrived
				c.Close()
				off = append(off, 100*(float64(size)/took.Seconds()/float64(rate)-1))
			}
			slices.Sort(off)
			b.ReportMetric(off[0], "min-off-%")
			b.ReportMetric(off[len(off)-1], "max-off-%")
		})
	}
}

// BenchmarkIdleConnections reports what idle connections cost in memory. Both
// ends of each are in this process, too, so their cost is measured first.
func BenchmarkIdleConnections(b *testing.B) {
	const n = 2000
	for _, p := range []struct {
		name       string
		conditions []gate.Condition
	}{{"idle", nil}, {"condition", []gate.Condition{gate.Delay{By: time.Millisecond}}}} {
		b.Run(p.name, func(b *testing.B) {
			upstream := peer.Serve(b, func(c *net.TCPConn) { io.Copy(io.Discard, struct{ io.Reader }{c}) })
			g := benchGate(b, upstream, p.conditions...)
			hold := func(address string) (kb float64) {
				before := rss(b)
				conns := make([]net.Conn, n)
				for i := range conns {
					c, err := net.Dial("tcp", address)
					if err != nil {
						b.Fatal(err)
					}
					conns[i] = c
					c.Write([]byte("x"))
				}
				after := rss(b)
				for _, c := range conns {
					c.Close()
				}
				return (after - before) / n
			}
			for b.Loop() {
				direct := hold(upstream)
				b.ReportMetric(hold(g.Addr())-direct, "kB/connection")
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				if err := g.WaitForNoConnections(ctx); err != nil {
					b.Fatal(err)
				}
				cancel()
			}
		})
	}
}

// rss returns the resident set of this process in kB.
func rss(b *testing.B) float64 {
	var pages, resident float64
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip("the memory of a process is read from /proc, which is not there")
	}
	fmt.Sscan(string(text), &pages, &resident)
	return resident * float64(os.Getpagesize()) / 1000
}
