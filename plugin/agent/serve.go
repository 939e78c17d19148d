package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/service"
)

const serveDoc = `microsim-agent serve [flags]

Serves one mock service until it gets INT, TERM or HUP. When it listens, it
prints its address as a line of JSON: {"addr":"127.0.0.1:8080"}.

Environment:
  SERVICE_NAME          the service's name; wins over --service-name
  PORT                  the port, where no address is given (8080)
  MICROSIM_ADDR         the address to listen on, where --addr is not given
  MICROSIM_WATCH_STDIN  not empty: as --watch-stdin
  MICROSIM_SERVICE      the service's part of the System as JSON, or @FILE
  MICROSIM_TOKEN        the token of /admin, in place of the one in there
  MICROSIM_ALLOW_HOSTS  hosts, separated by commas, that chains may also name
  MICROSIM_OWN_NETWORK  not empty: no other program uses this network namespace,
                        so the metrics say what it carried (process_network_*)

Flags:
`

// ServeFlags are the flags of commands that serve until they are ended.
type ServeFlags struct {
	addr, control       string
	watchStdin, verbose bool
	logFormat           string
}

// AddFlags adds the flags to a set.
func (o *ServeFlags) AddFlags(flags *flag.FlagSet) {
	flags.StringVar(&o.addr, "addr", "", "address to listen on (:PORT); port 0 takes a free one")
	flags.StringVar(&o.control, "control-addr", "", "second address for health, metrics and control, which a full accept queue does not block")
	flags.BoolVar(&o.watchStdin, "watch-stdin", false, "end when stdin is closed, as it is when the parent dies")
	flags.BoolVar(&o.verbose, "verbose", false, "log every request to stderr")
	flags.StringVar(&o.logFormat, "log-format", service.TextLogs, "format of the log on stderr: text or json")
}

// Logger returns a logger to stderr, as the flags say.
func (o *ServeFlags) Logger(stderr io.Writer) (*slog.Logger, error) {
	level := slog.LevelInfo
	if o.verbose {
		level = slog.LevelDebug
	}
	logger, err := service.NewLogger(stderr, o.logFormat, level)
	if err != nil {
		return nil, fmt.Errorf("--log-format: %w", err)
	}
	return logger, nil
}

// A Server is the service or data store that a command serves.
type Server interface {
	// Serve answers connections until ctx ends; any other end is an error.
	Serve(ctx context.Context, ln net.Listener) error
	// ControlHandler answers health, metrics and control.
	ControlHandler() http.Handler
}

// OwnNetwork is the environment variable that says that the service shares its network
// namespace with no other program.
const OwnNetwork = "MICROSIM_OWN_NETWORK"

// serve is the command `serve`.
func serve(ctx context.Context, newDriver NewDriver, args []string, streams Streams) error {
	var o ServeFlags
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	name := flags.String("service-name", "Undefined", "name of the service, where nothing else names it")
	o.AddFlags(flags)
	if helped, err := Parse(flags, serveDoc, args, streams); helped || err != nil {
		return err
	}
	cfg, err := serveConfig(*name, &o, os.Getenv, streams.Err)
	if err != nil {
		return err
	}
	cfg.NewDriver = newDriver
	svc, err := service.New(cfg)
	if err != nil {
		return err
	}
	return o.Serve(ctx, fmt.Sprintf("service %q", svc.Name()), svc, os.Getenv, streams)
}

// serveConfig returns the configuration that flags and environment describe.
func serveConfig(name string, o *ServeFlags, getenv func(string) string, stderr io.Writer) (service.Config, error) {
	logger, err := o.Logger(stderr)
	if err != nil {
		return service.Config{}, err
	}
	spec, err := ReadSpec(getenv)
	if err != nil {
		return service.Config{}, err
	}
	cfg := spec.Config(logger)
	cfg.Service.Name = cmp.Or(cfg.Service.Name, name)
	for host := range strings.SplitSeq(getenv("MICROSIM_ALLOW_HOSTS"), ",") {
		if host = strings.TrimSpace(host); host != "" {
			cfg.AllowHosts = append(cfg.AllowHosts, host)
		}
	}
	cfg.ProcessMetrics, cfg.OwnNetwork = true, getenv(OwnNetwork) != ""
	return cfg, nil
}

// ReadSpec reads the spec of the service from the environment: from MICROSIM_SERVICE,
// whose name and token SERVICE_NAME and MICROSIM_TOKEN replace.
func ReadSpec(getenv func(string) string) (*service.Spec, error) {
	spec := &service.Spec{Service: topology.NewService("")}
	data, err := readVariable(getenv, "MICROSIM_SERVICE")
	if err != nil {
		return nil, err
	}
	if len(data) > 0 {
		if spec, err = service.ParseSpec(data); err != nil {
			return nil, fmt.Errorf("MICROSIM_SERVICE: %w", err)
		}
	}
	spec.Service.Name = cmp.Or(getenv("SERVICE_NAME"), spec.Service.Name)
	spec.Token = cmp.Or(getenv("MICROSIM_TOKEN"), spec.Token)
	return spec, nil
}

// addresses is the line in which the program prints where it listens.
type addresses struct {
	Addr    string `json:"addr"`
	Control string `json:"control,omitempty"`
}

// Serve listens where the flags and the environment say, prints the addresses, and serves
// until ctx ends or, if stdin is watched, until stdin is closed. what names the server in
// errors.
func (o *ServeFlags) Serve(ctx context.Context, what string, server Server, getenv func(string) string, streams Streams) error {
	addr := cmp.Or(o.addr, getenv("MICROSIM_ADDR"), ":"+cmp.Or(getenv("PORT"), "8080"))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listening for %s: %w; choose another port with --addr or PORT", what, err)
	}
	told := addresses{Addr: ln.Addr().String()}
	stopControl := func() error { return nil }
	if o.control != "" {
		control, err := net.Listen("tcp", o.control)
		if err != nil {
			_ = ln.Close()
			return fmt.Errorf("listening for control of %s: %w; choose another port with --control-addr", what, err)
		}
		told.Control = control.Addr().String()
		stopControl = serveControl(control, server.ControlHandler())
	}
	if err := json.NewEncoder(streams.Out).Encode(told); err != nil {
		_ = ln.Close()
		return errors.Join(fmt.Errorf("printing the address: %w", err), stopControl())
	}
	if o.watchStdin || getenv("MICROSIM_WATCH_STDIN") != "" {
		// Reading stdin cannot be interrupted; this goroutine ends with stdin or
		// the process.
		go func() {
			_, _ = io.Copy(io.Discard, streams.In)
			cancel()
		}()
	}
	err = server.Serve(ctx, ln)
	return errors.Join(err, stopControl())
}

// serveControl serves until stop is called. stop waits until the server has ended.
func serveControl(ln net.Listener, handler http.Handler) (stop func() error) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	return func() error {
		_ = server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving control on %s: %w", ln.Addr(), err)
		}
		return nil
	}
}
