package stress

import (
	"flag"
	"os"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// Options are what a command line says of a stress.
type Options struct {
	Config
	Lasting time.Duration
	Wait    bool
}

// Flags are the command line of a stress.
func Flags(o *Options) *flag.FlagSet {
	f := flag.NewFlagSet("stress", flag.ContinueOnError)
	f.StringVar((*string)(&o.Type), "type", "", "cpu-stress, io-stress or memory-stress")
	o.Cores = 1
	f.Var(&o.Cores, "cores", "processors to keep busy")
	o.Load = 1
	f.Var((*unit.Share)(&o.Load), "load", "share of the time of each, such as 0.5 or 50%")
	f.StringVar(&o.Method, "method", "", "way of working (all), or of writing: sync or iomix")
	f.Var(&o.Size, "size", "memory to take, or length of the file")
	f.StringVar(&o.Dir, "dir", os.TempDir(), "where the file is")
	f.DurationVar(&o.Lasting, "for", 0, "end after this time; 0 means when told to")
	f.BoolVar(&o.Wait, "wait", false, "begin at a line of stdin, and end with it")
	return f
}

// Args is the command line that means the configuration.
func Args(c Config, lasting time.Duration) []string {
	args := []string{
		"stress", "--wait", "--type", string(c.Type), "--cores", c.Cores.String(), "--load", unit.Share(c.Load).String(),
		"--method", c.Method, "--size", c.Size.String(), "--for", lasting.String(),
	}
	if c.Dir != "" {
		args = append(args, "--dir", c.Dir)
	}
	return args
}
