package store_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/store"
)

// randomMemcached is a command that the embedded engine knows, or a mistake, with its
// value if it has one.
func randomMemcached(r *rand.Rand) string {
	key := func() string { return fmt.Sprint("k", r.IntN(5)) }
	set := func(name string) string {
		value := []string{"", "1", "12", "x", "18446744073709551615", "a b"}[r.IntN(6)]
		return fmt.Sprintf("%s %s 0 %d %d\r\n%s", name, key(), []int{0, 0, 100, -1}[r.IntN(4)], len(value), value)
	}
	commands := []func() string{
		func() string { return set("set") }, func() string { return set("set") }, func() string { return set("add") }, func() string { return set("replace") },
		func() string { return "get " + key() }, func() string { return "get " + key() + " " + key() + " nothing" },
		func() string { return "delete " + key() }, func() string { return "incr " + key() + " 3" }, func() string { return "decr " + key() + " 20" },
		func() string { return "incr " + key() + " x" }, func() string { return "touch " + key() + " 100" }, func() string { return "touch " + key() + " -1" },
		func() string { return "get" }, func() string { return "nonsense" }, func() string { return "incr " + key() },
		func() string { return "verbosity 1" }, func() string { return "set k0 0 0 x" }, func() string { return "delete " + key() + " 0" },
		func() string { return "set k0 0 0 2\r\nabc" }, func() string { return "get " + strings.Repeat("k", 251) },
	}
	return commands[r.IntN(len(commands))]()
}

// memcachedSays sends a command, and returns what comes back up to the answer to the
// next, which is known.
func memcachedSays(t *testing.T, conn net.Conn, in *bufio.Reader, command string) string {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, command+"\r\nversion\r\n"); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, "VERSION ") {
			return said.String()
		}
		said.WriteString(line)
	}
}

// TestMemcachedAnswersAsTheRealOne sends the same commands to the embedded engine and
// to Debian's memcached, and compares what comes back.
func TestMemcachedAnswersAsTheRealOne(t *testing.T) {
	address := realServer(t, topology.Memcached)
	service := redisService(topology.Store{Items: 1})
	service.Kind = topology.Memcached
	_, embedded := serve(t, store.Config{Service: service})
	var conns [2]net.Conn
	var readers [2]*bufio.Reader
	for i, to := range []string{address, embedded} {
		conn, err := net.Dial("tcp", to)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns[i], readers[i] = conn, bufio.NewReader(conn)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 3000 {
		command := randomMemcached(r)
		want, got := memcachedSays(t, conns[0], readers[0], command), memcachedSays(t, conns[1], readers[1], command)
		if got != want {
			t.Fatalf("%d: %q:\n%q\nand really\n%q", i, command, got, want)
		}
	}
}

// A client of the binary protocol is told at once, and does not wait for its timeout.
func TestMemcachedRefusesTheBinaryProtocol(t *testing.T) {
	service := redisService(topology.Store{Items: 1})
	service.Kind = topology.Memcached
	_, address := serve(t, store.Config{Service: service})
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write(append([]byte{0x80, 0, 0, 1}, make([]byte, 20)...)); err != nil {
		t.Fatal(err)
	}
	if said, err := io.ReadAll(conn); err != nil || !strings.Contains(string(said), "text protocol") {
		t.Errorf("it is told %q, %v", said, err)
	}
}
