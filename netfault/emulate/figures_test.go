//go:build root && linux

package emulate

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault"
	"github.com/microsim-dev/kubectl-microsim/netfault/netfaulttest"
)

// The figures of this package, each a benchmark to run once:
//
//	go test -tags root -run '^$' -bench Figure -benchtime 1x ./netfault/emulate
//
// The emulation runs in a process of its own; cpu-% is what its packet thread
// used of one processor.

func stateOf(direction netfault.Direction, i netfault.Impairment) netfault.State {
	return netfault.State{Owner: "figures", Rules: []netfault.Rule{{ID: "r", Interface: netfaulttest.Interface, Direction: direction, Impairment: i}}}
}

// figure measures while a helper emulates.
func figure(b *testing.B, direction netfault.Direction, i netfault.Impairment, measure func(lab *netfaulttest.Lab)) {
	lab := netfaulttest.NewLab(b)
	h := startHelper(b, lab.Near)
	h.apply(stateOf(direction, i))
	start := time.Now()
	for b.Loop() {
		measure(lab)
	}
	spent := time.Since(start)
	s := h.stop()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(100*float64(s.CPU)/float64(spent), "cpu-%")
	c := s.Classes[0]
	b.ReportMetric(float64(c.Counts.LateQuantile(.99).Microseconds()), "late-p99-us")
	if c.Counts.Overruns+c.Counts.Stale+c.Counts.NotCopied+c.Decided.Overlimit > 0 || c.Held > 0 {
		b.Logf("%+v %+v held %d", c.Counts, c.Decided, c.Held)
	}
}

func run(b *testing.B, lab *netfaulttest.Lab, f netfaulttest.Flow) netfaulttest.Measured {
	b.Helper()
	m, err := lab.Run(f)
	if err != nil {
		b.Fatal(err)
	}
	return m
}

func BenchmarkFigureDelay(b *testing.B) {
	for _, direction := range []netfault.Direction{netfault.Egress, netfault.Ingress} {
		b.Run(string(direction), func(b *testing.B) {
			const delay = 100 * time.Millisecond
			figure(b, direction, netfault.Impairment{Delay: delay}, func(lab *netfaulttest.Lab) {
				m := run(b, lab, netfaulttest.Flow{Direction: direction, Count: 15_000, Interval: 200 * time.Microsecond})
				b.ReportMetric(float64((m.Quantile(.5) - delay).Microseconds()), "error-p50-us")
				b.ReportMetric(float64((m.Quantile(.99) - delay).Microseconds()), "error-p99-us")
				b.ReportMetric(float64(m.Lost()), "lost")
			})
		})
	}
}

func BenchmarkFigureLoss(b *testing.B) {
	for _, p := range []float64{.01, .1, .5} {
		b.Run(fmt.Sprint(p), func(b *testing.B) {
			figure(b, netfault.Egress, netfault.Impairment{Loss: netfault.Loss{Probability: p}}, func(lab *netfaulttest.Lab) {
				m := run(b, lab, netfaulttest.Flow{Direction: netfault.Egress, Count: 40_000, Interval: 25 * time.Microsecond})
				b.ReportMetric(100*float64(m.Lost())/float64(m.Sent), "lost-%")
			})
		})
	}
}

func BenchmarkFigureRate(b *testing.B) {
	for _, bits := range []uint64{64_000, 1_000_000, 20_000_000, 100_000_000, 200_000_000} {
		b.Run(fmt.Sprintf("%dkbit", bits/1000), func(b *testing.B) {
			size := 1400
			if bits < 1_000_000 {
				size = 150
			}
			count := max(40, int(3*bits/8)/(size+42))
			i := netfault.Impairment{Rate: netfault.Rate{BytesPerSecond: bits / 8}, Limit: uint32(count) + 10}
			figure(b, netfault.Egress, i, func(lab *netfaulttest.Lab) {
				m := run(b, lab, netfaulttest.Flow{Direction: netfault.Egress, Count: count, Size: size, Wait: 4 * time.Second})
				b.ReportMetric(100*m.Rate()*8/float64(bits), "of-rate-%")
				b.ReportMetric(float64(m.Lost()), "lost")
			})
		})
	}
}

// BenchmarkFigureTCPRate tells what a bulk transfer gets of a rate.
func BenchmarkFigureTCPRate(b *testing.B) {
	for _, direction := range []netfault.Direction{netfault.Egress, netfault.Ingress} {
		for _, bits := range []uint64{1_000_000, 20_000_000, 200_000_000} {
			b.Run(fmt.Sprintf("%s/%dkbit", direction, bits/1000), func(b *testing.B) {
				figure(b, direction, netfault.Impairment{Rate: netfault.Rate{BytesPerSecond: bits / 8}}, func(lab *netfaulttest.Lab) {
					b.ReportMetric(100*bulk(b, lab, direction, 4*time.Second)*8/float64(bits), "goodput-%")
				})
			})
		}
	}
}

func BenchmarkFigureBulk(b *testing.B) {
	for _, direction := range []netfault.Direction{netfault.Egress, netfault.Ingress} {
		for _, delay := range []time.Duration{10 * time.Millisecond, 100 * time.Millisecond} {
			b.Run(fmt.Sprintf("%s/%v", direction, delay), func(b *testing.B) {
				figure(b, direction, netfault.Impairment{Delay: delay}, func(lab *netfaulttest.Lab) {
					b.ReportMetric(bulk(b, lab, direction, 4*time.Second)*8/1e6, "Mbit/s")
				})
			})
		}
		b.Run(string(direction)+"/frames", func(b *testing.B) {
			// A loss that never happens, so that frames are decided about one by one.
			i := netfault.Impairment{Delay: 10 * time.Millisecond, Loss: netfault.Loss{Probability: 1e-9}}
			figure(b, direction, i, func(lab *netfaulttest.Lab) {
				b.ReportMetric(bulk(b, lab, direction, 4*time.Second)*8/1e6, "Mbit/s")
			})
		})
	}
}

func BenchmarkFigurePackets(b *testing.B) {
	for _, direction := range []netfault.Direction{netfault.Egress, netfault.Ingress} {
		b.Run(string(direction), func(b *testing.B) {
			figure(b, direction, netfault.Impairment{Delay: 10 * time.Millisecond}, func(lab *netfaulttest.Lab) {
				m := run(b, lab, netfaulttest.Flow{Direction: direction, Count: 200_000, Interval: 16 * time.Microsecond})
				first, last := m.Arrivals[0].At, m.Arrivals[len(m.Arrivals)-1].At
				b.ReportMetric(float64(len(m.Arrivals))/(last-first).Seconds(), "packets/s")
				b.ReportMetric(float64(m.Lost()), "lost")
				b.ReportMetric(float64((m.Quantile(.99) - 10*time.Millisecond).Microseconds()), "error-p99-us")
			})
		})
	}
}

// bulk sends for a while by TCP and returns the bytes per second that arrived
// in the second half.
func bulk(b testing.TB, lab *netfaulttest.Lab, direction netfault.Direction, d time.Duration) float64 {
	b.Helper()
	from, to := lab.Near, lab.Far
	if direction == netfault.Ingress {
		from, to = to, from
	}
	var listener *net.TCPListener
	var sender *net.TCPConn
	err := to.Do(func() (err error) {
		listener, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(to.V4, 0)))
		return err
	})
	if err == nil {
		err = from.Do(func() (err error) {
			sender, err = net.DialTCP("tcp", nil, listener.Addr().(*net.TCPAddr))
			return err
		})
	}
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	receiver, err := listener.AcceptTCP()
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	var wg sync.WaitGroup
	wg.Go(func() {
		chunk := make([]byte, 256<<10)
		for time.Since(start) < d {
			_ = sender.SetWriteDeadline(start.Add(d)) // an error shows at the write
			if _, err := sender.Write(chunk); err != nil {
				if !errors.Is(err, os.ErrDeadlineExceeded) {
					b.Errorf("sending: %v", err)
				}
				return
			}
		}
	})
	bytes, warm, warmBytes := 0, time.Duration(0), 0
	buf := make([]byte, 256<<10)
	for {
		_ = receiver.SetReadDeadline(start.Add(d)) // as above
		n, err := receiver.Read(buf)
		bytes += n
		if at := time.Since(start); warm == 0 && at > d/2 {
			warm, warmBytes = at, bytes
		}
		if err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, io.EOF) {
				b.Errorf("receiving: %v", err)
			}
			break
		}
	}
	took := time.Since(start) - warm
	wg.Wait()
	_ = sender.SetLinger(0)
	_ = errors.Join(sender.Close(), receiver.Close()) // the measurement is done
	return float64(bytes-warmBytes) / took.Seconds()
}
