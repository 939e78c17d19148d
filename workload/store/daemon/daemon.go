// Package daemon runs real servers of data stores on this machine: Debian's
// redis-server, postgres, mariadbd and memcached, or those of the same names from
// elsewhere, and mongod and Kafka from elsewhere. Each has a data directory of its own, which is removed with it, listens
// on the loopback interface, and dies with this program.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/tail"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

const (
	// readyTime bounds the start of a server, endTime its end, after which it is killed.
	readyTime = 60 * time.Second
	endTime   = 10 * time.Second
	// tries is how many ports a server is started at, if others take them before it.
	tries = 5
)

var errTaken = errors.New("another program listens there; try again")

// A recipe is how the servers of a kind are started.
type recipe struct {
	// server is the program; setup, if there is one, makes the data directory.
	server, setup string
	// elsewhere are patterns of directories outside of the PATH where programs are.
	elsewhere []string
	// install says how to install it.
	install string
	// user is who a server runs as that refuses to run as root; empty if it does not.
	user string
	// setupArgs and args are the arguments, for a data directory and a port.
	setupArgs func(data string) []string
	args      func(data, port string) []string
	// config is the text of a file of settings, for a data directory, a port and another
	// free one; nil if there is none. The file is beside the data.
	config func(data, port, other string) string
	// env are variables beside those that all have.
	env func(dir string) []string
}

// configName is the name of the file of settings, beside the directory for data.
const configName = "server.properties"

// configOf is where the settings of a server are that has its data there.
func configOf(data string) string { return filepath.Join(filepath.Dir(data), configName) }

func recipeOf(kind topology.Kind) (recipe, bool) {
	switch kind {
	case topology.Redis:
		return recipe{
			server: "redis-server", install: "apt-get install redis-server",
			args: func(data, port string) []string {
				return []string{"--port", port, "--bind", "127.0.0.1", "--dir", data, "--save", "", "--appendonly", "no"}
			},
		}, true
	case topology.Postgres:
		return recipe{
			server: "postgres", setup: "initdb", elsewhere: []string{"/usr/lib/postgresql/*/bin", "/usr/local/opt/postgresql*/bin"}, install: "apt-get install postgresql", user: "postgres",
			setupArgs: func(data string) []string {
				return []string{"--pgdata", data, "--username", "postgres", "--auth", "trust", "--locale", "C", "--encoding", "UTF8", "--no-sync", "--no-instructions"}
			},
			args: func(data, port string) []string {
				return []string{"-D", data, "-p", port, "-h", "127.0.0.1", "-k", "", "-c", "shared_buffers=32MB", "-c", "logging_collector=off"}
			},
		}, true
	case topology.MySQL:
		return recipe{
			server: "mariadbd", setup: "mariadb-install-db", elsewhere: []string{"/usr/sbin"}, install: "apt-get install mariadb-server mariadb-client", user: "mysql",
			setupArgs: func(data string) []string {
				return []string{"--no-defaults", "--datadir=" + data, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"}
			},
			args: func(data, port string) []string {
				return []string{"--no-defaults", "--datadir=" + data, "--port=" + port, "--bind-address=127.0.0.1", "--socket=" + filepath.Join(data, "s"),
					"--pid-file=" + filepath.Join(data, "pid"), "--skip-name-resolve", "--innodb-buffer-pool-size=32M"}
			},
		}, true
	case topology.Memcached:
		return recipe{
			server: "memcached", install: "apt-get install memcached", user: "nobody",
			args: func(_, port string) []string { return []string{"-l", "127.0.0.1", "-p", port, "-U", "0"} },
		}, true
	case topology.MongoDB:
		return recipe{
			server: "mongod", install: "https://www.mongodb.com/docs/manual/installation; it is no part of Debian",
			args: func(data, port string) []string {
				return []string{"--dbpath", data, "--port", port, "--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"}
			},
		}, true
	case topology.Kafka:
		return recipe{
			server: "kafka-server-start.sh", setup: "kafka-storage.sh", elsewhere: []string{"/opt/kafka*/bin"},
			install: "https://kafka.apache.org/downloads, version 3.3 or later; it is no part of Debian, and needs Java",
			setupArgs: func(data string) []string {
				return []string{"format", "--cluster-id", clusterID, "--config", configOf(data)}
			},
			args:   func(data, _ string) []string { return []string{configOf(data)} },
			config: kafkaConfig,
			env: func(dir string) []string {
				return []string{"LOG_DIR=" + filepath.Join(dir, "logs"), "KAFKA_HEAP_OPTS=-Xms64m -Xmx256m", "JAVA_HOME=" + os.Getenv("JAVA_HOME")}
			},
		}, true
	default:
		return recipe{}, false
	}
}

// clusterID is that of the one broker of a store, as Kafka writes such ids.
const clusterID = "bWljcm9zaW0tc3RvcmUhIQ"

// kafkaConfig are the settings of a broker that stands alone and is its own controller.
func kafkaConfig(data, port, controller string) string {
	return strings.Join([]string{
		"node.id=1", "process.roles=broker,controller",
		"listeners=PLAINTEXT://127.0.0.1:" + port + ",CONTROLLER://127.0.0.1:" + controller,
		"advertised.listeners=PLAINTEXT://127.0.0.1:" + port,
		"listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
		"inter.broker.listener.name=PLAINTEXT", "controller.listener.names=CONTROLLER",
		"controller.quorum.voters=1@127.0.0.1:" + controller,
		"log.dirs=" + data,
		"offsets.topic.replication.factor=1", "offsets.topic.num.partitions=1",
		"transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1",
		"group.initial.rebalance.delay.ms=0", "auto.create.topics.enable=false",
		"log.cleaner.dedupe.buffer.size=4194304", // its default takes 128 MiB of the heap
		"",
	}, "\n")
}

// Check says why no server of a kind can be started here; nil means that one can.
func Check(kind topology.Kind) error {
	r, ok := recipeOf(kind)
	if !ok {
		return fmt.Errorf("a real server of kind %s is not started by this program; start one, and name its address: HOST:PORT", kind)
	}
	for _, program := range r.programs() {
		if _, err := r.find(program); err != nil {
			return err
		}
	}
	return nil
}

func (r *recipe) programs() []string {
	if r.setup == "" {
		return []string{r.server}
	}
	return []string{r.setup, r.server}
}

// find looks for a program in the PATH, and where distributions hide it.
func (r *recipe) find(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		if path, err = filepath.Abs(path); err == nil {
			return path, nil
		}
	}
	for _, pattern := range r.elsewhere {
		found, err := filepath.Glob(filepath.Join(pattern, program))
		if err == nil && len(found) > 0 {
			return slices.Max(found), nil
		}
	}
	return "", fmt.Errorf("the program %s is not installed; install it (%s), name the address of a server, or write engine: embedded", program, r.install)
}

// A Daemon is a running server.
type Daemon struct {
	// Address is its host:port.
	Address string

	kind  topology.Kind
	who   *identity
	dir   *directory
	cmd   *exec.Cmd
	logs  *tail.Log
	ended chan struct{}
	err   error
	stop  sync.Once
}

// Start starts a server and returns when it takes connections; its data are below
// base. Stop ends it; the end of ctx does not.
func Start(ctx context.Context, kind topology.Kind, base string) (_ *Daemon, err error) {
	if err := Check(kind); err != nil {
		return nil, err
	}
	r, _ := recipeOf(kind)
	d, err := prepare(ctx, kind, &r, base)
	if err != nil {
		return nil, err
	}
	for range tries {
		var address string
		if address, err = freeAddress(); err != nil {
			err = fmt.Errorf("starting %s: %w", r.server, err)
			break
		}
		if err = d.startAt(ctx, &r, address); !errors.Is(err, errTaken) {
			break
		}
	}
	if err != nil {
		_ = d.dir.remove() // what went wrong before says more
		return nil, err
	}
	return d, nil
}

// prepare makes the data of a server below base.
func prepare(ctx context.Context, kind topology.Kind, r *recipe, base string) (*Daemon, error) {
	who, err := identityOf(r.user)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", r.server, err)
	}
	dir, err := makeDirectory(base, who)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", r.server, err)
	}
	d := &Daemon{kind: kind, who: who, dir: dir, logs: &tail.Log{}}
	if r.setup != "" {
		if err := d.setup(ctx, r); err != nil {
			_ = dir.remove()
			return nil, err
		}
	}
	return d, nil
}

// startAt starts the server at an address. The error is errTaken if another program has
// begun to listen there since it was free.
func (d *Daemon) startAt(ctx context.Context, r *recipe, address string) error {
	_, port, _ := net.SplitHostPort(address)
	d.Address, d.ended, d.logs = address, make(chan struct{}), &tail.Log{}
	if r.config != nil {
		if err := d.configure(r, port); err != nil {
			return fmt.Errorf("starting %s: %w", r.server, err)
		}
	}
	if err := d.start(r, r.args(d.dir.data(), port)); err != nil {
		return err
	}
	err := d.awaitReady(ctx, r.server)
	if err != nil {
		d.end()
		if strings.Contains(strings.Join(d.logs.Lines(), "\n"), "ddress already in use") {
			err = fmt.Errorf("starting %s at %s: %w", r.server, address, errTaken)
		}
	}
	return err
}

// configure writes the file of settings.
func (d *Daemon) configure(r *recipe, port string) error {
	other, err := freeAddress()
	if err != nil {
		return err
	}
	_, otherPort, _ := net.SplitHostPort(other)
	path := configOf(d.dir.data())
	if err := os.WriteFile(path, []byte(r.config(d.dir.data(), port, otherPort)), 0o600); err != nil {
		return err
	}
	return d.who.own(path)
}

// setup makes the data directory.
func (d *Daemon) setup(ctx context.Context, r *recipe) error {
	path, err := r.find(r.setup)
	if err != nil {
		return err
	}
	if r.config != nil { // its ports do not matter yet
		if err := d.configure(r, "1"); err != nil {
			return fmt.Errorf("making a data directory with %s: %w", path, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, r.setupArgs(d.dir.data())...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr, cmd.WaitDelay = d.dir.path, d.environment(r), attributes(d.who), time.Second
	cmd.Stdout, cmd.Stderr = d.logs, d.logs
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("making a data directory with %s: %w; it said: %s", path, err, failureIn(d.logs))
	}
	return nil
}

func (d *Daemon) environment(r *recipe) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + d.dir.path, "TMPDIR=" + d.dir.path, "LC_ALL=C"}
	if r.env != nil {
		env = append(env, r.env(d.dir.path)...)
	}
	return env
}

func (d *Daemon) start(r *recipe, args []string) error {
	path, err := r.find(r.server)
	if err != nil {
		return err
	}
	d.cmd = exec.Command(path, args...) //nolint:noctx // Stop ends it
	d.cmd.Dir, d.cmd.Env, d.cmd.SysProcAttr, d.cmd.WaitDelay = d.dir.path, d.environment(r), attributes(d.who), time.Second
	d.cmd.Stdout, d.cmd.Stderr = d.logs, d.logs
	started := make(chan error, 1)
	go func() {
		// The kernel ends the server when the thread that started it ends; so this one
		// lives as long as the server.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := d.cmd.Start()
		started <- err
		if err == nil {
			d.err = d.cmd.Wait()
		}
		close(d.ended)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("starting %s: %w", path, err)
	}
	return nil
}

// freeAddress is a loopback address that nobody listens at.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

func (d *Daemon) awaitReady(ctx context.Context, server string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTime, fmt.Errorf("it takes no connection after %v", readyTime))
	defer cancel()
	dialer := net.Dialer{Timeout: time.Second}
	for {
		if conn, err := dialer.DialContext(ctx, "tcp", d.Address); err == nil {
			conn.Close()
			if listens(d.cmd.Process.Pid, d.Address) {
				return nil
			}
		}
		select {
		case <-d.ended:
			return d.Err()
		case <-ctx.Done():
			return fmt.Errorf("starting %s: %w", server, context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Ended is closed when the server has ended, whatever for.
func (d *Daemon) Ended() <-chan struct{} { return d.ended }

// Err says that the server has ended, with what it said last; nil while it runs.
func (d *Daemon) Err() error {
	select {
	case <-d.ended:
	default:
		return nil
	}
	how := "with exit code 0"
	if d.err != nil {
		how = "with " + d.err.Error()
	}
	return fmt.Errorf("running %s: it ended %s; it said: %s", filepath.Base(d.cmd.Path), how, failureIn(d.logs))
}

// Stop ends the server, waits for it, and removes its data. It may be called again.
func (d *Daemon) Stop() (err error) {
	d.stop.Do(func() {
		d.end()
		err = d.dir.remove()
	})
	return err
}

// end ends the server, and waits for it.
func (d *Daemon) end() {
	d.terminate()
	select {
	case <-d.ended:
	case <-time.After(endTime):
		_ = d.cmd.Process.Kill() // it may have ended by now
		<-d.ended
	}
}

// lastLines is how many lines say why a server has ended if none says that it is an
// error.
const lastLines = 3

// failureIn is the first line of a log that is an error, or its last lines.
func failureIn(log *tail.Log) string {
	lines := log.Lines()
	for _, line := range lines {
		for _, word := range []string{"FATAL", "ERROR", "initdb: error"} {
			if strings.Contains(line, word) {
				return line
			}
		}
	}
	return strings.Join(lines[max(0, len(lines)-lastLines):], "; ")
}
