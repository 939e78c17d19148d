//go:build unix

package gatetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault/gate"
)

// wanted skips a test unless its variable asks for it; then what it needs must be there.
func wanted(t *testing.T, variable string, programs ...string) {
	t.Helper()
	if os.Getenv(variable) == "" {
		t.Skipf("set %s=1 to run against the real server", variable)
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("%s asks for a real server: %v", variable, err)
		}
	}
}

// run starts a server that ends with the test, and waits until it accepts.
func run(t *testing.T, cmd *exec.Cmd, address string) {
	t.Helper()
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGINT)
		time.AfterFunc(Patience, func() { cmd.Process.Kill() })
		if err := cmd.Wait(); err != nil {
			t.Logf("%s: %v\n%s", cmd.Path, err, log.String())
		}
	})
	for end := time.Now().Add(Patience); ; {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not listen on %s: %v", cmd.Path, address, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func freePort(t *testing.T) (address, port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return l.Addr().String(), port
}

// scenarios breaks the network in every way and checks after each that what uses it recovers.
func scenarios(t *testing.T, g *gate.Gate, works func(context.Context) error) {
	Restore(t, g, works)
	for _, s := range []struct {
		name      string
		condition gate.Condition
		breaks    bool
	}{
		{"delay", gate.Delay{By: 20 * time.Millisecond, Jitter: 10 * time.Millisecond}, false},
		{"slice", gate.Slice{Size: 3}, false},
		{"bandwidth", gate.Bandwidth{Rate: 100_000, Burst: 100}, false},
		{"stop reading", gate.StopReading{}, true},
		{"drop", gate.Drop{}, true},
		{"black hole", gate.BlackHole{After: 50 * time.Millisecond}, true},
		{"close on data", gate.CloseOnData{}, true},
		{"reset", gate.CloseOnData{Reset: true}, true},
		{"corrupt", gate.Corrupt{}, true},
		{"byte limit", gate.ByteLimit{Bytes: 3}, true},
	} {
		for _, d := range []*gate.Direction{g.ToServer(), g.ToClient()} {
			t.Run(s.name, func(t *testing.T) {
				a := Set(t, d, s.condition)[0]
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				if err := works(ctx); s.breaks != (err != nil) {
					t.Errorf("got error %v; want one: %v", err, s.breaks)
				}
				Acted(t, a)
				Restore(t, g, works)
			})
		}
	}
	t.Run("refused", func(t *testing.T) {
		if err := g.Stop(); err != nil {
			t.Fatal(err)
		}
		if works(t.Context()) == nil {
			t.Error("works without a network")
		}
		Restore(t, g, works)
	})
	t.Run("not accepting", func(t *testing.T) {
		g.CloseConnections(-1)
		if err := g.StopAccepting(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if works(ctx) == nil {
			t.Error("works though nobody accepts")
		}
		Restore(t, g, works)
	})
}

func TestRedis(t *testing.T) {
	wanted(t, "MICROSIM_TEST_REDIS", "redis-server")
	address, port := freePort(t)
	run(t, exec.Command("redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", t.TempDir()), address)
	g := Start(t, gate.Config{Upstream: address})
	n := 0
	scenarios(t, g, func(ctx context.Context) error {
		n++
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", g.Addr())
		if err != nil {
			return err
		}
		defer c.Close()
		defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
		want := fmt.Sprintf("+OK\r\n$7\r\nv%06d\r\n", n)
		if _, err := fmt.Fprintf(c, "SET key v%06d\r\nGET key\r\n", n); err != nil {
			return err
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(bufio.NewReader(c), got); err != nil {
			return err
		}
		if string(got) != want {
			return fmt.Errorf("got %q, want %q", got, want)
		}
		return nil
	})
}

func TestPostgreSQL(t *testing.T) {
	wanted(t, "MICROSIM_TEST_POSTGRES", "initdb", "postgres", "psql")
	dir, err := os.MkdirTemp("", "gate-postgres")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	as := unprivileged(t, dir)
	data := filepath.Join(dir, "data")
	if out, err := as("initdb", "-D", data, "-A", "trust", "-U", "test", "--no-sync").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	address, port := freePort(t)
	run(t, as("postgres", "-D", data, "-h", "127.0.0.1", "-p", port, "-k", dir, "-F"), address)
	g := Start(t, gate.Config{Upstream: address})
	host, gatePort, _ := net.SplitHostPort(g.Addr())
	scenarios(t, g, func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, "psql", "-X", "-A", "-t", "-d",
			"host="+host+" port="+gatePort+" user=test dbname=postgres sslmode=disable",
			"-c", "select sum(i) from generate_series(1, 1000) i")
		out, err := cmd.CombinedOutput()
		if err == nil && strings.TrimSpace(string(out)) != "500500" {
			err = errors.New("a wrong sum")
		}
		if err != nil {
			return fmt.Errorf("psql: %w: %s", err, out)
		}
		return nil
	})
}

// unprivileged returns how to run commands as somebody who is not root, for
// PostgreSQL refuses root, and gives dir to that user.
func unprivileged(t *testing.T, dir string) func(name string, args ...string) *exec.Cmd {
	t.Helper()
	if os.Getuid() != 0 {
		return exec.Command
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		var uid, gid uint32
		fmt.Sscan(u.Uid, &uid)
		fmt.Sscan(u.Gid, &gid)
		if err := os.Chown(dir, int(uid), int(gid)); err != nil {
			t.Fatal(err)
		}
		return func(name string, args ...string) *exec.Cmd {
			cmd := exec.Command(name, args...)
			cmd.Dir = dir
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
			return cmd
		}
	}
	t.Fatal("root cannot run PostgreSQL and there is neither a user postgres nor nobody; run the test as another user")
	return nil
}
