//go:build unix

package outcome_test

import (
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

// A sender that runs out of descriptors or ports does not blame the callee. Real calls to
// the kernel make the errors, except where they would change the limits of the whole test.
func TestTheSenderIsExhausted(t *testing.T) {
	// No machine has the address: as with no free port, the kernel gives none.
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(203, 0, 113, 7)}}
	_, noPort := dialer.Dial("tcp", "127.0.0.1:1")
	socket := func(number syscall.Errno) error {
		return fmt.Errorf("connecting: %w", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", number)})
	}
	for name, err := range map[string]error{"no port": noPort, "no descriptor": socket(syscall.EMFILE), "no descriptor of the machine": socket(syscall.ENFILE)} {
		if class, why := outcome.Of(0, err), outcome.Why(0, err); class != outcome.ConnectionError || why != outcome.Exhausted {
			t.Errorf("%s: %v is %s because of %q, want %s because of %q", name, err, class, why, outcome.ConnectionError, outcome.Exhausted)
		}
	}
	noIPv6 := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv6loopback, Port: 1}, Err: os.NewSyscallError("connect", syscall.EADDRNOTAVAIL)}
	if why := outcome.Why(0, noIPv6); why != outcome.Other {
		t.Errorf("%v is because of %q, though the machine may not speak IPv6", noIPv6, why)
	}
}
