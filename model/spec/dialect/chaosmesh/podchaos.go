package chaosmesh

import (
	"fmt"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// podChaos is the spec of a PodChaos.
type podChaos struct {
	chaosFields
	Action string `json:"action"`
	// GracePeriod is in seconds.
	GracePeriod int64 `json:"gracePeriod"`
	// A replica is one container.
	ContainerNames decode.Ignored `json:"containerNames"`
}

func (c *chaosReader) pods(in *podChaos) chaosFields {
	switch in.Action {
	case "pod-kill":
		how := fault.Kill
		if in.GracePeriod > 0 {
			how = fault.Restart
			c.Note(c.Root.At("spec.gracePeriod"), "spec.gracePeriod", "the pod gets as long to end as it always does")
		}
		c.add("spec", fault.Fault{Type: how}, nil)
	case "container-kill":
		c.add("spec", fault.Fault{Type: fault.Restart}, nil)
	case "pod-failure":
		c.File.Mistake(c.Root.At("spec.action"), "spec.action", "use pod-kill; or the fault pause, which lets callers wait, or unreachable, which lets their calls fail", "action pod-failure is not covered")
	default:
		c.File.Mistake(c.Root.At("spec.action"), "spec.action", "write pod-kill or container-kill", "action %q is not known", in.Action)
	}
	return in.chaosFields
}

// stressChaos is the spec of a StressChaos.
type stressChaos struct {
	chaosFields
	Stressors struct {
		CPU *struct {
			Workers int            `json:"workers"`
			Load    unit.Percent   `json:"load"`
			Options decode.Ignored `json:"options"`
		} `json:"cpu"`
		Memory *struct {
			// Workers share the size.
			Workers     int            `json:"workers"`
			Size        ChaosSize      `json:"size"`
			Time        decode.Ignored `json:"time"`
			Options     decode.Ignored `json:"options"`
			OOMScoreAdj decode.Ignored `json:"oomScoreAdj"`
		} `json:"memory"`
	} `json:"stressors"`
	StressngStressors decode.Ignored `json:"stressngStressors"`
	ContainerNames    decode.Ignored `json:"containerNames"`
}

func (c *chaosReader) stress(in *stressChaos) chaosFields {
	c.refuse("spec.stressngStressors", "use stressors with cpu or memory")
	c.refuse("spec.stressors.cpu.options", "use workers and load")
	for _, key := range []string{"options", "time", "oomScoreAdj"} {
		c.refuse("spec.stressors.memory."+key, "use size alone")
	}
	if s := in.Stressors.CPU; s != nil {
		load := unit.Share(s.Load.Share())
		if c.Root.Under("spec.stressors.cpu.load") == nil {
			load = 1
		}
		if s.Workers < 1 || load == 0 {
			c.File.Mistake(c.Root.At("spec.stressors.cpu"), "spec.stressors.cpu", "write workers from 1 up, and a load from 1 to 100", "%d workers with a load of %v %% do nothing", s.Workers, unit.PercentOf(float64(load)))
		}
		c.add("spec.stressors.cpu", fault.Fault{Type: fault.CPUStress, Args: fault.Args{Load: load, Cores: unit.Cores(s.Workers)}}, map[string]string{"load": "load", "cores": "workers"})
	}
	if s := in.Stressors.Memory; s != nil {
		c.needs("spec.stressors.memory.size", s.Size == 0)
		c.add("spec.stressors.memory", fault.Fault{Type: fault.MemoryStress, Args: fault.Args{Size: unit.Size(s.Size)}}, map[string]string{"size": "size"})
	}
	if len(c.Faults.Parts) == 0 && len(c.File.InDocument()) == 0 {
		c.File.Mistake(c.Root.At("spec.stressors"), "spec.stressors", "write cpu, memory, or both under it", "there are no stressors")
	}
	return in.chaosFields
}

// A ChaosSize is a size as Chaos Mesh writes it: 256MB, 1GiB.
type ChaosSize unit.Size

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *ChaosSize) UnmarshalText(text []byte) error {
	word := strings.TrimSpace(string(text))
	if strings.HasSuffix(word, "%") {
		return fmt.Errorf("%q is a share of a memory that is not known here: write a size, such as 256MB", text)
	}
	short := strings.TrimSuffix(strings.TrimSuffix(word, "B"), "b")
	if short != "" && strings.HasSuffix(strings.ToLower(short), "k") {
		short = short[:len(short)-1] + "k"
	}
	size, err := unit.ParseSize(short)
	if err != nil {
		return fmt.Errorf("invalid size %q: write a number of bytes, such as 256MB or 1GiB", text)
	}
	*s = ChaosSize(size)
	return nil
}
