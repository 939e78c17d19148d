package truth

import "testing"

// A service that always sleeps as long is answered after that time and a little
// more, which overhead allows for.
func TestFixedService(t *testing.T) {
	const overhead = 0.004
	r := run(t, `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: fixed
system: {services: [{name: a, work: {sleep: 40ms}}]}
load: {rate: 50, duration: `+size("2s", "10s")+`, requests: [a]}
`)
	clients := r.Segments[0].Clients.Latency
	compare(t,
		figure{name: "clients p50", truth: 0.040, shown: clients.P50, within: 0.01, plus: overhead},
		figure{name: "load report p50", truth: clients.P50, shown: r.Load.Total.Latency.P50, within: 0.01},
	)
}
