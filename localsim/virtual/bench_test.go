package virtual

import (
	"bytes"
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/examples"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// play plays an experiment b.N times, and reports what a second of real time is
// worth.
func play(b *testing.B, e experiment.Experiment, m Machine) {
	events, virtual := uint64(0), time.Duration(0)
	began := time.Now()
	for range b.N {
		var last Progress
		if _, err := Run(context.Background(), e, Options{Machine: m, Progress: func(p Progress) { last = p }}); err != nil {
			b.Fatal(err)
		}
		events, virtual = events+last.Events, virtual+last.Virtual
	}
	took := time.Since(began).Seconds()
	b.ReportMetric(float64(events)/took/1e6, "Mevents/s")
	b.ReportMetric(virtual.Seconds()/took, "virtual-s/s")
}

// BenchmarkShopHour is an hour of the shop with its faults.
func BenchmarkShopHour(b *testing.B) {
	e := example(b, "shop")
	e.Load.Phases[0].Duration = unit.Duration(time.Hour)
	play(b, e, Machine{})
}

func socialSystem(b *testing.B) topology.System {
	text, err := examples.Open("social")
	if err != nil {
		b.Fatal(err)
	}
	docs, err := spec.Read("social", bytes.NewReader(text))
	if err != nil {
		b.Fatal(err)
	}
	return *docs.Systems()[0]
}

// BenchmarkSocial is the social network under a steady load, on a machine that bears
// it.
func BenchmarkSocial(b *testing.B) {
	e := experiment.Experiment{Name: "social", Seed: 1, System: socialSystem(b), Load: load.Profile{Phases: []load.Phase{
		{Rate: 2000, Arrivals: load.Poisson, Duration: unit.Duration(30 * time.Second)},
	}}}
	play(b, e, Machine{Cores: 1000, DiskSync: -1})
}

// BenchmarkThousandServices is 1000 services with five calls each at 100 000
// requests a second of virtual time.
func BenchmarkThousandServices(b *testing.B) {
	const services = 1000
	s := topology.System{Name: "large"}
	for i := range services {
		service := topology.NewService(name(i))
		for c := 1; c <= 5; c++ {
			if to := i*5 + c; to < services {
				step := topology.CallTo(name(to))
				step.Call.Probability = 0.5
				service.Endpoints[0].Steps = append(service.Endpoints[0].Steps, step)
			}
		}
		s.Services = append(s.Services, service)
	}
	e := experiment.Experiment{Name: "large", Seed: 1, System: s, Load: load.Profile{MaxInFlight: 100000, Phases: []load.Phase{
		{Rate: 100_000, Duration: unit.Duration(300 * time.Millisecond)},
	}}}
	play(b, e, Machine{Cores: 1000})
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.Sys)/1e6, "MB")
}

func name(i int) string {
	const digits = "0123456789"
	return "s" + string([]byte{digits[i/100%10], digits[i/10%10], digits[i%10]})
}
