//go:build root && linux

package netlab

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	vns "github.com/vishvananda/netns"

	"github.com/microsim-dev/kubectl-microsim/netfault"
	"github.com/microsim-dev/kubectl-microsim/netfault/netns"
	"github.com/microsim-dev/kubectl-microsim/netfault/tc"
)

const testLink = "msim-7e57"

func newNetwork(t *testing.T) *Network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("making network namespaces needs root; run it by `make test-root`")
	}
	n, err := New("test", testLink, func(h vns.NsHandle) []netfault.Backend { return []netfault.Backend{tc.New(h)} })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// inside runs f on a thread in a host.
func inside(t *testing.T, n *Network, host string, f func() error) {
	t.Helper()
	if err := netns.OnThread(func() error { return n.Enter(host, f) }); err != nil {
		t.Fatal(err)
	}
}

// serve answers connections to a host with its name.
func serve(t *testing.T, n *Network, host, ip string) string {
	t.Helper()
	var ln net.Listener
	inside(t, n, host, func() (err error) {
		ln, err = net.Listen("tcp", ip+":8080")
		return err
	})
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, host)
			conn.Close()
		}
	}()
	return ln.Addr().String()
}

func TestHostsReachEachOther(t *testing.T) {
	n := newNetwork(t)
	addresses := map[string]string{}
	for _, name := range []string{"a", "b"} {
		ip, err := n.Add(name)
		if err != nil {
			t.Fatal(err)
		}
		addresses[name] = serve(t, n, name, ip)
	}
	ask := func(address string, want string) error {
		conn, err := net.DialTimeout("tcp", address, 10*time.Second)
		if err != nil {
			return err
		}
		defer conn.Close()
		got, err := io.ReadAll(conn)
		if err != nil || string(got) != want {
			return fmt.Errorf("%s says %q, %w", address, got, err)
		}
		return nil
	}
	for name, address := range addresses {
		if err := ask(address, name); err != nil {
			t.Errorf("from this machine: %v", err)
		}
		inside(t, n, "a", func() error { return ask(address, name) })
	}
	if _, err := n.Add("a"); err == nil {
		t.Error("a host is added twice")
	}
	if err := n.Remove("b"); err != nil {
		t.Fatal(err)
	}
	if err := n.Remove("b"); err != nil {
		t.Errorf("removing again: %v", err)
	}
	inside(t, n, "a", func() error {
		if conn, err := net.DialTimeout("tcp", addresses["b"], 100*time.Millisecond); err == nil {
			conn.Close()
			return errors.New("a host that was removed answers")
		}
		return nil
	})
}

// A rate is what this backend can do on every kernel.
func TestImpairAndMend(t *testing.T) {
	n := newNetwork(t)
	if _, err := n.Add("a"); err != nil {
		t.Fatal(err)
	}
	rules := []netfault.Rule{{ID: "x", Interface: Interface, Direction: netfault.Egress, Impairment: netfault.Impairment{Partition: true}}}
	backend, err := n.Impair(t.Context(), "a", rules)
	if err != nil || backend != "tc" {
		t.Fatalf("%q, %v", backend, err)
	}
	inside(t, n, "a", func() error {
		if conn, err := net.DialTimeout("tcp", addressOf(n.prefix, 1).String()+":9", 100*time.Millisecond); err == nil || !strings.Contains(err.Error(), "timeout") {
			if err == nil {
				conn.Close()
			}
			return fmt.Errorf("through a partition a connection gives %w", err)
		}
		return nil
	})
	if _, err := n.Impair(t.Context(), "a", nil); err != nil {
		t.Fatal(err)
	}
	inside(t, n, "a", func() error {
		if _, err := net.DialTimeout("tcp", addressOf(n.prefix, 1).String()+":9", 10*time.Second); err == nil || !strings.Contains(err.Error(), "refused") {
			return fmt.Errorf("after the partition a connection gives %w", err)
		}
		return nil
	})
	if _, err := n.Impair(t.Context(), "b", rules); err == nil {
		t.Error("a host that is not there is impaired")
	}
}

func links(t *testing.T) []string {
	t.Helper()
	all, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range all {
		names = append(names, l.Attrs().Name)
	}
	return names
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestNothingIsLeft(t *testing.T) {
	before, fds := fmt.Sprint(links(t)), descriptors(t)
	n := newNetwork(t)
	for i := range 5 {
		if _, err := n.Add(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := Check(); err != nil {
		t.Error(err)
	}
	runtime.GC()
	if after := fmt.Sprint(links(t)); after != before {
		t.Errorf("there were the links %s, and now %s", before, after)
	}
	if left := descriptors(t); left > fds {
		t.Errorf("%d descriptors were open, and now %d", fds, left)
	}
}

func TestSweepTakesOnlyOurs(t *testing.T) {
	if err := Sweep(testLink); err != nil {
		t.Errorf("without a link: %v", err)
	}
	for _, name := range []string{"eth0", "msim-", "msim-xyz", "lo"} {
		if err := Sweep(name); err == nil {
			t.Errorf("link %q is swept", name)
		}
	}
	foreign := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: testLink}, PeerName: "msim-peer"}
	if err := netlink.LinkAdd(foreign); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = netlink.LinkDel(foreign) }()
	if err := netlink.LinkSetAlias(foreign, "somebody's"); err != nil {
		t.Fatal(err)
	}
	if err := Sweep(testLink); err == nil || !strings.Contains(err.Error(), "not ours") {
		t.Errorf("somebody else's link is swept: %v", err)
	}
	if err := netlink.LinkSetAlias(foreign, alias+"test"); err != nil {
		t.Fatal(err)
	}
	if err := Sweep(testLink); err != nil {
		t.Error(err)
	}
	if got := fmt.Sprint(links(t)); strings.Contains(got, "msim-") {
		t.Errorf("left are %s", got)
	}
}
