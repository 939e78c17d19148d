package measure

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

func TestProcesses(t *testing.T) {
	cpu := func(d time.Duration) *time.Duration { return &d }
	memory := func(n int64) *int64 { return &n }
	system := &topology.System{Services: []topology.Service{topology.NewService("web"), topology.NewService("api")}}
	system.Services[1].Runtime = "node-express"
	counted := []result.ServiceStats{{Service: "api", Requests: 1000}}
	start := func(replica int) Process {
		return Process{Service: "api", Replica: replica, CPU: cpu(time.Second), Resident: memory(50), Peak: memory(60), Address: 100 * time.Millisecond, Healthy: 110 * time.Millisecond}
	}
	then := func(p Process, change func(*Process)) Process {
		change(&p)
		return p
	}
	const times = `"memoryBytes":50,"addressSeconds":0.1,"readySeconds":0.11`
	for name, tt := range map[string]struct {
		before, after []Process
		want          string
	}{
		"one": {
			[]Process{start(1)}, []Process{then(start(1), func(p *Process) { p.CPU, p.Peak, p.Resident = cpu(3*time.Second), memory(90), memory(80) })},
			`[{"service":"api","runtime":"express","replicas":1,"cpuSeconds":2,"cpuSecondsPerRequest":0.002,"peakMemoryBytes":90,"memoryBytes":80,"addressSeconds":0.1,"readySeconds":0.11}]`,
		},
		"most of two, and the sum of their processor time": {
			[]Process{start(1), start(2)},
			[]Process{then(start(1), func(p *Process) { p.CPU, p.Peak = cpu(2*time.Second), memory(70) }), then(start(2), func(p *Process) { p.CPU, p.Healthy = cpu(4*time.Second), time.Second })},
			`[{"service":"api","runtime":"express","replicas":2,"cpuSeconds":4,"cpuSecondsPerRequest":0.004,"peakMemoryBytes":70,"memoryBytes":50,"addressSeconds":0.1,"readySeconds":1}]`,
		},
		"one that ended meanwhile took its peak with it": {
			[]Process{start(1)}, []Process{then(start(1), func(p *Process) { p.CPU, p.Ended = cpu(2*time.Second), 1 })},
			`[{"service":"api","runtime":"express","replicas":1,"cpuSeconds":1,"cpuSecondsPerRequest":0.001,` + times + `}]`,
		},
		"too little to tell of a request": {
			[]Process{start(1)}, []Process{then(start(1), func(p *Process) { p.CPU = cpu(1100 * time.Millisecond) })},
			`[{"service":"api","runtime":"express","replicas":1,"cpuSeconds":0.1,"peakMemoryBytes":60,` + times + `}]`,
		},
		"down at the end": {
			[]Process{start(1)}, []Process{then(start(1), func(p *Process) { p.CPU, p.Resident, p.Peak, p.Ended = nil, nil, nil, 1 })},
			`[{"service":"api","runtime":"express","replicas":1,"addressSeconds":0.1,"readySeconds":0.11}]`,
		},
		"not the same replicas": {
			[]Process{start(1)}, []Process{start(1), start(2)},
			`[{"service":"api","runtime":"express","replicas":2,"peakMemoryBytes":60,` + times + `}]`,
		},
		"none": {nil, nil, `null`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := json.Marshal(Processes(system, tt.before, tt.after, counted))
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}
