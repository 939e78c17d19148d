// Package prometheus runs the program of that name beside a system, and asks one, of
// ours or of somebody else, which alerts fired and when.
package prometheus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/tail"
)

// The first version that finds targets by HTTP.
const oldestMajor, oldestMinor = 2, 28

const (
	// versionTimeout bounds the question for the version, readyTimeout the start, and
	// endTimeout the end of the program, after which it is killed.
	versionTimeout = 10 * time.Second
	readyTimeout   = 60 * time.Second
	endTimeout     = 10 * time.Second
	// retention is for how long samples are kept.
	retention = "15d"
)

var versionLine = regexp.MustCompile(`^prometheus, version (\d+)\.(\d+)\S*`)

// Check says why a program cannot be run as Prometheus, and returns its version.
func Check(ctx context.Context, path string) (version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.WaitDelay = time.Second
	var text bytes.Buffer
	// Versions before 2.47 print to stderr.
	cmd.Stdout, cmd.Stderr = &limited{w: &text, left: 4 << 10}, &limited{w: &text, left: 4 << 10}
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("asking %q for its version: %w; name the program prometheus, such as /usr/bin/prometheus", path, err)
	}
	found := versionLine.FindStringSubmatch(text.String())
	if found == nil {
		return "", fmt.Errorf("asking %q for its version: it is not Prometheus; name the program prometheus, such as /usr/bin/prometheus", path)
	}
	return checkVersion(strings.Fields(found[0])[2], found[1], found[2])
}

// checkVersion refuses versions that are too old.
func checkVersion(version, major, minor string) (string, error) {
	a, _ := strconv.Atoi(major) // the expression takes digits only
	b, _ := strconv.Atoi(minor)
	if a < oldestMajor || a == oldestMajor && b < oldestMinor {
		return "", fmt.Errorf("version %s of Prometheus is too old: it does not find targets by HTTP; install %d.%d or newer", version, oldestMajor, oldestMinor)
	}
	return version, nil
}

// limited passes on as many bytes as are left, and swallows the others.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	_, err := l.w.Write(p[:n])
	return len(p), err
}

// Options say how to run Prometheus.
type Options struct {
	// Path is the program.
	Path string
	// Storage is the directory for its samples, which stays; empty means one for the
	// moment.
	Storage string
	// Port is on the loopback interface; 0 means any.
	Port int
	// Config is the text of prometheus.yml, Rules are files beside it, by name.
	Config []byte
	Rules  map[string][]byte
}

// A Server is a running Prometheus.
type Server struct {
	// URL is where it listens, on the loopback interface.
	URL string

	cmd  *exec.Cmd
	dir  string
	logs *tail.Log
	// ended is closed when the program has ended; err says how then.
	ended chan struct{}
	err   error
	stop  sync.Once
}

// Start runs Prometheus and returns when it answers. Stop ends it; the end of ctx does
// not.
func Start(ctx context.Context, o Options) (s *Server, err error) {
	if _, err := Check(ctx, o.Path); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "microsim-prometheus-")
	if err != nil {
		return nil, fmt.Errorf("starting Prometheus: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir) // what went wrong before says more
		}
	}()
	files := map[string][]byte{"prometheus.yml": o.Config}
	for name, text := range o.Rules {
		files[name] = text
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return nil, fmt.Errorf("starting Prometheus: %w", err)
		}
	}
	address, err := freeAddress(o.Port)
	if err != nil {
		return nil, err
	}
	s = &Server{URL: "http://" + address, dir: dir, logs: &tail.Log{}, ended: make(chan struct{})}
	s.cmd = command(o, dir, address)
	s.cmd.Stdout, s.cmd.Stderr = s.logs, s.logs
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting Prometheus %q: %w", o.Path, err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.ended)
	}()
	if err := s.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func command(o Options, dir, address string) *exec.Cmd {
	storage := o.Storage
	if storage == "" {
		storage = filepath.Join(dir, "data")
	}
	cmd := exec.Command(o.Path, //nolint:noctx // Stop ends it
		"--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+storage,
		"--storage.tsdb.retention.time="+retention,
		"--web.listen-address="+address,
		// By default, any web page may read.
		"--web.cors.origin=http://"+regexp.QuoteMeta(address),
		"--log.level=warn")
	cmd.Dir = dir
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = attributes()
	return cmd
}

// freeAddress is a loopback address that nobody listens at. Prometheus does not say
// which port it got where it is told to take any.
func freeAddress(port int) (string, error) {
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return "", fmt.Errorf("starting Prometheus: %w; --prometheus-port chooses another port", err)
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// awaitReady waits until the server answers queries.
func (s *Server) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("it does not answer after %v", readyTimeout))
	defer cancel()
	for {
		if ready(ctx, s.URL) {
			return nil
		}
		select {
		case <-s.ended:
			return s.Err()
		case <-ctx.Done():
			return fmt.Errorf("starting Prometheus: %w", context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func ready(ctx context.Context, base string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/-/ready", nil)
	if err != nil {
		return false
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// Ended is closed when the program has ended, whatever for.
func (s *Server) Ended() <-chan struct{} { return s.ended }

// Err says that the program has ended, with what it said last; nil while it runs.
func (s *Server) Err() error {
	select {
	case <-s.ended:
	default:
		return nil
	}
	how := "with exit code 0"
	if s.err != nil {
		how = "with " + s.err.Error()
	}
	// The files are there for the moment, so their names help nobody.
	if said := strings.ReplaceAll(errorsIn(s.logs), s.dir+string(filepath.Separator), ""); said != "" {
		return fmt.Errorf("running Prometheus: it ended %s; it said: %s", how, said)
	}
	return fmt.Errorf("running Prometheus: it ended %s", how)
}

// Stop ends the program, waits for it, and removes what was made for the moment. It may
// be called again.
func (s *Server) Stop() (err error) {
	s.stop.Do(func() {
		terminate(s.cmd.Process)
		select {
		case <-s.ended:
		case <-time.After(endTimeout):
			_ = s.cmd.Process.Kill() // it may have ended by now
			<-s.ended
		}
		if err = os.RemoveAll(s.dir); err != nil {
			err = fmt.Errorf("removing the files of Prometheus: %w", err)
		}
	})
	return err
}

// logged is the error in a line of the log.
var logged = regexp.MustCompile(`(?i)level=error .*\berr="((?:[^"\\]|\\.)*)"`)

// errorsIn are the errors in a log, or its last line if there are none.
func errorsIn(log *tail.Log) string {
	var found []string
	last := ""
	for _, last = range log.Lines() {
		if m := logged.FindStringSubmatch(last); m != nil {
			found = append(found, strings.ReplaceAll(m[1], `\"`, `"`))
		}
	}
	if len(found) > 0 {
		return strings.Join(found, "; ")
	}
	return last
}
