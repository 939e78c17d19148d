package manifest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// stores is a system of an embedded store, real ones, a service that calls them, and one
// that does not.
func stores() *topology.System {
	s := &topology.System{Name: "shop", Services: []topology.Service{
		topology.NewService("web", topology.CallTo("cache"), topology.CallTo("orders"), topology.CallTo("users"), topology.CallTo("cart")),
		topology.NewService("cart"), topology.NewService("cache"), topology.NewService("orders"), topology.NewService("users"), topology.NewService("log"), topology.NewService("posts"), topology.NewService("queue"),
	}}
	for name, of := range map[string]struct {
		kind  topology.Kind
		store topology.Store
	}{
		"cache":  {topology.Redis, topology.Store{Items: 100}},
		"orders": {topology.Postgres, topology.Store{Engine: topology.Real}},
		"posts":  {topology.MongoDB, topology.Store{Engine: topology.Real}},
		"queue":  {topology.Kafka, topology.Store{Engine: topology.Real, Partitions: 3}},
		"users":  {topology.Redis, topology.Store{Engine: topology.Real, Address: "users.example:6379"}},
		"log":    {topology.Redis, topology.Store{Engine: topology.Real, Image: "registry.example/redis:7"}},
	} {
		t := s.Service(name)
		t.Kind, t.Store = of.kind, &of.store
		t.Endpoints = nil
	}
	s.Service("log").Resources = &topology.Resources{CPULimit: 0.5, MemoryLimit: 128 << 20}
	return s
}

func storeOptions() Options {
	o := options()
	o.StoreImage = "registry.example/agent:1-store"
	return o
}

func TestStoresAreAsPlanned(t *testing.T) {
	objects, err := Build(stores(), storeOptions())
	if err != nil {
		t.Fatal(err)
	}
	asPlanned(t, "testdata/stores.yaml", objects)
}

// TestStoresHaveThePortOfTheirProtocol wants the same port in the pod, in its Service, and
// in what callers are told.
func TestStoresHaveThePortOfTheirProtocol(t *testing.T) {
	for _, kind := range topology.Kinds() {
		if !kind.IsStore() {
			continue
		}
		s := stores()
		db := s.Service("cache")
		db.Kind = kind
		port := storePort(kind)
		o := storeOptions()
		if got := PortsOf(&corev1.Pod{Spec: podSpec(s, db, nil, &o)}); port == 0 || got != (Ports{HTTP: port, Control: ControlPort}) {
			t.Errorf("a pod of kind %s has the ports %+v, want %d", kind, got, port)
		}
		name := service("shop", db, &o).Spec.Ports[0]
		if int(name.Port) != port || name.TargetPort.StrVal != name.Name || len(name.Name) > 15 {
			t.Errorf("the Service of kind %s has the port %+v, want %d", kind, name, port)
		}
		if got, want := BaseURL(db), fmt.Sprintf("http://cache:%d", port); got != want {
			t.Errorf("kind %s is at %s, want %s", kind, got, want)
		}
	}
}

// TestServersOfKinds looks at what the official images differ in: their programs, which
// listen where the relay looks for them, and the directories that they write to.
func TestServersOfKinds(t *testing.T) {
	for kind, want := range map[topology.Kind]struct{ image, command, mounts string }{
		topology.Redis:     {"redis:7.2.5", "redis-server --port 16000 --bind 127.0.0.1 ", "/data /tmp"},
		topology.Postgres:  {"postgres:16.3", "postgres -c port=16000 -c listen_addresses=127.0.0.1 ", "/var/lib/postgresql/data /tmp /var/run/postgresql"},
		topology.MySQL:     {"mariadb:10.11.8", "mariadbd --datadir=/var/lib/mysql/data --port=16000 --bind-address=127.0.0.1 ", "/var/lib/mysql /tmp /run/mysqld"},
		topology.Memcached: {"memcached:1.6.29", "memcached -l 127.0.0.1 -p 16000 ", "/tmp"},
		topology.MongoDB:   {"mongo:7.0.12", "mongod --dbpath /data/db --port 16000 --bind_ip 127.0.0.1 ", "/data/db /tmp"},
		topology.Kafka:     {"apache/kafka:3.9.1", "", "/var/lib/kafka/data /tmp /opt/kafka/config"},
	} {
		s, o := stores(), storeOptions()
		db := s.Service("orders")
		db.Kind = kind
		pod := podSpec(s, db, nil, &o)
		server := pod.Containers[1]
		var mounts []string
		for _, m := range server.VolumeMounts {
			mounts = append(mounts, m.MountPath)
			if !slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name }) {
				t.Errorf("kind %s mounts a volume %q, which its pod lacks", kind, m.Name)
			}
		}
		if got := strings.Join(server.Args, " "); server.Image != want.image || !strings.HasPrefix(got, want.command) || strings.Join(mounts, " ") != want.mounts {
			t.Errorf("kind %s is %s %q with %q, want %s %q with %q", kind, server.Image, got, mounts, want.image, want.command, want.mounts)
		}
		if !slices.Contains(pod.Containers[0].Args, "--own-server=127.0.0.1:16000") {
			t.Errorf("the relay of kind %s has the arguments %q", kind, pod.Containers[0].Args)
		}
	}
}

func TestStoresThatCannotRunAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *topology.System, o *Options)
		want   string
	}{
		"without an image": {func(_ *topology.System, o *Options) { o.StoreImage = "" }, `service "web": no image of microsim-store`},
		"an address of this machine": {func(s *topology.System, _ *Options) { s.Service("users").Store.Address = "127.0.0.1:6379" },
			`service "users": store.address "127.0.0.1:6379" means the pod itself on a cluster`},
		"a name of this machine": {func(s *topology.System, _ *Options) { s.Service("users").Store.Address = "localhost:6379" }, "means the pod itself"},
		"another runtime": {func(s *topology.System, o *Options) {
			s.Service("web").Runtime = "express"
			o.RuntimeImages = map[topology.RuntimeName]RuntimeImage{"express": {Reference: "x"}}
		}, `service "web": runtime express has no drivers of data stores`},
	} {
		s, o := stores(), storeOptions()
		c.change(s, &o)
		if _, err := Build(s, o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestHelpersOfStoresHaveTheAgent: microsim-store cannot do what helpers of nodes do.
func TestHelpersOfStoresHaveTheAgent(t *testing.T) {
	s, o := stores(), storeOptions()
	var all []appsv1.Deployment
	for _, name := range []string{"cache", "web"} {
		all = append(all, *deployment(s, s.Service(name), []byte("{}"), &o))
	}
	if image, _ := AgentOf(all); image != o.Image {
		t.Errorf("helpers have the image %q, want the agent's, %q", image, o.Image)
	}
	if image, _ := StoreImageOf(all); image != o.StoreImage {
		t.Errorf("stores have the image %q, want %q", image, o.StoreImage)
	}
	all = append(all, *deployment(s, s.Service("cart"), []byte("{}"), &o))
	all[2].Annotations = metav1.ObjectMeta{}.Annotations
	if image, policy := AgentOf(all); image != o.Image || policy != corev1.PullIfNotPresent {
		t.Errorf("helpers have the image %q, %q, want that of the service that the agent serves", image, policy)
	}
}
