package chaosmesh

import (
	"cmp"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// networkChaos is the spec of a NetworkChaos.
type networkChaos struct {
	chaosFields
	Action    string          `json:"action"`
	Direction fault.Direction `json:"direction"`
	Target    *chaosTargets   `json:"target"`
	Delay     *struct {
		Latency     unit.Duration `json:"latency"`
		Jitter      unit.Duration `json:"jitter"`
		Correlation unit.Percent  `json:"correlation"`
		Reorder     *struct {
			Reorder     unit.Percent `json:"reorder"`
			Gap         int          `json:"gap"`
			Correlation unit.Percent `json:"correlation"`
		} `json:"reorder"`
	} `json:"delay"`
	Loss *struct {
		Loss        unit.Percent `json:"loss"`
		Correlation unit.Percent `json:"correlation"`
	} `json:"loss"`
	Duplicate *struct {
		Duplicate   unit.Percent `json:"duplicate"`
		Correlation unit.Percent `json:"correlation"`
	} `json:"duplicate"`
	Corrupt *struct {
		Corrupt     unit.Percent `json:"corrupt"`
		Correlation unit.Percent `json:"correlation"`
	} `json:"corrupt"`
	Rate *struct {
		Rate unit.TCRate `json:"rate"`
	} `json:"rate"`
	Bandwidth *struct {
		Rate unit.TCRate `json:"rate"`
		// The queue of the limit is our own.
		Limit    decode.Ignored `json:"limit"`
		Buffer   decode.Ignored `json:"buffer"`
		PeakRate decode.Ignored `json:"peakrate"`
		MinBurst decode.Ignored `json:"minburst"`
	} `json:"bandwidth"`
	// These are refused.
	ExternalTargets decode.Ignored `json:"externalTargets"`
	Device          decode.Ignored `json:"device"`
	TargetDevice    decode.Ignored `json:"targetDevice"`
}

// networkParts are the fields with an action's parameters.
func networkParts() []string {
	return []string{"delay", "loss", "duplicate", "corrupt", "rate", "bandwidth"}
}

func (c *chaosReader) network(in *networkChaos) chaosFields {
	c.refuse("spec.externalTargets", "only services of the system can be partitioned; choose them with target")
	c.refuse("spec.device", "faults act on the interface of the pod; remove it")
	c.refuse("spec.targetDevice", "faults act on the interface of the pod; remove it")
	c.refuse("spec.bandwidth.peakrate", "remove it, and use rate alone")
	c.refuse("spec.bandwidth.minburst", "remove it, and use rate alone")
	c.parameters(in)
	direction := cmp.Or(in.Direction, fault.ToTarget)
	if direction != fault.ToTarget && direction != fault.FromTarget && direction != fault.Both {
		c.File.Mistake(c.Root.At("spec.direction"), "spec.direction", "write to, from or both", "direction %q is not known", in.Direction)
	}
	var peers *document.Selection
	if in.Target != nil {
		s := c.selection(in.Target, "spec.target")
		peers = &s
	}
	for i := range c.Faults.Parts {
		c.Faults.Parts[i].Peers, c.Faults.Parts[i].Towards = peers, direction
	}
	return in.chaosFields
}

// parameters makes the faults that the action asks for.
func (c *chaosReader) parameters(in *networkChaos) {
	makers := map[string]func(*networkChaos, string){
		"delay": c.delay, "loss": c.loss, "duplicate": c.duplicate, "corrupt": c.corrupt, "rate": c.rate, "bandwidth": c.bandwidth,
	}
	given := c.Root.Get("spec")
	switch {
	case in.Action == "partition":
		c.add("spec", fault.Fault{Type: fault.NetPartition}, nil)
	case in.Action == "netem":
		for _, key := range networkParts() {
			if given.Get(key) != nil {
				makers[key](in, "spec."+key)
			}
		}
		if len(c.Faults.Parts) == 0 && len(c.File.InDocument()) == 0 {
			c.File.Mistake(given, "spec", "write one or more of delay, loss, duplicate, corrupt and rate", "action netem has nothing to do")
		}
	case makers[in.Action] == nil:
		c.File.Mistake(c.Root.At("spec.action"), "spec.action", problem.DidYouMean(in.Action, append(networkParts(), "netem", "partition"), "write delay, loss, duplicate, corrupt, rate, bandwidth, partition or netem"), "action %q is not known", in.Action)
	case given.Get(in.Action) == nil:
		c.File.Mistake(given, "spec."+in.Action, "write its parameters under "+in.Action, "action %s has no parameters", in.Action)
	default:
		makers[in.Action](in, "spec."+in.Action)
	}
	for _, key := range networkParts() {
		if in.Action != "netem" && in.Action != key && given.Get(key) != nil {
			c.File.Mistake(given.Get(key), "spec."+key, "remove it, or write action: netem for several at once", "%s stands beside action %s", key, in.Action)
		}
	}
}

func (c *chaosReader) delay(in *networkChaos, path string) {
	d := in.Delay
	if d == nil {
		return
	}
	f := fault.Fault{Type: fault.NetDelay, Args: fault.Args{Delay: dist.Fixed(d.Latency.Std()), Jitter: d.Jitter, Correlation: unit.Share(d.Correlation.Share())}}
	moved := map[string]string{"delay": "latency", "jitter": "jitter", "correlation": "correlation"}
	c.needs(path+".latency", d.Latency == 0)
	if r := d.Reorder; r != nil {
		f.Type, f.Args.Percent, f.Args.Correlation = fault.NetReorder, r.Reorder, unit.Share(r.Correlation.Share())
		moved["percent"], moved["correlation"] = "reorder.reorder", "reorder.correlation"
		c.needs(path+".reorder.reorder", r.Reorder == 0)
		if r.Gap > 1 {
			c.File.Mistake(c.Root.At(path+".reorder.gap"), path+".reorder.gap", "remove it: each packet is drawn", "a gap of %d is not covered", r.Gap)
		}
		for _, key := range []string{"jitter", "correlation"} {
			if n := c.Root.Under(path + "." + key); n.IsScalar() && (d.Jitter != 0 || d.Correlation != 0) {
				c.File.Mistake(n, path+"."+key, "remove it, or remove reorder", "%s of the delay is not covered beside reorder", key)
			}
		}
		f.Args.Jitter = 0
	}
	c.add(path, f, moved)
}

func (c *chaosReader) loss(in *networkChaos, path string) {
	if l := in.Loss; l != nil {
		c.share(path, fault.NetLoss, "loss", l.Loss, l.Correlation)
	}
}

func (c *chaosReader) duplicate(in *networkChaos, path string) {
	if d := in.Duplicate; d != nil {
		c.share(path, fault.NetDuplicate, "duplicate", d.Duplicate, d.Correlation)
	}
}

func (c *chaosReader) corrupt(in *networkChaos, path string) {
	if d := in.Corrupt; d != nil {
		c.share(path, fault.NetCorrupt, "corrupt", d.Corrupt, d.Correlation)
	}
}

func (c *chaosReader) rate(in *networkChaos, path string) {
	if r := in.Rate; r != nil {
		c.needs(path+".rate", r.Rate == 0)
		c.add(path, fault.Fault{Type: fault.NetRate, Args: fault.Args{Rate: unit.Rate(r.Rate)}}, map[string]string{"rate": "rate"})
	}
}

func (c *chaosReader) bandwidth(in *networkChaos, path string) {
	if b := in.Bandwidth; b != nil {
		c.needs(path+".rate", b.Rate == 0)
		c.add(path, fault.Fault{Type: fault.NetRate, Args: fault.Args{Rate: unit.Rate(b.Rate)}}, map[string]string{"rate": "rate"})
	}
}

// share adds a fault that hits a share of the packets.
func (c *chaosReader) share(path string, t fault.Type, key string, share, correlation unit.Percent) {
	c.needs(path+"."+key, share == 0)
	f := fault.Fault{Type: t, Args: fault.Args{Percent: share, Correlation: unit.Share(correlation.Share())}}
	c.add(path, f, map[string]string{"percent": key, "correlation": "correlation"})
}
