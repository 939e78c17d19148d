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

type serveOptions struct {
	name, addr, control string
	watchStdin, verbose bool
	logFormat           string
}

// ownNetwork is the variable that says that the network namespace is the service's own.
const ownNetwork = "MICROSIM_OWN_NETWORK"

// serve is the command of that name.
func serve(ctx context.Context, args []string, streams Streams) error {
	var o serveOptions
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	flags.StringVar(&o.name, "service-name", "Undefined", "name of the service, where nothing else names it")
	flags.StringVar(&o.addr, "addr", "", "address to listen on (:PORT); port 0 takes a free one")
	flags.StringVar(&o.control, "control-addr", "", "second address for health, metrics and control, which a full accept queue does not block")
	flags.BoolVar(&o.watchStdin, "watch-stdin", false, "end when stdin is closed, as it is when the parent dies")
	flags.BoolVar(&o.verbose, "verbose", false, "log every request to stderr")
	flags.StringVar(&o.logFormat, "log-format", service.TextLogs, "format of the log on stderr: text or json")
	if helped, err := parse(flags, serveDoc, args, streams); helped || err != nil {
		return err
	}
	cfg, err := serveConfig(o, os.Getenv, streams.Err)
	if err != nil {
		return err
	}
	svc, err := service.New(cfg)
	if err != nil {
		return err
	}
	addr := cmp.Or(o.addr, os.Getenv("MICROSIM_ADDR"), ":"+cmp.Or(os.Getenv("PORT"), "8080"))
	o.watchStdin = o.watchStdin || os.Getenv("MICROSIM_WATCH_STDIN") != ""
	return listenAndServe(ctx, svc, addr, o, streams)
}

// serveConfig puts together flags and environment.
func serveConfig(o serveOptions, getenv func(string) string, stderr io.Writer) (service.Config, error) {
	level := slog.LevelInfo
	if o.verbose {
		level = slog.LevelDebug
	}
	logger, err := service.NewLogger(stderr, o.logFormat, level)
	if err != nil {
		return service.Config{}, fmt.Errorf("--log-format: %w", err)
	}
	spec := &service.Spec{Service: topology.NewService("")}
	data, err := readVariable(getenv, "MICROSIM_SERVICE")
	if err != nil {
		return service.Config{}, err
	}
	if len(data) > 0 {
		if spec, err = service.ParseSpec(data); err != nil {
			return service.Config{}, fmt.Errorf("MICROSIM_SERVICE: %w", err)
		}
	}
	cfg := spec.Config(logger)
	cfg.Service.Name = cmp.Or(getenv("SERVICE_NAME"), cfg.Service.Name, o.name)
	cfg.Token = cmp.Or(getenv("MICROSIM_TOKEN"), cfg.Token)
	for host := range strings.SplitSeq(getenv("MICROSIM_ALLOW_HOSTS"), ",") {
		if host = strings.TrimSpace(host); host != "" {
			cfg.AllowHosts = append(cfg.AllowHosts, host)
		}
	}
	cfg.ProcessMetrics, cfg.OwnNetwork = true, getenv(ownNetwork) != ""
	return cfg, nil
}

// addresses is the line that tells where the service listens.
type addresses struct {
	Addr    string `json:"addr"`
	Control string `json:"control,omitempty"`
}

func listenAndServe(ctx context.Context, svc *service.Service, addr string, o serveOptions, streams Streams) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listening for service %q: %w; choose another port with --addr or PORT", svc.Name(), err)
	}
	told := addresses{Addr: ln.Addr().String()}
	stopControl := func() error { return nil }
	if o.control != "" {
		control, err := net.Listen("tcp", o.control)
		if err != nil {
			_ = ln.Close()
			return fmt.Errorf("listening for control of service %q: %w; choose another port with --control-addr", svc.Name(), err)
		}
		told.Control = control.Addr().String()
		stopControl = serveControl(control, svc.ControlHandler())
	}
	if err := json.NewEncoder(streams.Out).Encode(told); err != nil {
		_ = ln.Close()
		return errors.Join(fmt.Errorf("printing the address: %w", err), stopControl())
	}
	if o.watchStdin {
		// Reading stdin cannot be broken off; this goroutine ends with stdin or
		// with the process.
		go func() {
			_, _ = io.Copy(io.Discard, streams.In)
			cancel()
		}()
	}
	err = svc.Serve(ctx, ln)
	return errors.Join(err, stopControl())
}

// serveControl serves until the returned function is called, which waits.
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
