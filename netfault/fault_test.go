package netfault

import (
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

func TestImpairmentOf(t *testing.T) {
	const ms = time.Millisecond
	for _, test := range []struct {
		f    fault.Fault
		want Impairment
		dir  Direction
	}{
		{fault.Fault{Type: fault.NetDelay, Args: fault.Args{Delay: dist.Fixed(10 * ms), Jitter: unit.Duration(2 * ms), Correlation: 0.5}},
			Impairment{Delay: 10 * ms, Jitter: 2 * ms, DelayCorrelation: 0.5}, Egress},
		{fault.Fault{Type: fault.NetDelay, Target: fault.Target{Direction: fault.ToTarget}, Args: fault.Args{Delay: dist.Fixed(10 * ms)}}, Impairment{Delay: 10 * ms}, Ingress},
		{fault.Fault{Type: fault.NetLoss, Args: fault.Args{Percent: 10, Correlation: 0.2}}, Impairment{Loss: Loss{Probability: 0.1, Correlation: 0.2}}, Egress},
		{fault.Fault{Type: fault.NetDuplicate, Args: fault.Args{Percent: 10}}, Impairment{Duplicate: Chance{Probability: 0.1}}, Egress},
		{fault.Fault{Type: fault.NetCorrupt, Args: fault.Args{Percent: 10}}, Impairment{Corrupt: Chance{Probability: 0.1}}, Egress},
		{fault.Fault{Type: fault.NetReorder, Args: fault.Args{Percent: 10, Delay: dist.Fixed(ms)}}, Impairment{Delay: ms, Reorder: Reorder{Probability: 0.1}}, Egress},
		{fault.Fault{Type: fault.NetRate, Args: fault.Args{Rate: 1000}}, Impairment{Rate: Rate{BytesPerSecond: 1000}}, Egress},
		{fault.Fault{Type: fault.NetPartition}, Impairment{Partition: true}, Both},
	} {
		test.f.Probability = 1
		if got, err := ImpairmentOf(&test.f); err != nil || got != test.want {
			t.Errorf("%s is %+v, %v; want %+v", test.f.Type, got, err, test.want)
		}
		if got := DirectionOf(&test.f); got != test.dir {
			t.Errorf("%s goes %s, want %s", test.f.Type, got, test.dir)
		}
	}
	for _, entry := range fault.Vocabulary() {
		f := fault.Fault{Type: entry.Type, Probability: 1, Args: fault.Args{Delay: dist.Fixed(ms), Percent: 10, Rate: 1}}
		if _, err := ImpairmentOf(&f); (err == nil) != (entry.Layer == fault.OnNetwork) {
			t.Errorf("%s: %v", f.Type, err)
		}
		f.Probability = 0.5
		if _, err := ImpairmentOf(&f); err == nil || entry.Layer == fault.OnNetwork && !strings.Contains(err.Error(), "leave out the probability") {
			t.Errorf("%s for half of the connections: %v", f.Type, err)
		}
	}
}
