package netfaulttest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

// RunConnections measures faults by what applications use: TCP connections and
// pings through the link. It leaves out faults that the backend does not support;
// see [Run].
func RunConnections(t *testing.T, o Options) {
	const megabyte = 1_000_000
	rate := netfault.Impairment{Rate: netfault.Rate{BytesPerSecond: megabyte}}
	transfer := func(direction netfault.Direction, bytes int64, low, high time.Duration) func(*Lab) error {
		return func(l *Lab) error {
			took, err := l.Transfer(direction, false, bytes, 30*time.Second)
			if err != nil {
				return err
			}
			return between("the transfer took", took, low, high)
		}
	}
	for _, c := range []struct {
		name string
		rule netfault.Rule
		see  []func(*Lab) error
	}{
		// 4 to 6 % of the wire's bytes are headers.
		{"TCP at a rate, leaving", rule("r", netfault.Egress, rate), []func(*Lab) error{transfer(netfault.Egress, 2*megabyte, 1900*ms, 2600*ms)}},
		{"TCP at a rate, arriving", rule("r", netfault.Ingress, rate), []func(*Lab) error{transfer(netfault.Ingress, 2*megabyte, 1900*ms, 2600*ms)}},
		{"TCP with a delay", rule("r", netfault.Egress, netfault.Impairment{Delay: 50 * ms}), []func(*Lab) error{transfer(netfault.Egress, 1000, 100*ms, 300*ms)}},
		{"TCP with loss", rule("r", netfault.Both, netfault.Impairment{Loss: netfault.Loss{Probability: .02}}), []func(*Lab) error{transfer(netfault.Egress, megabyte, 0, 20*time.Second)}},
		{"TCP with corruption arrives whole", rule("r", netfault.Egress, netfault.Impairment{Corrupt: netfault.Chance{Probability: .02}}), []func(*Lab) error{transfer(netfault.Egress, megabyte, 0, 20*time.Second)}},
		{"TCP in a partition", rule("r", netfault.Ingress, netfault.Impairment{Partition: true}, "tcp:*"), []func(*Lab) error{noConnection, pings(false, 5), pings(true, 5)}},
		{"ping in a partition", rule("r", netfault.Egress, netfault.Impairment{Partition: true}, "icmp:*"), []func(*Lab) error{pings(false, 0), pings(true, 0), transfer(netfault.Egress, 1000, 0, time.Second)}},
		{"ping of one family in a partition", rule("r", netfault.Ingress, netfault.Impairment{Partition: true}, "icmp:fd77::/64"), []func(*Lab) error{pings(false, 5), pings(true, 0)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			state := netfault.State{Owner: Owner, Rules: []netfault.Rule{c.rule}}
			if !o.supported(t, state) {
				return // Run sees to it that it is refused
			}
			lab := NewLab(t)
			before := o.Snapshot(t, lab.Near)
			backend := o.New(t, lab.Near)
			if _, err := backend.Apply(t.Context(), state); err != nil {
				t.Fatalf("applying: %v", err)
			}
			o.clearAfter(t, lab, backend, before)
			for n, see := range c.see {
				try(t, fmt.Sprintf("what is seen, %d:", n+1), func() error { return see(lab) })
			}
		})
	}
}

// try repeats a measurement that a busy machine may spoil.
func try(t *testing.T, what string, measure func() error) {
	t.Helper()
	for n := 1; ; n++ {
		err := measure()
		if err == nil {
			return
		}
		if n == tries {
			t.Error(what, err)
			return
		}
		t.Log("again:", what, err)
	}
}

func noConnection(l *Lab) error {
	_, err := l.Transfer(netfault.Egress, false, 1, 300*ms)
	var timeout net.Error
	if err == nil {
		return errors.New("a connection came about")
	}
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		return fmt.Errorf("connecting did not time out: %w", err)
	}
	return nil
}

// pings sends five echo requests from Near to Far and wants so many answers.
func pings(v6 bool, want int) func(*Lab) error {
	return func(l *Lab) error {
		got, err := l.ping(v6, 5, 300*ms)
		if err != nil {
			return err
		}
		return between("the answers to five pings were", got, want, want)
	}
}

// ping sends echo requests and returns how many answers came within the wait.
func (l *Lab) ping(v6 bool, count int, wait time.Duration) (int, error) {
	network, request, reply := "ip4:icmp", byte(8), byte(0)
	if v6 {
		network, request, reply = "ip6:ipv6-icmp", 128, 129
	}
	var conn net.PacketConn
	err := l.Near.Do(func() (err error) {
		conn, err = net.ListenPacket(network, l.Near.Addr(v6).String())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("opening a socket for pings: %w", err)
	}
	defer func() { _ = conn.Close() }() // nothing is under way any more
	mark := []byte("microsim")
	for n := range count {
		message := append([]byte{request, 0, 0, 0, 0, 7, 0, byte(n)}, mark...)
		if !v6 { // the kernel fills in the checksum of IPv6
			binary.BigEndian.PutUint16(message[2:], checksum(message))
		}
		if _, err := conn.WriteTo(message, &net.IPAddr{IP: l.Far.Addr(v6).AsSlice()}); err != nil {
			return 0, fmt.Errorf("sending a ping: %w", err)
		}
	}
	if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return 0, err
	}
	buf := make([]byte, 1500)
	for answers := 0; ; {
		n, _, err := conn.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return answers, nil
		}
		if err != nil {
			return answers, err
		}
		if n >= 8 && buf[0] == reply && bytes.HasSuffix(buf[:n], mark) {
			if answers++; answers == count {
				return answers, nil
			}
		}
	}
}

// checksum is that of the Internet protocols (RFC 1071).
func checksum(b []byte) uint16 {
	var sum uint32
	for n := 0; n+1 < len(b); n += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[n:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
