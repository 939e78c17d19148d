package netfault

import (
	"errors"
	"fmt"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// ImpairmentOf translates a fault of the model into an impairment of packets.
// The error says why a fault cannot be applied to packets.
func ImpairmentOf(f *fault.Fault) (Impairment, error) {
	i, err := impairmentOf(f)
	if err != nil {
		return i, fmt.Errorf("fault %q: %w", f.Label(), err)
	}
	if err := i.Validate(); err != nil {
		return i, fmt.Errorf("fault %q: %w", f.Label(), err)
	}
	return i, nil
}

func impairmentOf(f *fault.Fault) (i Impairment, err error) {
	a := &f.Args
	chance := Chance{Probability: a.Percent.Share(), Correlation: float64(a.Correlation)}
	switch f.Type {
	case fault.NetDelay:
		i.DelayCorrelation = float64(a.Correlation)
		return i, i.setDelay(f)
	case fault.NetLoss:
		i.Loss = Loss{Probability: a.Percent.Share(), Correlation: float64(a.Correlation)}
	case fault.NetDuplicate:
		i.Duplicate = chance
	case fault.NetCorrupt:
		i.Corrupt = chance
	case fault.NetReorder:
		i.Reorder = Reorder{Probability: a.Percent.Share(), Correlation: float64(a.Correlation)}
		return i, i.setDelay(f)
	case fault.NetRate:
		i.Rate.BytesPerSecond = uint64(a.Rate)
	case fault.NetPartition:
		i.Partition = true
	default:
		return i, fmt.Errorf("%s does nothing to packets", f.Type)
	}
	if f.Probability < 1 {
		return i, errors.New("the network draws for packets, not for connections: leave out the probability, and use percent if the fault has it")
	}
	return i, nil
}

// setDelay accepts the distributions that netem has.
func (i *Impairment) setDelay(f *fault.Fault) error {
	if f.Probability < 1 {
		return errors.New("a network delays every packet: leave out the probability")
	}
	d := f.Args.EffectiveDelay()
	switch {
	case d.Fixed > 0:
		i.Delay = d.Fixed.Std()
	case d.Uniform != nil:
		low, high := d.Uniform.Min.Std(), d.Uniform.Max.Std()
		i.Delay, i.Jitter = (low+high)/2, (high-low)/2
	case d.Normal != nil:
		i.Delay, i.Jitter, i.Distribution = d.Normal.Mean.Std(), d.Normal.StdDev.Std(), Normal
	default:
		return fmt.Errorf("a network does not know the delay %q: write a fixed one with a jitter, a uniform or a normal one", d)
	}
	return nil
}

// DirectionOf returns the direction of the packets that a fault acts on, seen
// from the namespace of its target.
func DirectionOf(f *fault.Fault) Direction {
	switch f.EffectiveDirection() {
	case fault.ToTarget:
		return Ingress
	case fault.FromTarget:
		return Egress
	case fault.Both:
	}
	return Both
}
