package netfaulttest

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

// Flow is UDP packets through the link, one way, seen from Near: egress flows
// to Far, ingress comes from it.
type Flow struct {
	Direction netfault.Direction
	V6        bool
	// Ports of Far and of Near; zero is any free one.
	PeerPort, LocalPort uint16
	Count               int
	Interval            time.Duration // from one packet to the next; zero is as fast as it goes
	Size                int           // bytes of payload; zero is 100
	Wait                time.Duration // after the last packet; zero is 500 ms
	Brief               bool          // do not wait once every packet has arrived
	// Beside are flows of the same size that are sent at the same time; what is
	// measured is all of them together.
	Beside []Flow
}

// Arrival is one packet that came through.
type Arrival struct {
	Seq   int
	Delay time.Duration
	At    time.Duration // since the first packet was sent
}

// Measured is what came of a flow, in the order of arrival.
type Measured struct {
	Sent     int
	Wire     int // bytes of a packet on the wire, Ethernet header included
	Arrivals []Arrival
}

const headerSize = 16

// Run sends the flow, and those beside it, and returns what arrived.
func (l *Lab) Run(f Flow) (Measured, error) {
	if len(f.Beside) == 0 {
		return l.runOne(f)
	}
	return l.runTogether(append([]Flow{f}, f.Beside...))
}

func (l *Lab) runOne(f Flow) (Measured, error) {
	from, to := l.Near, l.Far
	fromPort, toPort := f.LocalPort, f.PeerPort
	if f.Direction == netfault.Ingress {
		from, to = to, from
		fromPort, toPort = toPort, fromPort
	}
	if f.Size == 0 {
		f.Size = 100
	}
	if f.Wait == 0 {
		f.Wait = 500 * time.Millisecond
	}
	receiver, err := to.udp(netip.AddrPortFrom(to.Addr(f.V6), toPort))
	if err != nil {
		return Measured{}, err
	}
	defer func() { _ = receiver.Close() }() // nothing is under way any more
	sender, err := from.udp(netip.AddrPortFrom(from.Addr(f.V6), fromPort))
	if err != nil {
		return Measured{}, err
	}
	defer func() { _ = sender.Close() }() // likewise

	m := Measured{Sent: f.Count, Wire: f.Size + 8 + 20 + 14}
	if f.V6 {
		m.Wire += 20
	}
	base := time.Now().Round(0) // by the wall clock, as the kernel's stamps are
	var wg sync.WaitGroup
	var receiveErr error
	wg.Go(func() { m.Arrivals, receiveErr = receive(receiver, base, f) })
	sendErr := send(sender, receiver.LocalAddr().(*net.UDPAddr).AddrPort(), f, base)
	deadlineErr := receiver.SetReadDeadline(time.Now().Add(f.Wait))
	wg.Wait()
	return m, errors.Join(sendErr, deadlineErr, receiveErr)
}

func (l *Lab) runTogether(flows []Flow) (Measured, error) {
	var wg sync.WaitGroup
	all := make([]Measured, len(flows))
	errs := make([]error, len(flows))
	for n, f := range flows {
		wg.Go(func() { all[n], errs[n] = l.runOne(f) })
	}
	wg.Wait()
	sum := Measured{Wire: all[0].Wire}
	for _, m := range all {
		for _, a := range m.Arrivals {
			a.Seq += sum.Sent
			sum.Arrivals = append(sum.Arrivals, a)
		}
		sum.Sent += m.Sent
	}
	slices.SortStableFunc(sum.Arrivals, func(a, b Arrival) int { return cmp.Compare(a.At, b.At) })
	return sum, errors.Join(errs...)
}

func (n *Node) udp(at netip.AddrPort) (*net.UDPConn, error) {
	var conn *net.UDPConn
	err := n.Do(func() error {
		var err error
		if conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at)); err != nil {
			return err
		}
		return prepare(conn)
	})
	return conn, err
}

func send(conn *net.UDPConn, to netip.AddrPort, f Flow, base time.Time) error {
	payload := make([]byte, max(f.Size, headerSize))
	for n := range f.Count {
		if wait := time.Duration(n)*f.Interval - time.Since(base); wait > 0 {
			time.Sleep(wait)
		}
		binary.BigEndian.PutUint64(payload, uint64(n))
		binary.BigEndian.PutUint64(payload[8:], uint64(time.Since(base)))
		if _, err := conn.WriteToUDPAddrPort(payload, to); err != nil {
			return fmt.Errorf("sending packet %d: %w", n, err)
		}
	}
	return nil
}

// prepare gives the socket buffers that hold more than any flow of the table
// has under way, and has the kernel note when each packet comes to the
// interface: on a busy machine the reader may run much later. The note is of use
// only where nothing delays packets between the interface and the reader.
func prepare(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var sockErr error
	err = raw.Control(func(fd uintptr) {
		for option, value := range map[int]int{unix.SO_RCVBUFFORCE: 64 << 20, unix.SO_SNDBUFFORCE: 8 << 20, unix.SO_TIMESTAMPNS: 1} {
			sockErr = errors.Join(sockErr, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, value))
		}
	})
	return errors.Join(err, sockErr)
}

// arrivalStamp reads the kernel's note.
func arrivalStamp(control []byte) (time.Time, error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the arrival time: %w", err)
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16 {
			return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:]))), nil
		}
	}
	return time.Time{}, errors.New("the kernel gave no arrival time")
}

func receive(conn *net.UDPConn, base time.Time, f Flow) ([]Arrival, error) {
	most := 4 * f.Count
	if f.Brief {
		most = f.Count
	}
	var out []Arrival
	buf, control := make([]byte, 65536), make([]byte, 256)
	for len(out) < most {
		n, oob, _, _, err := conn.ReadMsgUDPAddrPort(buf, control)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return out, nil
		}
		if err != nil {
			return out, fmt.Errorf("receiving: %w", err)
		}
		if n < headerSize {
			continue
		}
		now := time.Since(base)
		if f.Direction == netfault.Egress {
			at, err := arrivalStamp(control[:oob])
			if err != nil {
				return out, err
			}
			now = at.Sub(base)
		}
		out = append(out, Arrival{
			Seq:   int(binary.BigEndian.Uint64(buf)),
			Delay: now - time.Duration(binary.BigEndian.Uint64(buf[8:])),
			At:    now,
		})
	}
	if f.Brief {
		return out, nil
	}
	return out, fmt.Errorf("more than %d packets arrived", most)
}

// Distinct returns how many different packets arrived.
func (m Measured) Distinct() int {
	seen := map[int]bool{}
	for _, a := range m.Arrivals {
		seen[a.Seq] = true
	}
	return len(seen)
}

// Lost returns how many packets never arrived.
func (m Measured) Lost() int { return m.Sent - m.Distinct() }

// Duplicates returns how many arrivals were copies.
func (m Measured) Duplicates() int { return len(m.Arrivals) - m.Distinct() }

// Overtaken returns how many packets arrived after one that was sent later.
func (m Measured) Overtaken() int {
	highest, n := -1, 0
	for _, a := range m.Arrivals {
		if a.Seq < highest {
			n++
		}
		highest = max(highest, a.Seq)
	}
	return n
}

// Quantile returns the delay that a share u of the arrivals stayed below.
func (m Measured) Quantile(u float64) time.Duration {
	if len(m.Arrivals) == 0 {
		return 0
	}
	delays := make([]time.Duration, 0, len(m.Arrivals))
	for _, a := range m.Arrivals {
		delays = append(delays, a.Delay)
	}
	slices.Sort(delays)
	return delays[min(int(u*float64(len(delays))), len(delays)-1)]
}

// Share returns the share of arrivals with a delay in [low, high).
func (m Measured) Share(low, high time.Duration) float64 {
	n := 0
	for _, a := range m.Arrivals {
		if low <= a.Delay && a.Delay < high {
			n++
		}
	}
	return float64(n) / float64(max(len(m.Arrivals), 1))
}

// Rate returns the speed of the link in bytes a second once it is busy: the
// first fifth of the arrivals is left out, since links let a short burst pass.
func (m Measured) Rate() float64 {
	steady := m.Arrivals[len(m.Arrivals)/5:]
	if len(steady) < 2 {
		return 0
	}
	span := steady[len(steady)-1].At - steady[0].At
	return float64((len(steady)-1)*m.Wire) / span.Seconds()
}

// MeanBurst returns the mean length of runs of lost packets.
func (m Measured) MeanBurst() float64 {
	arrived := make([]bool, m.Sent)
	for _, a := range m.Arrivals {
		arrived[a.Seq] = true
	}
	runs := 0
	for n, ok := range arrived {
		if !ok && (n == 0 || arrived[n-1]) {
			runs++
		}
	}
	return float64(m.Lost()) / float64(max(runs, 1))
}

// Transfer sends bytes over one TCP connection and returns how long it took
// until the receiver had all of them.
func (l *Lab) Transfer(direction netfault.Direction, v6 bool, bytes int64, limit time.Duration) (time.Duration, error) {
	from, to := l.Near, l.Far
	if direction == netfault.Ingress {
		from, to = to, from
	}
	var listener net.Listener
	err := to.Do(func() (err error) {
		listener, err = net.Listen("tcp", netip.AddrPortFrom(to.Addr(v6), 0).String())
		return err
	})
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	start := time.Now()
	var wg sync.WaitGroup
	var got int64
	var took time.Duration
	var receiveErr error
	wg.Go(func() {
		var conn net.Conn
		if conn, receiveErr = listener.Accept(); receiveErr != nil {
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(start.Add(limit))
		got, receiveErr = io.Copy(io.Discard, conn)
		took = time.Since(start)
	})
	sendErr := from.Do(func() error {
		conn, err := net.DialTimeout("tcp", listener.Addr().String(), limit)
		if err != nil {
			listener.Close() // ends Accept
			return err
		}
		defer conn.Close()
		_ = conn.SetDeadline(start.Add(limit))
		_, err = io.CopyN(conn, zeros{}, bytes)
		return err
	})
	wg.Wait()
	if err := errors.Join(sendErr, receiveErr); err != nil {
		return 0, err
	}
	if got != bytes {
		return 0, fmt.Errorf("%d of %d bytes arrived", got, bytes)
	}
	return took, nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
