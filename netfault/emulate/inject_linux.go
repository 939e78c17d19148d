package emulate

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/microsim-dev/kubectl-microsim/netfault/emulate/packet"
)

// injector sends copies of packets by raw sockets. Copies carry a mark, so that
// our rules leave them alone.
type injector struct {
	v4, v6   int // -1: that family is missing
	deviceV4 int // the interface that v4 is bound to
	deviceV6 int
}

// openInjector opens the raw sockets; it must run inside the namespace.
func openInjector() (*injector, error) {
	i := &injector{v4: -1, v6: -1}
	var err4, err6 error
	i.v4, err4 = rawSocket(unix.AF_INET)
	i.v6, err6 = rawSocket(unix.AF_INET6)
	if err4 != nil && err6 != nil {
		return nil, fmt.Errorf("opening a raw socket for duplicates (it needs CAP_NET_RAW): %w", errors.Join(err4, err6))
	}
	return i, nil
}

func rawSocket(family int) (int, error) {
	// IPPROTO_RAW means that the IP header is in the data.
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_RAW)
	if err != nil {
		return -1, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, markInjected); err != nil {
		return -1, errors.Join(fmt.Errorf("marking a raw socket: %w", err), unix.Close(fd))
	}
	// A larger buffer only avoids losing copies in bursts.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 4<<20)
	return fd, nil
}

// send sends the copy of a packet that leaves by its interface, in fragments if
// it is longer than the link takes; that of one that arrives to where its
// destination is, this host or one behind it.
func (i *injector) send(data []byte, ingress bool, d device) error {
	mtu := d.mtu
	if ingress {
		mtu = len(data) // it goes by the loopback
	}
	// An identification of its own keeps the fragments apart from the original's.
	for _, p := range packet.Fragments(data, mtu, rand.Uint32()) {
		if err := i.sendOne(p, ingress, d); err != nil {
			return err
		}
	}
	return nil
}

func (i *injector) sendOne(packet []byte, ingress bool, d device) error {
	if len(packet) < 20 {
		return errors.New("no IP packet")
	}
	if packet[0]>>4 == 4 {
		if err := bindTo(i.v4, &i.deviceV4, ingress, d); err != nil {
			return err
		}
		return unix.Sendto(i.v4, packet, 0, &unix.SockaddrInet4{Addr: [4]byte(packet[16:20])})
	}
	if len(packet) < 40 {
		return errors.New("no IPv6 packet")
	}
	if err := bindTo(i.v6, &i.deviceV6, ingress, d); err != nil {
		return err
	}
	to := &unix.SockaddrInet6{Addr: [16]byte(packet[24:40])}
	if a := netip.AddrFrom16(to.Addr); a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() {
		to.ZoneId = uint32(d.index)
	}
	return unix.Sendto(i.v6, packet, 0, to)
}

// bindTo binds the socket to the interface that packets leave by, and to none
// for packets that arrive.
func bindTo(fd int, bound *int, ingress bool, d device) error {
	want := d.index
	if ingress {
		want = 0
	}
	if *bound == want {
		return nil
	}
	*bound = want
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, want)
}

func (i *injector) close() error {
	var errs []error
	for _, fd := range []int{i.v4, i.v6} {
		if fd >= 0 {
			errs = append(errs, unix.Close(fd))
		}
	}
	return errors.Join(errs...)
}
