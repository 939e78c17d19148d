package vecrosim

import (
	"cmp"
	"reflect"
	"slices"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// This file reads the fault definitions of VECROsim, which have no kind.

type vecroFaultFile struct {
	Name      string         `json:"name"`
	Namespace decode.Ignored `json:"namespace"`
	Replicas  decode.Ignored `json:"replicas"`
	Faults    []vecroFault   `json:"faults"`
}

type vecroFault struct {
	Name      string         `json:"name"`
	Target    string         `json:"target"`
	Start     unit.Duration  `json:"start"`
	Duration  unit.Duration  `json:"duration"`
	Behaviors vecroBehaviors `json:"behaviors"`
}

// vecroBehaviors act at the same time.
type vecroBehaviors struct {
	NetDelay *struct {
		Time   unit.Duration `json:"time"`
		Jitter unit.Duration `json:"jitter"`
	} `json:"net-delay"`
	NetLoss *struct {
		Percent unit.Percent `json:"percent"`
	} `json:"net-loss"`
	NetRate *struct {
		Rate unit.TCRate `json:"rate"`
	} `json:"net-rate"`
	IOStress *struct {
		Method string `json:"method"`
	} `json:"io-stress"`
	CPUStress *struct {
		Load   unit.Percent `json:"load"`
		Method string       `json:"method"`
	} `json:"cpu-stress"`
}

// A vecroBehavior is one behaviour as a fault; key is its name, and moved leads
// from the fault's parameters to the behaviour's.
type vecroBehavior struct {
	Key   string
	Fault fault.Fault
	Moved map[string]string
}

func ReadFaults(f *decode.File, n *decode.Node) *document.Draft {
	p := vecro{document.NewDraft(f, n, document.VECROsim, document.KindFaults)}
	var in vecroFaultFile
	f.Decode(n, "", reflect.ValueOf(&in).Elem())
	p.Faults = &document.Faults{Name: in.Name}
	if in.Name == "" {
		p.Faults.Name = document.NameFromFile(f.Name)
	}
	if len(in.Faults) == 0 && len(f.InDocument()) == 0 {
		f.Mistake(n, "faults", "write a list of them under faults", "there are no faults")
	}
	for i := range in.Faults {
		p.vecroFault(&in.Faults[i], problem.Index("faults", i))
	}
	return p.Draft
}

func (p vecro) vecroFault(in *vecroFault, path string) {
	at := p.Root.At(path)
	for _, needed := range []struct{ Key, Value, Hint string }{
		{"name", in.Name, "give it one; it is listed and cleared by it"},
		{"target", in.Target, "name the service to break"},
	} {
		if needed.Value == "" {
			p.File.Mistake(at, problem.Join(path, needed.Key), needed.Hint, "the fault has no %s", needed.Key)
		}
	}
	if s := in.Behaviors.IOStress; s != nil && s.Method != "" && s.Method != "sync" && s.Method != "iomix" {
		p.File.Mistake(p.Root.At(path+".behaviors.io-stress.method"), path+".behaviors.io-stress.method", "write sync or iomix", "method %q is not known", s.Method)
	}
	behaviors := slices.DeleteFunc(in.Behaviors.list(), func(b vecroBehavior) bool {
		place := path + ".behaviors." + b.Key
		if b.idle() {
			p.Note(p.Root.At(place), place, "with these values %s does nothing", b.Key)
		}
		return b.idle()
	})
	if len(behaviors) == 0 && len(p.File.InDocument()) == 0 {
		p.File.Mistake(at, path+".behaviors", "write one or more of net-delay, net-loss, net-rate, io-stress and cpu-stress", "fault %q does nothing", in.Name)
	}
	for _, b := range behaviors {
		p.vecroBehavior(in, b, path, len(behaviors) > 1)
	}
}

// vecroBehavior adds one behaviour of a fault, which is called after both where
// there are several.
func (p vecro) vecroBehavior(in *vecroFault, b vecroBehavior, path string, several bool) {
	place := path + ".behaviors." + b.Key
	one := b.Fault.WithDefaults()
	one.Name, one.Start, one.Duration, one.Probability = in.Name, in.Start, in.Duration, 1
	if several {
		one.Name += "-" + b.Key
	}
	for from, to := range b.Moved {
		p.Moved[place+".args."+from] = place + "." + to
	}
	p.Moved[place+".start"], p.Moved[place+".duration"], p.Moved[place+".name"] = path+".start", path+".duration", path+".name"
	// Impairments are those of what the target sends.
	p.Faults.Parts = append(p.Faults.Parts, document.Part{Fault: one, Path: place, Towards: fault.ToTarget, On: document.Selection{Services: []string{in.Target}, Container: true}})
}

// list makes faults of the behaviours that are given.
func (b *vecroBehaviors) list() (all []vecroBehavior) {
	if d := b.NetDelay; d != nil {
		all = append(all, vecroBehavior{"net-delay", fault.Fault{
			Type: fault.NetDelay, Args: fault.Args{Delay: dist.Fixed(d.Time.Std()), Jitter: d.Jitter},
		}, map[string]string{"delay": "time", "jitter": "jitter"}})
	}
	if l := b.NetLoss; l != nil {
		all = append(all, vecroBehavior{"net-loss", fault.Fault{Type: fault.NetLoss, Args: fault.Args{Percent: l.Percent}}, map[string]string{"percent": "percent"}})
	}
	if r := b.NetRate; r != nil {
		all = append(all, vecroBehavior{"net-rate", fault.Fault{Type: fault.NetRate, Args: fault.Args{Rate: unit.Rate(r.Rate)}}, map[string]string{"rate": "rate"}})
	}
	if s := b.IOStress; s != nil {
		all = append(all, vecroBehavior{"io-stress", fault.Fault{Type: fault.IOStress, Args: fault.Args{Method: s.Method}}, map[string]string{"method": "method"}})
	}
	if s := b.CPUStress; s != nil {
		s.Method = cmp.Or(s.Method, "all")
		all = append(all, vecroBehavior{"cpu-stress", fault.Fault{Type: fault.CPUStress, Args: fault.Args{Load: unit.Share(s.Load.Share()), Method: s.Method}}, map[string]string{"load": "load", "method": "method"}})
	}
	return all
}

// idle reports whether the behaviour is given, but with values by which VECROsim
// leaves it out.
func (b *vecroBehavior) idle() bool {
	a := b.Fault.Args
	switch b.Fault.Type {
	case fault.NetDelay:
		return a.Delay.Fixed >= 0 && a.Delay.Fixed < unit.Duration(1e6)
	case fault.NetLoss:
		return a.Percent == 0
	case fault.NetRate:
		return a.Rate == 0
	case fault.CPUStress:
		return a.Load == 0
	default:
		return false
	}
}
