package manifest

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
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
	o.RuntimeImages = map[topology.RuntimeName]RuntimeImage{"express": {Reference: "microsim.dev/runtime-express:1"}}
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

// TestRuntimesOfARegistryArePulled wants pods of a pushed image on the nodes that it is for.
func TestRuntimesOfARegistryArePulled(t *testing.T) {
	s, o := system(), options()
	s.Services[1].Runtime = "express"
	for image, want := range map[RuntimeImage]struct {
		policy corev1.PullPolicy
		arch   string
	}{
		{Reference: "microsim.dev/runtime-express:1"}:                   {corev1.PullNever, ""},
		{Reference: "registry.example/express@sha256:1", Arch: "arm64"}: {corev1.PullIfNotPresent, "arm64"},
		{Reference: "registry.example/agent:1-express"}:                 {corev1.PullIfNotPresent, ""},
	} {
		o.RuntimeImages = map[topology.RuntimeName]RuntimeImage{"express": image}
		pod := podSpec(s, &s.Services[1], []byte("{}"), &o)
		if c := pod.Containers[0]; c.Image != image.Reference || c.ImagePullPolicy != want.policy || pod.NodeSelector[corev1.LabelArchStable] != want.arch || len(pod.NodeSelector) > 1 {
			t.Errorf("%+v: the container has %s, %s, on nodes %v", image, c.Image, c.ImagePullPolicy, pod.NodeSelector)
		}
		if other := podSpec(s, &s.Services[0], []byte("{}"), &o); len(other.NodeSelector) > 0 {
			t.Errorf("the pod of another service goes to nodes %v", other.NodeSelector)
		}
	}
}

// TestEveryPodPullsWithTheSecret wants it in the pods of services, loads and experiments.
func TestEveryPodPullsWithTheSecret(t *testing.T) {
	s, o, d := system(), options(), detached()
	load := LoadOptions{Name: "l", System: "shop", Namespace: "shop", Image: "x", Pods: 1, PullSecret: "regcred"}
	o.PullSecret, d.PullSecret = "regcred", "regcred"
	pods := []corev1.PodSpec{loadPod(&load), d.pod()}
	for i := range s.Services {
		pods = append(pods, podSpec(s, &s.Services[i], []byte("{}"), &o))
	}
	for i := range pods {
		if got := pods[i].ImagePullSecrets; len(got) != 1 || got[0].Name != "regcred" {
			t.Errorf("%s is pulled with %v", pods[i].Containers[0].Image, got)
		}
	}
	if got := PullSecretOf([]appsv1.Deployment{{}, {Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: pods[2]}}}}); got != "regcred" {
		t.Errorf("the Secret of the running system is %q", got)
	}
	o.PullSecret = ""
	if got := podSpec(s, &s.Services[0], []byte("{}"), &o).ImagePullSecrets; got != nil {
		t.Errorf("without a Secret: %v", got)
	}
}

func TestLargePartsOfRuntimesAreRefused(t *testing.T) {
	s, o := system(), options()
	s.Services[1].Runtime = "express"
	o.RuntimeImages = map[topology.RuntimeName]RuntimeImage{"express": {Reference: "x"}}
	o.ServiceSpec = func(*topology.System, *topology.Service, uint64, Peers) ([]byte, error) {
		return make([]byte, maxInline+1), nil
	}
	if _, err := Build(s, o); err == nil || !strings.Contains(err.Error(), "more than the 32768 that runtime express takes") {
		t.Errorf("Build: %v", err)
	}
}
