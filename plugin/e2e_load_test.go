//go:build e2e

package plugin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

func loadCases() []e2eCase {
	return []e2eCase{
		{"an experiment shows a fault before, during and after it", beforeDuringAfter},
		{"load comes from pods, of which nothing is left", loads},
		{"an experiment that is interrupted leaves nothing", interruptedRun},
	}
}

const smallSocial = `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: little-social
seed: 5
system:
  services:
    - {name: front, calls: [{parallel: [posts, users]}, {to: media, probability: 0.3}]}
    - {name: posts, calls: [posts-storage]}
    - {name: users}
    - {name: media}
    - {name: posts-storage, replicas: 2}
load:
  phases: [{duration: 6s, rate: 30}]
faults:
  - {name: slow, type: latency, target: posts-storage, start: 2s, duration: 2s, args: {delay: 300ms}}
checks:
  - {check: errors < 1%}
  - {check: p50 < 200ms, phase: before}
  - {check: p50 >= 300ms, phase: during}
  - {check: p50 < 200ms, phase: after}
`

func beforeDuringAfter(k *onKind) {
	file := k.file("social.yaml", smallSocial)
	out := k.ok(k.microsim("run", "-f", file, "--load-pods", "2", "-o", "json")...)
	var result result.Result
	if err := json.Unmarshal([]byte(out), &result); err != nil {
		k.t.Fatalf("the result cannot be read: %v\n%s", err, out)
	}
	if result.Target != "kind" || result.Load == nil || result.Load.Total.Sent != 180 || !result.Passed {
		k.t.Errorf("the run on %q passed %v with the load %+v", result.Target, result.Passed, result.Load)
	}
	want := "kubectl microsim run -f " + file + " --on kind --sandbox " + k.Sandbox + " --load-pods 2 --seed 5"
	if result.Command != want {
		k.t.Errorf("it is repeated by %q, want %q", result.Command, want)
	}
}

const choosy = `
apiVersion: microsim.dev/v1alpha1
kind: System
name: choosy
services:
  - {name: front, calls: [{to: often, probability: 0.7}, {to: seldom, probability: 0.2}]}
  - {name: often, replicas: 2}
  - {name: seldom}
`

// loads puts several loads on one system, each of which leaves all as it was.
func loads(k *onKind) {
	k.ok(k.microsim("up", "-f", k.file("choosy.yaml", choosy))...)
	for _, test := range []e2eCase{
		{"several pods send what one sends", shared},
		{"URLs are those of the cluster", urlsInside},
		{"interrupted", interruptedLoad},
		{"a pod is killed", killedPod},
	} {
		k.t.Run(test.name, func(t *testing.T) { (&onKind{t: t, env: k.env, Sandbox: k.Sandbox}).leaving(test.run) })
	}
	k.ok(k.microsim("down", "choosy")...)
}

func shared(k *onKind) {
	seen := map[string]int64{}
	var counts []string
	for _, pods := range []string{"1", "3"} {
		out := k.ok(k.microsim("load", "--rate", "300", "--poisson", "--count", "200", "--load-pods", pods, "-o", "json")...)
		var report result.LoadReport
		if err := json.Unmarshal([]byte(out), &report); err != nil {
			k.t.Fatalf("the report cannot be read: %v\n%s", err, out)
		}
		if report.Total.Sent != 200 || report.Total.Outcomes[outcome.OK] != 200 || report.Incomplete {
			k.t.Errorf("%s pods report %+v", pods, report.Total)
		}
		text := ""
		for _, service := range []string{"front", "often", "seldom"} {
			now := k.requestsOf("choosy", service)
			text += fmt.Sprintf("%s %d ", service, now-seen[service])
			seen[service] = now
		}
		counts = append(counts, text)
	}
	if counts[0] != counts[1] {
		k.t.Errorf("the load of one pod is %q, that of three %q", counts[0], counts[1])
	}
}

// requestsOf is how many requests all pods of a service have answered.
func (k *onKind) requestsOf(namespace, service string) (total int64) {
	k.t.Helper()
	pods := strings.Fields(k.ok("get", "pods", "-n", namespace, "-l", "microsim.dev/service="+service, "-o", "jsonpath={.items[*].metadata.name}"))
	for _, pod := range pods {
		text := k.ok("get", "--raw", fmt.Sprintf("/api/v1/namespaces/%s/pods/http:%s:8081/proxy/metrics", namespace, pod))
		for _, m := range regexp.MustCompile(`(?m)^microsim_requests_total\{.*\} (\S+)$`).FindAllStringSubmatch(text, -1) {
			n, err := strconv.ParseFloat(m[1], 64)
			if err != nil {
				k.t.Fatal(err)
			}
			total += int64(n)
		}
	}
	return total
}

func urlsInside(k *onKind) {
	out := k.ok(k.microsim("load", "--url", "http://front.choosy/ http://often.choosy/", "--users", "1", "--duration", "1s")...)
	if !strings.Contains(out, "http://front.ch") || !strings.Contains(out, " ok") {
		k.t.Errorf("the load on URLs shows\n%s", out)
	}
}

// A background is a command that runs beside the test.
type background struct {
	t    *testing.T
	cmd  *exec.Cmd
	mu   sync.Mutex
	talk bytes.Buffer
}

func (b *background) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.talk.Write(p)
}

func (b *background) said() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.talk.String()
}

// Begin starts kubectl, which becomes the plugin.
func (k *onKind) Begin(args ...string) *background {
	k.t.Helper()
	b := &background{t: k.t, cmd: exec.Command("kubectl", args...)}
	b.cmd.Env, b.cmd.Stdout, b.cmd.Stderr = k.env, b, b
	if err := b.cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	return b
}

// until waits for a text.
func (b *background) until(text string) {
	b.t.Helper()
	for range 600 {
		if strings.Contains(b.said(), text) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	_ = b.cmd.Process.Kill()
	b.t.Fatalf("after a minute nothing was said of %q:\n%s", text, b.said())
}

// end waits for the end and returns the exit code.
func (b *background) end() int {
	_ = b.cmd.Wait()
	b.t.Logf("%s\n%s", b.cmd, b.said())
	return b.cmd.ProcessState.ExitCode()
}

func interruptedLoad(k *onKind) {
	b := k.Begin(k.microsim("load", "--rate", "100", "--load-pods", "2")...)
	b.until("ready to generate load")
	time.Sleep(time.Second) // of load
	_ = b.cmd.Process.Signal(os.Interrupt)
	if code := b.end(); code != cli.ExitDone || !strings.Contains(b.said(), "stopped before its end") {
		k.t.Errorf("the load that was interrupted ends with %d", code)
	}
}

func killedPod(k *onKind) {
	b := k.Begin(k.microsim("load", "--rate", "100", "--load-pods", "2", "--duration", "1m")...)
	b.until("ready to generate load")
	pods := strings.Fields(k.ok("get", "pods", "-n", "choosy", "-l", "microsim.dev/role=load", "-o", "name"))
	k.ok("delete", "-n", "choosy", pods[0], "--force", "--grace-period=0")
	code := b.end()
	if name := strings.TrimPrefix(pods[0], "pod/"); code != cli.ExitError || !strings.Contains(b.said(), "error: pod \""+name) {
		k.t.Errorf("the load whose pod was killed ends with %d", code)
	}
}

func interruptedRun(k *onKind) {
	b := k.Begin(k.microsim("run", "-f", k.file("social.yaml", smallSocial))...)
	b.until("fault applied")
	_ = b.cmd.Process.Signal(os.Interrupt)
	if code := b.end(); code != cli.ExitError || !strings.Contains(b.said(), "the run was interrupted") {
		k.t.Errorf("the run that was interrupted ends with %d", code)
	}
}
