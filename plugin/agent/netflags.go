package agent

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/netfault"
	"github.com/microsim-dev/kubectl-microsim/netfault/netns"
)

// netOptions holds the flags of the net commands.
type netOptions struct {
	target   netns.Target
	backend  string
	owner    string
	file     string
	lasting  unit.Duration
	dryRun   bool
	faults   []string
	rule     netfault.Rule
	anyFault bool // a flag describes a fault
}

func (o *netOptions) flags() *flag.FlagSet {
	f := flag.NewFlagSet("net", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Func("netns", "name or path of the network namespace", func(s string) error {
		t := netns.ParseName(s)
		o.target.Name, o.target.Path = t.Name, t.Path
		return nil
	})
	f.IntVar(&o.target.PID, "pid", 0, "a process in the network namespace")
	f.StringVar(&o.target.PodUID, "pod-uid", "", "UID of a pod on this node")
	f.StringVar(&o.backend, "backend", "auto", "auto, tc or emulate")
	f.StringVar(&o.owner, "owner", "", "mark of what is set up (apply: \"agent\")")
	f.StringVar(&o.file, "f", "", "file with the desired state as JSON; - is stdin")
	f.Var(&o.lasting, "for", "take everything back after this time")
	f.BoolVar(&o.dryRun, "dry-run", false, "print what would be done, and change nothing")
	o.rule = netfault.Rule{ID: "flags"}
	f.StringVar(&o.rule.Interface, "interface", "", "the interface (that of the default route, or else the only one)")
	f.Func("direction", "egress, ingress or both (egress)", func(s string) error {
		o.rule.Direction = netfault.Direction(s)
		return nil
	})
	o.rule.Direction = netfault.Egress
	o.peerFlag(f, &o.rule.Peers, "peer", "only packets to or from a peer: [tcp:|udp:|icmp:]CIDR|*[;ports=80,8000-8100][;local=9000]; may be repeated")
	o.peerFlag(f, &o.rule.Exempt, "exempt", "packets to leave alone, like --peer; may be repeated")
	f.Func("fault", "one of net-delay, net-loss, net-duplicate, net-corrupt, net-reorder, net-rate, net-partition; may be repeated", func(s string) error {
		o.faults, o.anyFault = append(o.faults, s), true
		return nil
	})
	o.impairmentFlags(f)
	return f
}

func (o *netOptions) peerFlag(f *flag.FlagSet, to *[]netfault.Peer, name, doc string) {
	f.Func(name, doc, func(s string) error {
		p, err := netfault.ParsePeer(s)
		*to = append(*to, p)
		return err
	})
}

func (o *netOptions) impairmentFlags(f *flag.FlagSet) {
	i := &o.rule.Impairment
	set := func(name, doc string, parse func(string) error) {
		f.Func(name, doc, func(s string) error {
			o.anyFault = true
			return parse(s)
		})
	}
	duration := func(to *time.Duration) func(string) error {
		return func(s string) error {
			d, err := unit.ParseDuration(s)
			*to = d.Std()
			return err
		}
	}
	share := func(to *float64) func(string) error {
		return func(s string) error {
			v, err := unit.ParseShare(s)
			*to = float64(v)
			return err
		}
	}
	set("delay", "net-delay: time added to each packet, such as 100ms", duration(&i.Delay))
	set("jitter", "net-delay: variation of the delay", duration(&i.Jitter))
	set("distribution", "net-delay: uniform, normal, pareto or paretonormal", func(s string) error {
		i.Distribution = netfault.Distribution(s)
		return nil
	})
	set("delay-correlation", "net-delay: 0..1", share(&i.DelayCorrelation))
	set("loss", "net-loss: probability 0..1", share(&i.Loss.Probability))
	set("loss-correlation", "net-loss: 0..1", share(&i.Loss.Correlation))
	set("duplicate", "net-duplicate: probability 0..1", share(&i.Duplicate.Probability))
	set("corrupt", "net-corrupt: probability 0..1", share(&i.Corrupt.Probability))
	set("reorder", "net-reorder: probability 0..1 of being sent ahead of delayed packets", share(&i.Reorder.Probability))
	set("rate", "net-rate: bytes a second (125k), or bits with their unit (1mbit)", func(s string) (err error) {
		var r unit.Rate
		r, err = unit.ParseRate(s)
		i.Rate.BytesPerSecond = uint64(r)
		return err
	})
	set("seed", "make random decisions repeatable", func(s string) (err error) {
		i.Seed, err = strconv.ParseUint(s, 0, 64)
		return err
	})
	set("limit", "packets that may wait", func(s string) error {
		n, err := strconv.ParseUint(s, 0, 32)
		i.Limit = uint32(n)
		return err
	})
}

// defaultOwner marks what is applied without --owner.
const defaultOwner = "agent"

// state returns the desired state that the flags, or the file, describe.
func (o *netOptions) state(now time.Time, stdin io.Reader) (netfault.State, error) {
	var s netfault.State
	switch {
	case o.file != "" && o.anyFault:
		return s, fmt.Errorf("net apply: -f and flags that describe a fault exclude each other; put all into the file: %w", ErrUsage)
	case o.file != "":
		var err error
		if s, err = readState(o.file, stdin); err != nil {
			return s, err
		}
	case !o.anyFault:
		return s, fmt.Errorf("net apply: give a state with -f, or a fault such as --fault net-delay --delay 100ms: %w", ErrUsage)
	default:
		s = netfault.State{Owner: defaultOwner, Rules: []netfault.Rule{o.rule}}
		if err := checkFaults(o.faults, &s.Rules[0].Impairment); err != nil {
			return s, fmt.Errorf("net apply: %w: %w", err, ErrUsage)
		}
	}
	if o.owner != "" {
		s.Owner = o.owner
	}
	if o.lasting < 0 {
		return s, fmt.Errorf("net apply: --for %s is negative: %w", o.lasting, ErrUsage)
	}
	if o.lasting > 0 {
		s.Deadline = now.Add(o.lasting.Std())
	}
	return s, s.Validate()
}

// checkFaults returns an error if the named types of faults do not fit the given
// flags.
func checkFaults(named []string, i *netfault.Impairment) error {
	kinds := []struct {
		kind fault.Type
		flag string
		used bool
	}{
		{fault.NetDelay, "--delay", i.Delay != 0 || i.Jitter != 0},
		{fault.NetLoss, "--loss", i.Loss.Probability != 0},
		{fault.NetDuplicate, "--duplicate", i.Duplicate.Probability != 0},
		{fault.NetCorrupt, "--corrupt", i.Corrupt.Probability != 0},
		{fault.NetReorder, "--reorder", i.Reorder.Probability != 0},
		{fault.NetRate, "--rate", i.Rate.BytesPerSecond != 0},
	}
	var errs []error
	known := []string{string(fault.NetPartition)}
	for _, k := range kinds {
		known = append(known, string(k.kind))
		isNamed := slices.Contains(named, string(k.kind))
		if isNamed && !k.used {
			errs = append(errs, fmt.Errorf("--fault %s needs %s", k.kind, k.flag))
		}
		// A reordering needs a delay, which is then no fault of its own.
		ofReorder := k.kind == fault.NetDelay && slices.Contains(named, string(fault.NetReorder))
		if k.used && !isNamed && len(named) > 0 && !ofReorder {
			errs = append(errs, fmt.Errorf("%s belongs to --fault %s, which is not given", k.flag, k.kind))
		}
	}
	for _, name := range named {
		if !slices.Contains(known, name) {
			errs = append(errs, fmt.Errorf("--fault %q: want one of %s", name, strings.Join(known, ", ")))
		}
	}
	i.Partition = slices.Contains(named, string(fault.NetPartition))
	return errors.Join(errs...)
}

// targetFlag returns the flag of the target, for a command line that a user can
// copy.
func (o *netOptions) targetFlag() string {
	switch t := o.target; {
	case t.Name != "":
		return "--netns " + t.Name
	case t.Path != "":
		return "--netns " + t.Path
	case t.PID != 0:
		return fmt.Sprintf("--pid %d", t.PID)
	default:
		return "--pod-uid " + t.PodUID
	}
}
