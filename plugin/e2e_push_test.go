//go:build e2e

package plugin

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

func pushCases() []e2eCase {
	return []e2eCase{
		{"variants run with an image from a private registry and outlive the eviction of a pod", pushedAndEvicted},
	}
}

// private lets only ann in, by her password.
func private(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "ann" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// registry serves images here and on the node at one address, to those who know the
// password. Nodes ask it without TLS, since it is one of loopback; a gate there leads here.
func (k *onKind) registry() string {
	k.t.Helper()
	out, err := exec.Command("docker", "exec", k.Sandbox+"-control-plane", "sh", "-c", "ip route | awk '/^default/ {print $3}'").Output()
	host := strings.TrimSpace(string(out))
	if err != nil || net.ParseIP(host) == nil {
		k.t.Fatalf("finding this machine as the node sees it: %v, %q", err, out)
	}
	server := &http.Server{Handler: private(registry.New(registry.Logger(log.New(io.Discard, "", 0)))), ReadHeaderTimeout: time.Minute}
	k.t.Cleanup(func() { _ = server.Close() })
	here, there := k.bothPorts(host)
	for _, ln := range []net.Listener{here, there} {
		go func() { _ = server.Serve(ln) }()
	}
	program, err := k.programs("kubectl-microsim")
	if err == nil {
		err = exec.Command("docker", "cp", "-q", program, k.Sandbox+"-control-plane:/usr/local/bin/").Run()
	}
	if err != nil {
		k.t.Fatalf("bringing the program to the node: %v", err)
	}
	address := here.Addr().String()
	if out, err := exec.Command("docker", "exec", "-d", k.Sandbox+"-control-plane", "kubectl-microsim", "gate",
		"--listen", address, "--upstream", there.Addr().String(), "--api", "127.0.0.1:0").CombinedOutput(); err != nil {
		k.t.Fatalf("starting the gate of the node: %v\n%s", err, out)
	}
	k.t.Cleanup(func() { k.node("pkill", "-f", "^kubectl-microsim gate") })
	k.until(20*time.Second, "the node reaches the registry", func() bool {
		return exec.Command("docker", "exec", k.Sandbox+"-control-plane", "curl", "-sf", "-u", "ann:secret", "http://"+address+"/v2/").Run() == nil
	})
	return address
}

// bothPorts listens at one port of loopback and of another address.
func (k *onKind) bothPorts(host string) (loopback, other net.Listener) {
	k.t.Helper()
	for range 100 {
		here, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			k.t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(here.Addr().String())
		there, err := net.Listen("tcp", net.JoinHostPort(host, port))
		if err == nil {
			return here, there
		}
		_ = here.Close()
	}
	k.t.Fatalf("there is no port that is free on loopback and at %s", host)
	return nil, nil
}

// programs finds a program that was built for these tests.
func (k *onKind) programs(name string) (string, error) {
	cmd := exec.Command("sh", "-c", "command -v "+name)
	cmd.Env = k.env
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

const evicted = `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: evicted
system: {services: [{name: front, calls: [back]}, {name: back, replicas: 2}]}
load: {rate: 20, duration: 6s}
faults: [{name: slow, type: latency, target: back, start: 1s, duration: 1s, delay: 100ms}]
variants: [{name: brief, faults: [], load: {rate: 20, duration: 1s}}, {name: slow, faults: [slow]}]
checks: [errors < 50%]
`

func pushedAndEvicted(k *onKind) {
	registry := k.registry()
	to := registry + "/team/agent"
	config := k.file("config.json", fmt.Sprintf(`{"auths":{%q:{"username":"ann","password":"secret"}}}`, registry))
	defer func(env []string) { k.env = env }(k.env)
	k.env = append(slices.Clone(k.env), "DOCKER_CONFIG="+filepath.Dir(config))
	k.ok("create", "secret", "docker-registry", "regcred", "--docker-server="+registry, "--docker-username=ann", "--docker-password=secret")
	defer k.ok("delete", "secret", "regcred")
	b := k.Begin(k.microsim("run", "-f", k.file("evicted.yaml", evicted), "--push", to+":e2e", "--image-pull-secret", "regcred", "-o", "json")...)
	b.until("fault applied")
	pods := strings.Fields(k.ok("-n", "evicted", "get", "pods", "-l", "microsim.dev/service=back", "-o", "jsonpath={range .items[*]}{.metadata.name} {.status.containerStatuses[0].imageID} {end}"))
	if len(pods) != 4 || !strings.HasPrefix(pods[1], to+"@sha256:") {
		k.t.Fatalf("the pods and their images are %q, want those of %s", pods, to)
	}
	eviction := fmt.Sprintf(`{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": %q, "namespace": "evicted"}}`, pods[0])
	k.ok("create", "--raw", "/api/v1/namespaces/evicted/pods/"+pods[0]+"/eviction", "-f", k.file("eviction.json", eviction))
	code := b.end()
	said := b.said()
	var c result.Comparison
	if at := strings.Index(said, "\n{\n"); at < 0 || json.NewDecoder(strings.NewReader(said[at:])).Decode(&c) != nil {
		k.t.Fatalf("there is no comparison in\n%s", said)
	}
	if code != cli.ExitDone || !c.Passed || len(c.Variants) != 2 || c.Variants[0].Finished != 1 || c.Variants[1].Finished != 1 {
		k.t.Errorf("the runs end with %d and %+v", code, c)
	}
	if !strings.Contains(said, " is down\n") {
		k.t.Error("nothing is said of the pod that was evicted")
	}
}
