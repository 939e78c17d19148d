// Command compare measures a gate beside the alternatives, in one run on one
// machine: direct, a plain copy loop, and haproxy and toxiproxy as they are
// installed. It prints requests a second (wrk), bulk throughput (iperf3), added
// latency and the memory of idle connections, each as a ratio.
//
//	go run ./netfault/gate/internal/compare -toxiproxy /path/to/toxiproxy-server
//
// Everything is a process of its own on loopback and is ended at the end. A
// program that is missing is an error; -without names those to leave out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

type options struct {
	toxiproxy, haproxy, wrk, iperf string
	without                        string
	rounds                         int
	duration                       time.Duration
	idle                           int
}

func main() {
	if len(os.Args) > 1 {
		if role, ok := roles()[os.Args[1]]; ok {
			if err := role(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, "compare:", err)
				os.Exit(1)
			}
			return
		}
	}
	var o options
	flag.StringVar(&o.toxiproxy, "toxiproxy", "toxiproxy-server", "the toxiproxy server")
	flag.StringVar(&o.haproxy, "haproxy", "haproxy", "haproxy")
	flag.StringVar(&o.wrk, "wrk", "wrk", "wrk")
	flag.StringVar(&o.iperf, "iperf3", "iperf3", "iperf3")
	flag.StringVar(&o.without, "without", "", "proxies to leave out, separated by commas")
	flag.IntVar(&o.rounds, "rounds", 3, "how often to measure; medians are printed")
	flag.DurationVar(&o.duration, "duration", 3*time.Second, "of each measurement")
	flag.IntVar(&o.idle, "idle", 10000, "idle connections whose memory is measured; 0 leaves it out")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	without := strings.Split(o.without, ",")
	needed := []string{o.wrk, o.iperf}
	for name, path := range map[string]string{"toxiproxy": o.toxiproxy, "haproxy": o.haproxy} {
		if !slices.Contains(without, name) {
			needed = append(needed, path)
		}
	}
	for _, path := range needed {
		if _, err := exec.LookPath(path); err != nil {
			return fmt.Errorf("finding what to compare with: %w; install it, name it by a flag, or leave a proxy out by -without", err)
		}
	}
	dir, err := os.MkdirTemp("", "compare")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	l := &lab{ctx: ctx, options: o, dir: dir, without: without}
	defer l.end()
	if err := l.start(); err != nil {
		return err
	}
	return errors.Join(l.requests(), l.bulk(), l.latency(), l.memory())
}

// A lab holds the processes of a comparison.
type lab struct {
	options
	ctx     context.Context
	dir     string
	without []string

	children    []*exec.Cmd
	web, sink   string
	gatePID     int
	contenders  []contender
	gateAPI     string
	toxiproxAPI string
}

// A contender is a way to the servers.
type contender struct {
	name      string
	web, sink string
}

// child starts a process that is ended with the lab.
func (l *lab) child(name string, args ...string) (*exec.Cmd, error) {
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %q: %w", name, err)
	}
	l.children = append(l.children, cmd)
	return cmd, nil
}

func (l *lab) end() {
	for _, c := range slices.Backward(l.children) {
		_ = c.Process.Kill() // it may have ended already
		_ = c.Wait()         // killed is what it shall say
	}
}

// port returns a free address on loopback.
func port() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func ports(to ...*string) error {
	for _, t := range to {
		p, err := port()
		if err != nil {
			return err
		}
		*t = p
	}
	return nil
}

// reachable waits until an address accepts.
func (l *lab) reachable(address string) error {
	ctx, cancel := context.WithTimeout(l.ctx, 10*time.Second)
	defer cancel()
	for {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			return c.Close()
		}
		if ctx.Err() != nil {
			return fmt.Errorf("waiting for %s: %w", address, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (l *lab) start() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := ports(&l.web, &l.sink); err != nil {
		return err
	}
	_, sinkPort, _ := net.SplitHostPort(l.sink)
	if _, err := l.child(self, "web", l.web); err != nil {
		return err
	}
	iperf, err := l.child(l.iperf, "-s", "-B", "127.0.0.1", "-p", sinkPort)
	if err != nil {
		return err
	}
	_ = iperf
	l.contenders = []contender{{"direct", l.web, l.sink}}
	if err := l.add("copy", func(c contender, _ string) error {
		_, err := l.child(self, "copy", c.web, l.web, c.sink, l.sink)
		return err
	}); err != nil {
		return err
	}
	if err := l.add("haproxy", l.startHAProxy); err != nil {
		return err
	}
	if err := l.add("toxiproxy", func(c contender, api string) error {
		l.toxiproxAPI = api
		host, p, _ := net.SplitHostPort(api)
		cmd := exec.Command(l.toxiproxy, "-host", host, "-port", p)
		cmd.Env = append(os.Environ(), "LOG_LEVEL=error")
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("starting %q: %w", l.toxiproxy, err)
		}
		l.children = append(l.children, cmd)
		return l.configure(api, c)
	}); err != nil {
		return err
	}
	return l.add("gate", func(c contender, api string) error {
		l.gateAPI = api
		cmd, err := l.child(self, "gate", api)
		if err != nil {
			return err
		}
		l.gatePID = cmd.Process.Pid
		return l.configure(api, c)
	})
}

func (l *lab) add(name string, start func(c contender, api string) error) error {
	if slices.Contains(l.without, name) {
		fmt.Printf("# %s is left out\n", name)
		return nil
	}
	c := contender{name: name}
	var api string
	if err := ports(&c.web, &c.sink, &api); err != nil {
		return err
	}
	if err := start(c, api); err != nil {
		return err
	}
	l.contenders = append(l.contenders, c)
	return errors.Join(l.reachable(c.web), l.reachable(c.sink))
}

func (l *lab) startHAProxy(c contender, _ string) error {
	config := fmt.Sprintf(`defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen web
  bind %s
  server web %s
listen sink
  bind %s
  server sink %s
`, c.web, l.web, c.sink, l.sink)
	file := filepath.Join(l.dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	_, err := l.child(l.haproxy, "-q", "-db", "-f", file)
	return err
}
