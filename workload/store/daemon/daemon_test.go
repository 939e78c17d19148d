package daemon

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gofrs/flock"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// Each server that is installed starts beside others, and leaves nothing.
func TestServersComeAndGo(t *testing.T) {
	for _, kind := range []topology.Kind{topology.Redis, topology.Postgres, topology.MySQL, topology.Memcached, topology.MongoDB, topology.Kafka} {
		t.Run(string(kind), func(t *testing.T) {
			if err := Check(kind); err != nil {
				t.Skip(err)
			}
			base := tempBase(t)
			d, err := Start(t.Context(), kind, base)
			if err != nil {
				t.Fatal(err)
			}
			conn, err := net.Dial("tcp", d.Address)
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
			if err := Sweep(base); err != nil {
				t.Error(err)
			}
			if dirs(t, base) != 1 || d.Err() != nil {
				t.Errorf("%d directories, %v", dirs(t, base), d.Err())
			}
			if err := d.Stop(); err != nil {
				t.Error(err)
			}
			if n := dirs(t, base); n != 0 {
				t.Errorf("%d directories are left", n)
			}
			if conn, err := net.Dial("tcp", d.Address); err == nil {
				conn.Close()
				t.Error("the server still takes connections")
			}
		})
	}
}

// tempBase is a directory that other users can pass, unlike that of the test.
func tempBase(t *testing.T) string {
	t.Helper()
	base, err := os.MkdirTemp("", "microsim-daemon-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	if err := os.Chmod(base, 0o711); err != nil {
		t.Fatal(err)
	}
	return base
}

func dirs(t *testing.T, base string) (n int) {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(base, dirPrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// A start removes the directories of killed programs, and leaves those of living ones.
func TestLeftoversAreSwept(t *testing.T) {
	base := t.TempDir()
	for _, name := range []string{"dead", "alive"} {
		if err := os.MkdirAll(filepath.Join(base, dirPrefix+name, dataName), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	held := flock.New(filepath.Join(base, dirPrefix+"alive", lockName))
	if err := held.Lock(); err != nil {
		t.Fatal(err)
	}
	defer held.Unlock()
	if err := Sweep(base); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(base, dirPrefix+"alive", dataName)); err != nil || dirs(t, base) != 1 {
		t.Errorf("%d directories are left, %v", dirs(t, base), err)
	}
}

func TestMissingServersAreNamed(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if err := Check(topology.Redis); err == nil || !strings.Contains(err.Error(), "apt-get install redis-server") {
		t.Error(err)
	}
	if err := Check(topology.MongoDB); err == nil || !strings.Contains(err.Error(), "name the address of a server") {
		t.Error(err)
	}
}

// Another program that begins to listen at the port before the server does is not taken for
// the server.
func TestOthersAreNotTakenForTheServer(t *testing.T) {
	for _, kind := range []topology.Kind{topology.Redis, topology.Postgres, topology.MySQL, topology.Memcached, topology.MongoDB, topology.Kafka} {
		t.Run(string(kind), func(t *testing.T) {
			if err := Check(kind); err != nil {
				t.Skip(err)
			}
			other, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			r, _ := recipeOf(kind)
			d, err := prepare(t.Context(), kind, &r, tempBase(t))
			if err != nil {
				t.Fatal(err)
			}
			if err := d.startAt(t.Context(), &r, other.Addr().String()); !errors.Is(err, errTaken) {
				t.Errorf("at a port that is taken: %v", err)
			}
			address, err := freeAddress()
			if err != nil {
				t.Fatal(err)
			}
			if err := d.startAt(t.Context(), &r, address); err != nil {
				t.Fatal(err)
			}
			if err := d.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
}
