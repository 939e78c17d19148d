package forward

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// defaultPort is that of Fluentd's input "forward".
const defaultPort = "24224"

// An Address says where a receiver is.
type Address struct {
	// Network is tcp, tls or unix; Place is a host with its port, or the path of a
	// socket.
	Network, Place string
}

// String is the address as ParseAddress reads it.
func (a Address) String() string { return a.Network + "://" + a.Place }

// ParseAddress reads HOST, HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT or unix:///PATH, as
// the log driver "fluentd" of Docker does. The port is 24224 if there is none.
func ParseAddress(text string) (Address, error) {
	whole := text
	if !strings.Contains(text, "://") {
		whole = "tcp://" + text
	}
	u, err := url.Parse(whole)
	clean := problem.CleanURL(text)
	switch {
	case err != nil:
		return Address{}, fmt.Errorf("the address of a receiver %q: %w", clean, errors.Unwrap(err))
	case u.Scheme == "http" || u.Scheme == "https":
		return Address{}, fmt.Errorf("%q is an address for HTTP, and the forward protocol is none: write tcp://HOST:%s, where the input \"forward\" listens", clean, defaultPort)
	case u.User != nil:
		return Address{}, fmt.Errorf("%q has a user, whom the forward protocol knows by a shared key only, which is not spoken here: leave it out", clean)
	case u.RawQuery != "" || u.Fragment != "":
		return Address{}, fmt.Errorf("%q has more than a host and a port: leave it out", clean)
	case u.Scheme == "unix" && u.Host == "" && u.Path != "":
		return Address{u.Scheme, u.Path}, nil
	case u.Scheme == "unix":
		return Address{}, fmt.Errorf("%q is not the path of a socket: write unix:///PATH", clean)
	case u.Scheme != "tcp" && u.Scheme != "tls", u.Hostname() == "", strings.Trim(u.Path, "/") != "":
		return Address{}, fmt.Errorf("%q is not the address of a receiver: write one such as tcp://localhost:%s, tls://HOST:PORT or unix:///PATH", clean, defaultPort)
	}
	port := u.Port()
	if port == "" {
		port = defaultPort
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return Address{}, fmt.Errorf("%q has the port %s: write one of 1 to 65535", clean, port)
	}
	return Address{u.Scheme, net.JoinHostPort(u.Hostname(), port)}, nil
}
