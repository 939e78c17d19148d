//go:build e2e

package plugin

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

func storeCases() []e2eCase {
	return []e2eCase{
		{"data stores are called, broken and taken down", embeddedStores},
		{"a real server is filled, broken by its own means and taken down", realStore},
		{"servers of mongodb and kafka are filled, slowed and consumed from", otherServers},
	}
}

// The checks of these experiments hold only if faults act on the calls, and on them alone.
const (
	embedded = `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: stores
system:
  services:
    - {name: web, calls: [{to: cache, reads: 1, writes: 1, timeout: 1s}]}
    - {name: shop, calls: [{to: db, reads: 1, writes: 1, query: [transaction], timeout: 1s}]}
    - {name: cache, kind: redis, store: {items: 100}}
    - {name: db, kind: postgres, store: {items: 100}}
  entry: [web, shop]
load: {requests: [web, shop], rate: 40, duration: 6s}
faults:
  - {type: disk-full, target: db, start: 1s, duration: 2s}
  - {type: net-partition, target: web->cache, start: 3500ms, duration: 1500ms}
checks:
  - {check: errors < 5%, phase: before}
  - {check: store_errors > 15%, from: shop, service: db, phase: during}
  - {check: store_errors == 0, from: web, service: cache}
  - {check: timeouts > 5%, from: web, service: cache, phase: during}
`
	real = `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: real
system:
  entry: [web, feed]
  services:
    - {name: web, calls: [{to: cache, reads: 1, writes: 1, timeout: 1s}]}
    - {name: feed, calls: [{to: pages, reads: 1, writes: 1, timeout: 1s}]}
    - {name: cache, kind: redis, store: {engine: real, image: IMAGE, items: 1000}}
    - {name: pages, kind: memcached, store: {engine: real, image: IMAGE, items: 1000}}
load: {requests: [web, feed], rate: 40, duration: 5s}
faults:
  - {type: disk-full, target: cache, start: 1s, duration: 2s}
  - {type: pause, target: pages, start: 1s, duration: 2s}
checks:
  - {check: errors < 5%, phase: before}
  - {check: store_errors > 20%, from: web, service: cache, phase: during}
  - {check: timeouts > 5%, from: feed, service: pages, phase: during}
`
)

// The checks of this one hold if messages come out of the broker as they went in, if its lag
// is known, and if the relays slow the calls that they are to slow.
const otherReal = `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: others
system:
  entry: [web, billing, feed]
  services:
    - {name: web, calls: [{to: queue, query: [publish]}]}
    - {name: billing, calls: [{to: queue, query: [consume]}]}
    - {name: feed, calls: [{to: posts, reads: 1, writes: 1, query: [range, transaction], timeout: 3s}]}
    - {name: queue, kind: kafka, store: {engine: real, image: KAFKA, partitions: 3}}
    - {name: posts, kind: mongodb, store: {engine: real, image: MONGODB, items: 1000}}
load:
  requests: [{service: web, weight: 2}, {service: billing, weight: 1}, {service: feed, weight: 1}]
  rate: 12
  duration: 8s
faults:
  - {type: slow-query, target: posts, operation: write, delay: 700ms, start: 2s, duration: 3s}
  - {type: slow-query, target: queue, operation: publish, delay: 700ms, start: 2s, duration: 3s}
checks:
  - store_errors == 0
  - {check: lag > 2, service: queue}
  - {check: p95 > 700ms, from: web, service: queue, phase: during}
  - {check: p95 > 700ms, from: feed, service: posts, phase: during}
`

// otherServers needs images that MICROSIM_KAFKA_IMAGE and MICROSIM_MONGO_IMAGE name: to make
// some takes minutes, see the target e2e-stores of the Makefile.
func otherServers(k *onKind) {
	kafka, mongo := os.Getenv("MICROSIM_KAFKA_IMAGE"), os.Getenv("MICROSIM_MONGO_IMAGE")
	if kafka == "" || mongo == "" {
		k.t.Skip("MICROSIM_KAFKA_IMAGE and MICROSIM_MONGO_IMAGE name no images, which `make e2e-stores` makes")
	}
	k.load(kafka)
	k.load(mongo)
	text := strings.NewReplacer("KAFKA", strconv.Quote(kafka), "MONGODB", strconv.Quote(mongo)).Replace(otherReal)
	k.ok(k.microsim("run", "-f", k.file("others.yaml", text))...)
	// A server that does not start is named, with its pod and what it said.
	broken := `{apiVersion: microsim.dev/v1alpha1, kind: System, name: broken, services: [
		{name: web, calls: [{to: db, reads: 1}]}, {name: db, kind: redis, store: {engine: real, image: ` + strconv.Quote(mongo) + `}}]}`
	k.fails(`service "db" is not ready: the server`, k.microsim("up", "-f", k.file("broken.yaml", broken))...)
	full := `{apiVersion: microsim.dev/v1alpha1, kind: System, name: full, services: [
		{name: web, calls: [{to: db, query: [publish]}]}, {name: db, kind: kafka, resources: {memoryLimit: 48Mi}, store: {engine: real, image: ` + strconv.Quote(kafka) + `}}]}`
	k.fails("ends again and again, last with exit code", k.microsim("up", "-f", k.file("full.yaml", full))...)
}

// load loads an image of this machine into the nodes.
func (k *onKind) load(image string) {
	k.t.Helper()
	load := exec.Command("kind", "load", "docker-image", image, "--name", k.Sandbox)
	load.Env = k.env
	if out, err := load.CombinedOutput(); err != nil {
		k.t.Fatalf("loading %s: %v\n%s", image, err, out)
	}
}

func embeddedStores(k *onKind) {
	k.ok(k.microsim("run", "-f", k.file("stores.yaml", embedded))...)
	system := k.file("kept.yaml", `{apiVersion: microsim.dev/v1alpha1, kind: System, name: kept, services: [
		{name: web, calls: [{to: cache, reads: 1}]}, {name: cache, kind: redis, store: {items: 100}}]}`)
	k.ok(k.microsim("up", "-f", system)...)
	if status := k.ok(k.microsim("status", "kept")...); !strings.Contains(status, "redis://cache.kept") || !strings.Contains(status, "redis embedded") {
		k.t.Errorf("the status does not say what the store is:\n%s", status)
	}
	k.fails("acts on requests, and \"cache\" is a data store", k.microsim("fault", "add", "latency", "--target", "cache", "--delay", "1s", "--system", "kept")...)
	// A client of the user reaches it in its own protocol.
	if got := k.throughForward("kept", "cache:6379", "EXISTS item:7\r\n"); got != ":1" {
		k.t.Errorf("the store answers %q, want :1", got)
	}
	k.ok(k.microsim("down", "kept")...)
}

// throughForward sends a line to a Service through kubectl port-forward, and returns the
// first line of the answer.
func (k *onKind) throughForward(namespace, to, line string) string {
	k.t.Helper()
	service, port, _ := strings.Cut(to, ":")
	said, stop := k.background("-n", namespace, "port-forward", "service/"+service, ":"+port)
	defer stop()
	var address string
	k.within(20*time.Second, "the port is forwarded", func() bool {
		if found := regexp.MustCompile(`from (127\.0\.0\.1:\d+)`).FindStringSubmatch(said.String()); found != nil {
			address = found[1]
		}
		return address != ""
	})
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		k.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, line); err != nil {
		k.t.Fatal(err)
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		k.t.Fatal(err)
	}
	return strings.TrimSpace(answer)
}

// realStore runs this machine's redis-server and memcached in place of the official images,
// which are not reached everywhere.
func realStore(k *onKind) {
	image := serverImage(k.t, "microsim-test/caches:"+k.Sandbox, "redis-server", "memcached")
	k.load(image)
	k.ok(k.microsim("run", "-f", k.file("real.yaml", strings.ReplaceAll(real, "IMAGE", `"`+image+`"`)))...)
}

// serverImage makes an image of programs of this machine with their libraries, which are
// found in the PATH there, as those of official images are.
func serverImage(t *testing.T, image string, programs ...string) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	put := func(from, to string) {
		content, err := os.ReadFile(from)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(root, to)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(root, to), content, 0o755) //nolint:gosec // a program
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, program := range programs {
		path, err := exec.LookPath(program)
		if err != nil {
			t.Skipf("it needs %s: %v", program, err)
		}
		libraries, err := exec.Command("ldd", path).Output()
		if err != nil {
			t.Fatalf("listing the libraries of %s: %v", path, err)
		}
		put(path, "/usr/bin/"+program)
		for _, library := range regexp.MustCompile(`/\S+`).FindAllString(string(libraries), -1) {
			put(library, library)
		}
	}
	put(os.DevNull, "/data/.keep")
	dockerfile := "FROM scratch\nCOPY root /\nENV PATH=/usr/bin\n"
	if err := os.WriteFile(filepath.Join(filepath.Dir(root), "Dockerfile"), []byte(dockerfile), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("docker", "build", "--quiet", "--tag", image, filepath.Dir(root))
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", image, err, out)
	}
	t.Cleanup(func() { _ = exec.Command("docker", "rmi", "--force", image).Run() })
	return image
}
