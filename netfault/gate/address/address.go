// Package address reads the addresses of gates and their servers, and tells whether one
// leads to the other.
package address

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// An Address is "host:port" with its network, or the path of a Unix socket.
type Address struct{ network, host string }

// Network is tcp, udp or unix.
func (a Address) Network() string { return a.network }

// Host is "host:port", or the path.
func (a Address) Host() string { return a.host }

// Datagrams says whether the address is for datagrams, not for a stream.
func (a Address) Datagrams() bool { return a.network == "udp" }

// At is the address with the host and port of a listener on it.
func (a Address) At(listener net.Addr) Address { return Address{a.network, listener.String()} }

// String writes the address as Parse reads it.
func (a Address) String() string {
	if a.network == "tcp" {
		return a.host
	}
	return a.network + ":" + a.host
}

// AnyPort is where a gate listens if it is not told: a free port that other
// machines do not reach.
const AnyPort = "127.0.0.1:0"

// A Role is what an address is for.
type Role string

// The roles of addresses.
const (
	Listening Role = "listening"
	Upstream  Role = "upstream"
)

// Parse reads an address, written as "host:port" (TCP), "udp:host:port" or "unix:/path".
func Parse(role Role, s string) (Address, error) {
	a := Address{"tcp", s}
	for _, network := range []string{"tcp", "udp", "unix"} {
		if rest, ok := strings.CutPrefix(s, network+":"); ok {
			a = Address{network, rest}
			break
		}
	}
	if err := a.check(role); err != nil {
		return a, fmt.Errorf("making a gate: %s address %q: %w", role, problem.CleanURL(s), err)
	}
	return a, nil
}

func (a Address) check(role Role) error {
	const want = `write host:port, as in "127.0.0.1:5432", udp:host:port or unix:/path`
	if a.network == "unix" {
		if a.host == "" {
			return errors.New("the path is missing; " + want)
		}
		return nil
	}
	_, port, err := net.SplitHostPort(a.host)
	if err != nil {
		var reason *net.AddrError
		if errors.As(err, &reason) {
			return fmt.Errorf("%s; %s", reason.Err, want)
		}
		return fmt.Errorf("%w; %s", err, want)
	}
	n, err := net.LookupPort(a.network, port) //nolint:noctx // it reads this machine's list of services, and asks no server
	if err == nil && n == 0 && role == Upstream {
		return errors.New("no server has port 0; " + want)
	}
	if err != nil {
		return fmt.Errorf("port %q is not a number from 0 to 65535 and no known service; %s", port, want)
	}
	return nil
}

// Listen listens for streams on an address that Parse reads. If a
// killed program has left a Unix socket at the path, Listen removes it.
func Listen(ctx context.Context, listen string) (net.Listener, error) {
	a, err := Parse(Listening, listen)
	if err != nil {
		return nil, err
	}
	if a.network == "udp" {
		return nil, fmt.Errorf("listening on %q: it is for datagrams; leave udp: out", listen)
	}
	return a.Listen(ctx)
}

// Listen listens for streams, and removes the Unix socket that a killed program has left
// at the path.
func (a Address) Listen(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, a.network, a.host)
	if a.network == "unix" && errors.Is(err, syscall.EADDRINUSE) && a.abandoned(ctx) {
		if err := os.Remove(a.host); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("removing the socket that a killed program has left: %w", err)
		}
		l, err = lc.Listen(ctx, a.network, a.host)
	}
	return l, err
}

// abandoned says whether the path is a socket that nobody listens on.
func (a Address) abandoned(ctx context.Context) bool {
	if info, err := os.Lstat(a.host); err != nil || info.Mode().Type() != fs.ModeSocket {
		return false
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", a.host)
	if err == nil {
		_ = c.Close() // it carried nothing
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// LeadsTo says whether a connection to a ends at a listener. A name is not looked
// up: that is done when a client comes.
func (a Address) LeadsTo(listener net.Addr) bool {
	if a.network == "unix" {
		return LeadsTo(&net.UnixAddr{Name: a.host, Net: "unix"}, nil, listener)
	}
	ip, err := netip.ParseAddrPort(a.host)
	return err == nil && LeadsTo(net.TCPAddrFromAddrPort(ip), nil, listener)
}

// LeadsTo says whether a connection to an address ends at a listener: the ports
// are equal, and the listener takes the address.
func LeadsTo(remote, local, listener net.Addr) bool {
	if a, ok := listener.(*net.UnixAddr); ok {
		b, ok := remote.(*net.UnixAddr)
		return ok && a.Name == b.Name
	}
	to, from, at := addrPort(remote), addrPort(local), addrPort(listener)
	if !to.IsValid() || !at.IsValid() || to.Port() != at.Port() {
		return false
	}
	// A connection to this machine has the same address on both sides, or a
	// loopback one; "no address" means loopback to who connects.
	here := to.Addr() == from.Addr() || to.Addr().IsLoopback() || to.Addr().IsUnspecified()
	return to.Addr() == at.Addr() || at.Addr().IsUnspecified() && here || at.Addr().IsLoopback() && to.Addr().IsUnspecified()
}

// addrPort is the address and port of a, or zero if it has none.
func addrPort(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.TCPAddr:
		p := a.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	case *net.UDPAddr:
		p := a.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	return netip.AddrPort{}
}
