package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/workload/store"
)

func redisService(t topology.Store) topology.Service {
	s := topology.NewService("db")
	s.Kind, s.Store = topology.Redis, &t
	return s
}

// serve serves a store until the test ends, and returns its address.
func serve(t testing.TB, cfg store.Config) (*store.Server, string) {
	t.Helper()
	s, err := store.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s, ln.Addr().String()
}

func client(t testing.TB, address string) *redis.Client {
	c := redis.NewClient(&redis.Options{
		Addr: address, Protocol: 2, DisableIdentity: true, MaxRetries: -1, DialerRetries: 1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	t.Cleanup(func() { c.Close() })
	return c
}

// reply is what a client sees of a command, as text.
func reply(v any, err error) string {
	if list, ok := v.([]any); ok && err == nil {
		text := make([]string, len(list))
		for i := range list {
			if e, ok := list[i].(error); ok {
				text[i] = e.Error()
			} else {
				text[i] = fmt.Sprintf("%T %v", list[i], list[i])
			}
		}
		return fmt.Sprintf("%q", text)
	}
	if err != nil {
		return "error " + err.Error()
	}
	return fmt.Sprintf("%T %v", v, v)
}

// randomCommand is one of the commands that the embedded engine knows, or a mistake.
func randomCommand(r *rand.Rand) []any {
	key := func() string { return fmt.Sprint("k", r.IntN(6)) }
	value := func() string { return []string{"", "1", "12", "x", "9223372036854775807", "-3", "a b\r\nc"}[r.IntN(7)] }
	number := func() any {
		return []any{1, 2, -5, 100, "x", "9223372036854775807", "-9223372036854775808", 0}[r.IntN(8)]
	}
	set := func() []any {
		options := [][]any{{}, {}, {"EX", 100}, {"px", 100000}, {"NX"}, {"XX"}, {"GET"}, {"NX", "XX"}, {"EX", 0}, {"EX", "x"}, {"EX"}, {"KEEPTTL"}, {"EX", 5, "KEEPTTL"}, {"XX", "GET"}, {"NX", "GET"}, {"foo"}, {"ex", 100, "px", 100}}
		return append([]any{"set", key(), value()}, options[r.IntN(len(options))]...)
	}
	commands := []func() []any{
		set, set, func() []any { return []any{"get", key()} }, func() []any { return []any{"GET", key()} },
		func() []any { return []any{"setnx", key(), value()} }, func() []any { return []any{"getdel", key()} },
		func() []any { return []any{"del", key(), key()} }, func() []any { return []any{"unlink", key()} },
		func() []any { return []any{"exists", key(), key(), key()} }, func() []any { return []any{"mget", key(), key()} },
		func() []any { return []any{"mset", key(), value(), key(), value()} }, func() []any { return []any{"mset", key(), value(), key()} },
		func() []any { return []any{"strlen", key()} }, func() []any { return []any{"append", key(), value()} },
		func() []any { return []any{"incr", key()} }, func() []any { return []any{"decr", key()} },
		func() []any { return []any{"incrby", key(), number()} }, func() []any { return []any{"decrby", key(), number()} },
		func() []any { return []any{"expire", key(), number()} }, func() []any { return []any{"ttl", key()} },
		func() []any { return []any{"pexpire", key(), 100000} }, func() []any { return []any{"type", key()} },
		func() []any { return []any{"dbsize"} }, func() []any { return []any{"ping"} }, func() []any { return []any{"ping", "hello"} },
		func() []any { return []any{"echo", value()} }, func() []any { return []any{"select", []any{0, 99, "x"}[r.IntN(3)]} },
		func() []any { return []any{"get"} }, func() []any { return []any{"nonsense", "a", "b"} }, func() []any { return []any{"set", "a"} },
		func() []any { return []any{"multi"} }, func() []any { return []any{"exec"} }, func() []any { return []any{"exec"} }, func() []any { return []any{"discard"} },
		func() []any { return []any{"client", "getname"} }, func() []any { return []any{"ping", "a", "b"} },
	}
	if r.IntN(400) == 0 {
		return []any{"flushall"}
	}
	return commands[r.IntN(len(commands))]()
}

// TestLikeRedis sends the same commands to Debian's redis-server and to the embedded
// engine: replies and errors are the same.
func TestLikeRedis(t *testing.T) {
	_, embedded := serve(t, store.Config{Service: redisService(topology.Store{Items: 1})})
	ours, real := client(t, embedded), client(t, realServer(t, topology.Redis))
	ctx := t.Context()
	ours.FlushAll(ctx)
	a, b := ours.Conn(), real.Conn()
	defer a.Close()
	defer b.Close()
	var sent []string
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 1))
		for range 2000 {
			command := randomCommand(r)
			sent = append(sent, fmt.Sprintf("%q", command))
			got, want := reply(a.Do(ctx, command...).Result()), reply(b.Do(ctx, command...).Result())
			if got != want {
				t.Fatalf("seed %d: %q\n is answered %s\n not        %s\nafter %s", seed, command, got, want, strings.Join(sent[max(0, len(sent)-12):], "\n"))
			}
		}
	}
	names := func(c *redis.Client) []string {
		var keys []string
		for iter := c.Scan(ctx, 0, "k*", 2).Iterator(); iter.Next(ctx); {
			keys = append(keys, iter.Val())
		}
		slices.Sort(keys)
		return keys
	}
	if got, want := names(ours), names(real); !slices.Equal(got, want) {
		t.Errorf("the keys are %q, want %q", got, want)
	}
}

// TestTroubleLikeRedis holds the errors of faults against those of redis-server in the
// same trouble.
func TestTroubleLikeRedis(t *testing.T) {
	full := strings.Repeat("[0 0 0 0]", 20)
	for name, tt := range map[string]struct {
		fault    fault.Type
		args     fault.Args
		settings topology.Store
		real     [][]any
		commands [][]any
	}{
		"read only": {fault: fault.Failover, args: fault.Args{Hold: unit.Duration(1)}, real: [][]any{{"replicaof", "127.0.0.1", "1"}}, commands: [][]any{{"get", "a"}, {"set", "a", "b"}, {"del", "a"}, {"incr", "a"}, {"exists", "a"}}},
		"auth":      {fault: fault.AuthRevoked, real: [][]any{{"config", "set", "requirepass", "secret"}}, commands: [][]any{{"get", "a"}, {"set", "a", "b"}}},
		"memory":    {settings: topology.Store{Space: 10}, real: [][]any{{"config", "set", "maxmemory", "1"}}, commands: [][]any{{"get", "a"}, {"set", "a", full}, {"append", "a", full}}},
	} {
		t.Run(name, func(t *testing.T) {
			tt.settings.Items = 1
			s, embedded := serve(t, store.Config{Service: redisService(tt.settings)})
			address := realServer(t, topology.Redis)
			ctx := t.Context()
			for _, command := range tt.real {
				if err := client(t, address).Do(ctx, command...).Err(); err != nil {
					t.Fatal(err)
				}
			}
			if tt.fault != "" {
				if err := s.AddFault("f", fault.Fault{Type: tt.fault, Probability: 1, Args: tt.args}, time.Time{}); err != nil {
					t.Fatal(err)
				}
			}
			ours, real := client(t, embedded), client(t, address)
			for _, command := range tt.commands {
				got, want := reply(ours.Do(ctx, command...).Result()), reply(real.Do(ctx, command...).Result())
				if got != want {
					t.Errorf("%q\n is answered %s\n not        %s", command, got, want)
				}
			}
		})
	}
	t.Run("clients", func(t *testing.T) {
		_, embedded := serve(t, store.Config{Service: redisService(topology.Store{MaxConnections: 1})})
		address := realServer(t, topology.Redis)
		first := client(t, address)
		if err := first.ConfigSet(t.Context(), "maxclients", "1").Err(); err != nil {
			t.Fatal(err)
		}
		var texts []string
		for _, a := range []string{embedded, address} {
			if a == embedded {
				if err := client(t, a).Ping(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
			}
			texts = append(texts, reply(client(t, a).Get(t.Context(), "a").Result()))
		}
		// Both close the connection after their words, which go-redis ignores.
		for _, text := range texts {
			if !strings.HasPrefix(text, "error ") {
				t.Errorf("clients too many are told %q", texts)
			}
		}
	})
}

// TestRedisCli is a client that is not ours.
func TestRedisCli(t *testing.T) {
	path, err := exec.LookPath("redis-cli")
	if err != nil {
		t.Skip("redis-cli is not installed")
	}
	_, address := serve(t, store.Config{Service: redisService(topology.Store{Items: 10})})
	_, port, _ := net.SplitHostPort(address)
	for _, tt := range []struct{ args, want string }{
		{"set a b", "OK"}, {"get a", "b"}, {"dbsize", "11"}, {"--scan --pattern item:*", "item:9"}, {"info server", "redis_version"}, {"get item:3", "item:3 "},
	} {
		out, err := exec.Command(path, append([]string{"-p", port}, strings.Fields(tt.args)...)...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), tt.want) {
			t.Errorf("%s: %s, %v", tt.args, out, err)
		}
	}
}

// Mistakes of a client are answered, and end no other connection.
func TestGarbageIsRefused(t *testing.T) {
	_, address := serve(t, store.Config{Service: redisService(topology.Store{})})
	for _, text := range []string{"*1\r\n$x\r\n", "*-3\r\nfoo\r\n", "GET \"a\r\n", "*2\r\n+a\r\n"} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprint(conn, text)
		answer := make([]byte, 200)
		n, _ := conn.Read(answer)
		if !strings.HasPrefix(string(answer[:n]), "-ERR Protocol error") {
			t.Errorf("%q is answered %q", text, answer[:n])
		}
		if _, err := conn.Read(answer); err == nil {
			t.Errorf("%q does not end the connection", text)
		}
		conn.Close()
	}
	if err := client(t, address).Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
}
