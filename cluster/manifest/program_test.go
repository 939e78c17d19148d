package manifest

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// programs is a system in which cart calls a server at a URL and a program of an image.
func programs() *topology.System {
	s := &topology.System{Name: "shop", Services: []topology.Service{
		topology.NewService("cart", topology.CallTo("pay"), topology.CallTo("ship")), topology.NewService("pay"), topology.NewService("ship"),
	}}
	s.Services[1].URL = "http://10.0.0.5:9000/v1"
	ship := &s.Services[2]
	ship.Image, ship.Port, ship.Command, ship.Args = "ghcr.io/acme/ship:1.4", 3000, []string{"/ship"}, []string{"--price=$(5)"}
	ship.Env = map[string]string{"LOG_LEVEL": "info", "CURRENCY": "$"}
	ship.Readiness = &topology.Probe{Path: "/healthz"}
	ship.Resources = &topology.Resources{MemoryLimit: 256 << 20}
	return s
}

func TestProgramsOfUsersAreAsPlanned(t *testing.T) {
	objects, err := Build(programs(), options())
	if err != nil {
		t.Fatal(err)
	}
	asPlanned(t, "testdata/programs.yaml", objects)
}

func TestProgramsOfUsersAreConnectedTo(t *testing.T) {
	s := programs()
	s.Services[2].Readiness = nil
	s.Services[2].Liveness = &topology.Probe{}
	c := container(s, &s.Services[2], nil, &Options{})
	for name, p := range map[string]*corev1.Probe{"startup": c.StartupProbe, "readiness": c.ReadinessProbe, "liveness": c.LivenessProbe} {
		if p == nil || p.TCPSocket == nil || p.HTTPGet != nil || p.TCPSocket.Port.StrVal != "http" {
			t.Errorf("the %s probe is %v, want a TCP connect", name, p)
		}
	}
}

func TestAURLOfThisMachineIsRefused(t *testing.T) {
	s := programs()
	s.Services[1].URL = "http://127.0.0.1:9000"
	_, err := Build(s, options())
	if err == nil || !strings.Contains(err.Error(), `service "pay": url "http://127.0.0.1:9000" means each pod itself on a cluster`) {
		t.Errorf("Build: %v", err)
	}
}

func TestPortsOfPods(t *testing.T) {
	s := programs()
	for i, want := range map[int]Ports{0: {HTTP: HTTPPort, Control: ControlPort}, 2: {HTTP: 3000}} {
		p := &corev1.Pod{Spec: podSpec(s, &s.Services[i], nil, &Options{})}
		if got := PortsOf(p); got != want {
			t.Errorf("%s has ports %+v, want %+v", s.Services[i].Name, got, want)
		}
	}
	if got := PortsOf(&corev1.Pod{}); got != (Ports{}) {
		t.Errorf("a pod that is absent has ports %+v", got)
	}
}

// TestRuntimesHaveOnePort wants a pod whose probes, Service and control use it.
func TestRuntimesHaveOnePort(t *testing.T) {
	s := system()
	s.Services[1].Runtime = "express"
	o := options()
	if _, err := Build(s, o); err == nil || !strings.Contains(err.Error(), `service "db": no image of runtime express is known`) {
		t.Errorf("without an image: %v", err)
	}
	o.RuntimeImages = map[topology.RuntimeName]string{"express": "microsim.dev/runtime-express:1"}
	objects, err := Build(s, o)
	if err != nil {
		t.Fatal(err)
	}
	text := string(render(t, objects))
	for _, want := range []string{
		"image: microsim.dev/runtime-express:1", "imagePullPolicy: Never", `prometheus.io/port: "8080"`, "targetPort: control",
		`value: '{"token":"$(MICROSIM_TOKEN)","peers"`, "containerPort: 8080\n          name: control", "path: /readyz\n            port: control",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	db := &s.Services[1]
	if got := PortsOf(&corev1.Pod{Spec: podSpec(s, db, []byte("{}"), &o)}); got != (Ports{HTTPPort, HTTPPort}) || ControlPortOf(db) != HTTPPort || ControlPortOf(&s.Services[0]) != ControlPort {
		t.Errorf("its ports are %+v", got)
	}
}

func TestLargePartsOfRuntimesAreRefused(t *testing.T) {
	s, o := system(), options()
	s.Services[1].Runtime = "express"
	o.RuntimeImages = map[topology.RuntimeName]string{"express": "x"}
	o.ServiceSpec = func(*topology.System, *topology.Service, uint64, Peers) ([]byte, error) {
		return make([]byte, maxInline+1), nil
	}
	if _, err := Build(s, o); err == nil || !strings.Contains(err.Error(), "more than the 32768 that runtime express takes") {
		t.Errorf("Build: %v", err)
	}
}
