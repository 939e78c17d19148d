package address

import (
	"net"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]struct {
		network, host string
		datagrams     bool
		err           string
	}{
		"127.0.0.1:5432":     {"tcp", "127.0.0.1:5432", false, ""},
		"tcp:db:5432":        {"tcp", "db:5432", false, ""},
		"[::1]:80":           {"tcp", "[::1]:80", false, ""},
		"udp:127.0.0.1:53":   {"udp", "127.0.0.1:53", true, ""},
		"unix:/run/db":       {"unix", "/run/db", false, ""},
		"db:https":           {"tcp", "db:https", false, ""},
		"unix:":              {err: "the path is missing"},
		"db":                 {err: "missing port"},
		"db:70000":           {err: `port "70000" is not a number from 0 to 65535`},
		"db:0":               {err: "no server has port 0"},
		"ann:secret@db:5432": {err: "ann:xxxxx@"},
	} {
		a, err := Parse(Upstream, text)
		if want.err != "" {
			if err == nil || !strings.Contains(err.Error(), want.err) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%q: the error is %v, want %q", text, err, want.err)
			}
			continue
		}
		if err != nil || a.Network() != want.network || a.Host() != want.host || a.Datagrams() != want.datagrams {
			t.Errorf("%q is %s %q, datagrams %v, %v", text, a.Network(), a.Host(), a.Datagrams(), err)
		}
		if again, err := Parse(Upstream, a.String()); err != nil || again != a {
			t.Errorf("%q is written as %q, which is %v, %v", text, a, again, err)
		}
	}
	if a, err := Parse(Listening, "127.0.0.1:0"); err != nil || a.At(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7}).String() != "127.0.0.1:7" {
		t.Errorf("a free port: %v, %v", a, err)
	}
}

// A gate must see that its upstream is itself, by whatever address of this machine.
func TestLeadsTo(t *testing.T) {
	tcp := func(host string, port int) net.Addr { return &net.TCPAddr{IP: net.ParseIP(host), Port: port} }
	for name, tt := range map[string]struct {
		remote, local, listener net.Addr
		want                    bool
	}{
		"the same":                              {tcp("127.0.0.1", 80), nil, tcp("127.0.0.1", 80), true},
		"another port":                          {tcp("127.0.0.1", 81), nil, tcp("127.0.0.1", 80), false},
		"loopback to all interfaces":            {tcp("127.0.0.1", 80), nil, tcp("::", 80), true},
		"its own address to all interfaces":     {tcp("10.0.0.1", 80), tcp("10.0.0.1", 5000), tcp("0.0.0.0", 80), true},
		"another machine, from all interfaces":  {tcp("10.0.0.2", 80), tcp("10.0.0.1", 5000), tcp("0.0.0.0", 80), false},
		"no address to loopback":                {tcp("0.0.0.0", 80), nil, tcp("127.0.0.1", 80), true},
		"another address of loopback":           {tcp("127.0.0.2", 80), nil, tcp("127.0.0.1", 80), false},
		"a path":                                {&net.UnixAddr{Name: "/a"}, nil, &net.UnixAddr{Name: "/a"}, true},
		"another path":                          {&net.UnixAddr{Name: "/b"}, nil, &net.UnixAddr{Name: "/a"}, false},
		"a port to a path":                      {tcp("127.0.0.1", 80), nil, &net.UnixAddr{Name: "/a"}, false},
		"an address that IPv6 writes otherwise": {tcp("::ffff:10.0.0.1", 80), nil, tcp("10.0.0.1", 80), true},
	} {
		if got := LeadsTo(tt.remote, tt.local, tt.listener); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
