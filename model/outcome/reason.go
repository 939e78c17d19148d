package outcome

import (
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
)

// Reason says why a request did not end well, more closely than its class.
type Reason string

// The reasons. The reason of an HTTPError is its status, see OfStatusReason.
const (
	// Refused is a port that nobody listens on.
	Refused Reason = "refused"
	// NoSuchHost is a name that the DNS does not resolve.
	NoSuchHost Reason = "dns"
	// NoTLS is a connection on which no TLS session could be agreed.
	NoTLS Reason = "tls"
	// Unreachable is an address to which no route leads.
	Unreachable Reason = "unreachable"
	// ConnectTimeout is a connection that was not made in time.
	ConnectTimeout Reason = "connect_timeout"
	// AnswerTimeout is an answer that did not come in time.
	AnswerTimeout Reason = "answer_timeout"
	// Reset is a connection that the other side has reset.
	Reset Reason = "reset"
	// Closed is a connection that the other side closed before the answer's end.
	Closed Reason = "closed"
	// Exhausted is a connection for which the sender had no descriptor, port or memory
	// left: the request never left its machine, and the target did not fail.
	Exhausted Reason = "exhausted"
	// Other is a connection that broke for another reason; its example has it.
	Other Reason = "other"
)

// statusReason comes before the status in the reason of an HTTPError.
const statusReason = "status_"

// OfStatusReason is the reason of an answer with an error status: status_503.
func OfStatusReason(status int) Reason { return Reason(statusReason + strconv.Itoa(status)) }

// Text is the reason for people.
func (r Reason) Text() string { return strings.ReplaceAll(string(r), "_", " ") }

// Error numbers of Windows for a refused, a reset and an aborted connection. No other
// system has errors of these numbers.
const (
	windowsRefused = syscall.Errno(10061)
	windowsReset   = syscall.Errno(10054)
	windowsAborted = syscall.Errno(10053)
)

// And of Windows for no more descriptors, no room for connections, and no free port.
const (
	windowsNoFiles   = syscall.Errno(10024)
	windowsNoBuffers = syscall.Errno(10055)
	windowsNoPort    = syscall.Errno(10049)
)

// Why is the reason of what Of classifies; "" for a request that ended well. A
// class that says all there is to say is its own reason.
func Why(status int, err error) Reason {
	class := Of(status, err)
	switch class {
	case OK:
		return ""
	case HTTPError:
		return OfStatusReason(status)
	case Timeout:
		return AnswerTimeout
	case ConnectionError:
		return whyNotConnected(err)
	default:
		return Reason(class)
	}
}

func whyNotConnected(err error) Reason {
	var resolving *net.DNSError
	var network *net.OpError
	var timeout interface{ Timeout() bool }
	ofNetwork := errors.As(err, &network)
	dialling := errors.Is(err, ErrNotConnected) || ofNetwork && network.Op == "dial"
	switch {
	case isAny(err, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, windowsNoFiles, windowsNoBuffers),
		dialling && isAny(err, syscall.EADDRNOTAVAIL, windowsNoPort) && toIPv4(network):
		return Exhausted
	case errors.As(err, &resolving):
		return NoSuchHost
	case isAny(err, syscall.ECONNREFUSED, windowsRefused):
		return Refused
	case isAny(err, syscall.ENETUNREACH, syscall.EHOSTUNREACH):
		return Unreachable
	case dialling && errors.As(err, &timeout) && timeout.Timeout():
		return ConnectTimeout
	case errors.Is(err, ErrTLS):
		return NoTLS
	case isAny(err, syscall.ECONNRESET, syscall.EPIPE, windowsReset, windowsAborted):
		return Reset
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return Closed
	default:
		return Other
	}
}

// toIPv4 reports whether a connection was to an IPv4 address. To one of IPv6, having no
// address may also mean that the machine does not speak it.
func toIPv4(e *net.OpError) bool {
	if e == nil {
		return false
	}
	to, ok := e.Addr.(*net.TCPAddr)
	return ok && to.IP.To4() != nil
}

func isAny(err error, numbers ...syscall.Errno) bool {
	for _, n := range numbers {
		if errors.Is(err, n) {
			return true
		}
	}
	return false
}
