package store_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/store"
)

// A rawRedis is a connection whose replies are read as bytes.
type rawRedis struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func dialRedis(t *testing.T, address string) *rawRedis {
	t.Helper()
	var conn net.Conn
	var err error
	for end := time.Now().Add(10 * time.Second); conn == nil; time.Sleep(10 * time.Millisecond) { // a real one may just have been started
		if conn, err = net.Dial("tcp", address); err != nil && time.Now().After(end) {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	return &rawRedis{t, conn, bufio.NewReader(conn)}
}

// ask sends a command, and returns the bytes of its reply.
func (c *rawRedis) ask(args ...any) string {
	c.t.Helper()
	const marker = "that was all"
	var b strings.Builder
	for _, command := range [][]any{args, {"echo", marker}} {
		fmt.Fprintf(&b, "*%d\r\n", len(command))
		for _, a := range command {
			text := fmt.Sprint(a)
			fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(text), text)
		}
	}
	if _, err := c.conn.Write([]byte(b.String())); err != nil {
		c.t.Fatal(err)
	}
	end := fmt.Sprintf("$%d\r\n%s\r\n", len(marker), marker)
	var got []byte
	for !strings.HasSuffix(string(got), end) && !strings.HasSuffix(string(got), "+QUEUED\r\n+QUEUED\r\n") {
		line, err := c.in.ReadBytes('\n')
		if err != nil {
			c.t.Fatalf("%v: %v after %q", args, err, got)
		}
		got = append(got, line...)
	}
	return strings.TrimSuffix(string(got), end)
}

// TestRESP3IsRedis compares the bytes of replies with those of Debian's server, after a
// client has asked for the newer protocol, as redis-py does by itself.
func TestRESP3IsRedis(t *testing.T) {
	service := redisService(topology.Store{Items: 1})
	_, address := serve(t, store.Config{Service: service})
	real, embedded := dialRedis(t, realServer(t, topology.Redis)), dialRedis(t, address)
	for _, c := range []*rawRedis{real, embedded} {
		c.ask("del", "item:0")
		if got := c.ask("hello", 3, "auth", "default", "x", "setname", "me"); !strings.HasPrefix(got, "%7\r\n") || !strings.Contains(got, "proto\r\n:3\r\n") {
			t.Fatalf("hello 3 is answered %q", got)
		}
		if got := c.ask("info", "server"); !strings.HasPrefix(got, "=") || !strings.Contains(got, "\r\ntxt:# Server\r\n") {
			t.Errorf("info is answered %q", got)
		}
	}
	same := func(args ...any) {
		t.Helper()
		if got, want := embedded.ask(args...), real.ask(args...); got != want {
			t.Fatalf("%v: %q, and really %q", args, got, want)
		}
	}
	for _, args := range [][]any{
		{"client", "getname"}, {"get", "none"}, {"config", "get", "none"}, {"hello", 4}, {"hello", "x"}, {"hello", 3, "foo"}, {"mget", "a", "b"}, {"set", "a", 1, "xx"},
		{"set", "a", 1, "get"}, {"keys", "zz*"}, {"client", "setname", ""},
	} {
		same(args...)
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		args := randomCommand(r)
		switch args[0] {
		case "multi", "exec", "discard", "client": // the marker would be queued; names are those of the connection
			continue
		}
		same(args...)
	}
	for _, c := range []*rawRedis{real, embedded} {
		if got := c.ask("hello", 2); !strings.HasPrefix(got, "*14\r\n") {
			t.Errorf("hello 2 is answered %q", got)
		}
	}
	same("get", "none")
}
