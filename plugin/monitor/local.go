package monitor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/webguard"
	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/observe/federation"
	"github.com/microsim-dev/kubectl-microsim/observe/monitor"
	"github.com/microsim-dev/kubectl-microsim/observe/prometheus"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
)

// The names of files for Prometheus.
const (
	configFile = "prometheus.yml"
	rulesFile  = "rules.yml"
)

// onThisMachine serves the metrics of a system until a signal comes or the system goes.
func (o *options) onThisMachine(ctx context.Context, name string) (err error) {
	client, err := local.Find(name)
	if err != nil {
		return err
	}
	system, err := client.System(ctx)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(o.port)))
	if err != nil {
		return fmt.Errorf("serving the metrics of system %q: %w; --port chooses another port", system.Name, err)
	}
	base := &url.URL{Scheme: "http", Host: ln.Addr().String()}
	files, err := filesFor(system, base, o.watch())
	if err == nil && o.out != "" {
		err = writeFiles(o.out, files)
	}
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	door := federation.New(federation.Config{
		System: system.Name, Replicas: client.Replicas, Faults: client.Active, Hosts: webguard.LoopbackHosts(ln.Addr()), Files: paths(files),
	})
	defer door.Close()
	server := &http.Server{Handler: door, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(stopping) != nil {
			server.Close()
		}
		<-served
	}()
	program, err := o.startPrometheus(ctx, files)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	if program != nil {
		defer func() { err = errors.Join(err, program.Stop()) }()
	}
	if err := o.tell(system.Name, base, program); err != nil {
		return err
	}
	return o.await(ctx, client, program)
}

// filesFor are the texts for Prometheus and Grafana, by file name.
func filesFor(system *topology.System, base *url.URL, o monitor.Options) (map[string][]byte, error) {
	config, err := monitor.Config(base.JoinPath(federation.TargetsPath), []string{rulesFile}, o)
	if err != nil {
		return nil, err
	}
	rules, err := monitor.RulesOf(system, o).YAML()
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{configFile: config, rulesFile: rules}
	for _, d := range monitor.Dashboards(system, o) {
		if files[d.FileName()], err = d.JSON(); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// paths are files by the paths at which they are served.
func paths(files map[string][]byte) map[string][]byte {
	served := map[string][]byte{}
	for name, text := range files {
		served["/"+name] = text
	}
	return served
}

func writeFiles(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("writing to --out: %w", err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return fmt.Errorf("writing to --out: %w", err)
		}
	}
	return nil
}

// startPrometheus runs the program of --prometheus; nil if there is none.
func (o *options) startPrometheus(ctx context.Context, files map[string][]byte) (*prometheus.Server, error) {
	if o.program == "" {
		return nil, nil
	}
	storage := o.storage
	if storage != "" {
		var err error
		if storage, err = filepath.Abs(storage); err != nil {
			return nil, fmt.Errorf("finding the directory of --storage: %w", err)
		}
	}
	return prometheus.Start(ctx, prometheus.Options{
		Path: o.program, Storage: storage, Port: o.own, Config: files[configFile], Rules: map[string][]byte{rulesFile: files[rulesFile]},
	})
}

// tell prints where everything is.
func (o *options) tell(system string, base *url.URL, program *prometheus.Server) error {
	rows := [][]string{
		{"metrics of all services", base.JoinPath(federation.MetricsPath).String()},
		{"targets", base.JoinPath(federation.TargetsPath).String()},
		{"configuration", base.JoinPath(configFile).String()},
		{"rules", base.JoinPath(rulesFile).String()},
	}
	for _, d := range monitor.Dashboards(&topology.System{Name: system}, o.watch()) {
		rows = append(rows, []string{"dashboard: " + d.Name, base.JoinPath(d.FileName()).String()})
	}
	if program != nil {
		rows = append(rows, []string{"Prometheus", program.URL})
	}
	if err := cli.PrintTable(o.streams.Out, []string{"WHAT", "WHERE"}, rows); err != nil {
		return err
	}
	if o.out != "" {
		fmt.Fprintf(o.streams.Err, "The files are in %s\n", o.out)
	}
	fmt.Fprintln(o.streams.Err, "Ctrl-C ends it; the system goes on.")
	return nil
}

// lookPause is the time between two looks at the system.
const lookPause = time.Second

// await returns when a signal has come, or when the system or Prometheus has ended,
// which is an error.
func (o *options) await(ctx context.Context, client *control.Client, program *prometheus.Server) error {
	var ended <-chan struct{}
	if program != nil {
		ended = program.Ended()
	}
	ticker := time.NewTicker(lookPause)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ended:
			return program.Err()
		case <-ticker.C:
		}
		if gone(client.Name()) {
			return fmt.Errorf("system %q has been taken down, so there is nothing to watch any more", client.Name())
		}
	}
}

// gone reports whether a system has ended. One that only does not answer may be busy.
func gone(name string) bool {
	systems, err := local.Systems()
	if err != nil {
		return false
	}
	for _, s := range systems {
		if s.Name == name {
			return !s.Alive
		}
	}
	return true
}
