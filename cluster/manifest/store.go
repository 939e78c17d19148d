package manifest

import (
	"cmp"
	"fmt"
	"net"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// This file plans data stores and the services that call them. Both are served by
// microsim-store, which has the engines and the drivers that the agent lacks.

const (
	// storeArg and callerArg are its arguments by which it serves a store, and a service
	// that calls some.
	storeArg, callerArg = "store", "caller"
	// storePortPrefix begins the name of the port of a store's protocol. Meshes take
	// from it that it carries no HTTP.
	storePortPrefix = "tcp-"
	// ServerName is the name of the container with a real server.
	ServerName = "server"
	// serverPort is where a real server listens in its pod, on the loopback interface: the
	// store's own port is that of the relay to it.
	serverPort = 16000
	// quorumPort is where a Kafka's controller listens, on the loopback interface as well.
	quorumPort = 16001
	// serverUser is who the official images run their servers as, but for that of Kafka.
	serverUser, kafkaUser = 999, 1000
)

// storePort is the usual port of a kind of store.
func storePort(k topology.Kind) int {
	switch k {
	case topology.Redis:
		return 6379
	case topology.Postgres:
		return 5432
	case topology.MySQL:
		return 3306
	case topology.MongoDB:
		return 27017
	case topology.Kafka:
		return 9092
	case topology.Memcached:
		return 11211
	default:
		return 0
	}
}

// UsesStores reports whether a system needs microsim-store.
func UsesStores(system *topology.System) bool { return len(system.Stores()) > 0 }

// StoreImageOf returns the image of microsim-store that one of the Deployments of a system
// has; empty if none has.
func StoreImageOf(deployments []appsv1.Deployment) (image string, policy corev1.PullPolicy) {
	for i := range deployments {
		for _, c := range deployments[i].Spec.Template.Spec.Containers {
			if len(c.Args) > 0 && c.Name == ContainerName && (c.Args[0] == storeArg || c.Args[0] == callerArg) && deployments[i].Annotations[AgentAnnotation] != "" {
				return c.Image, c.ImagePullPolicy
			}
		}
	}
	return "", ""
}

// checkStore says why a store, or a service that calls one, cannot run in a pod.
func checkStore(system *topology.System, s *topology.Service) error {
	if !s.Kind.IsStore() && !system.CallsStore(s) {
		return nil
	}
	if r, other := s.Foreign(); other {
		return fmt.Errorf("runtime %s has no drivers of data stores; leave runtime out, or call the store from another service", r.Name)
	}
	settings := s.StoreSettings()
	switch {
	case !s.Kind.IsStore() || settings.Engine != topology.Real:
		return nil
	case settings.Address != "":
		host, _, _ := net.SplitHostPort(settings.Address)
		if ip := net.ParseIP(host); host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && (ip.IsLoopback() || ip.IsUnspecified()) {
			return fmt.Errorf("store.address %q means the pod itself on a cluster; write an address that pods reach, leave it out to start a server, or use --on local", settings.Address)
		}
		return nil
	}
	return nil
}

// protocolPort is the port of a store, in a pod and in its Service.
func protocolPort(s *topology.Service) (name string, port int32) {
	return storePortPrefix + string(s.Kind), int32(storePort(s.Kind)) //nolint:gosec // a constant
}

// storeContainer serves a store: the embedded engine, or the relay to a real server.
func storeContainer(system string, s *topology.Service, part []byte, o *Options) corev1.Container {
	c := agentContainer(system, s, part, o)
	name, port := protocolPort(s)
	c.Image, c.ImagePullPolicy = o.StoreImage, cmp.Or(o.StorePullPolicy, corev1.PullIfNotPresent)
	c.Args[0] = storeArg
	if server, ok := serverOf(s); ok {
		c.Args = append(c.Args, "--own-server="+server.address())
	}
	c.Ports[0] = corev1.ContainerPort{Name: name, ContainerPort: port, Protocol: corev1.ProtocolTCP}
	for i := range c.Env {
		if c.Env[i].Name == "PORT" {
			c.Env[i].Value = fmt.Sprint(port)
		}
	}
	// A real server may have to make its data first, and to be filled.
	c.StartupProbe = probe(control.HealthPath, topology.Probe{Period: unit.Duration(time.Second), Timeout: unit.Duration(topology.DefaultProbeTimeout), FailureThreshold: 240})
	return c
}

// A realServer is the official image of a kind's server.
type realServer struct {
	image string
	args  []string
	env   []corev1.EnvVar
	// data is where the server keeps its data, and run where else it writes; empty if nowhere.
	data, run string
	// user is who the image runs the server as.
	user int64
}

func (r *realServer) address() string { return fmt.Sprintf("127.0.0.1:%d", serverPort) }

// serverOf is the real server that runs in the pod of a store; none for the others.
func serverOf(s *topology.Service) (realServer, bool) {
	settings := s.StoreSettings()
	if !s.Kind.IsStore() || settings.Engine != topology.Real || settings.Address != "" {
		return realServer{}, false
	}
	r := realServer{data: "/data", user: serverUser}
	port := fmt.Sprint(serverPort)
	switch s.Kind {
	case topology.Redis:
		r.image = "redis:7.2.5"
		r.args = []string{"redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", r.data, "--save", "", "--appendonly", "no"}
	case topology.Postgres:
		r.image, r.data, r.run = "postgres:16.3", "/var/lib/postgresql/data", "/var/run/postgresql"
		r.args = []string{"postgres", "-c", "port=" + port, "-c", "listen_addresses=127.0.0.1", "-c", "shared_buffers=32MB"}
		// The directory of the volume itself may have other entries, which initdb refuses.
		r.env = []corev1.EnvVar{{Name: "POSTGRES_HOST_AUTH_METHOD", Value: "trust"}, {Name: "PGDATA", Value: r.data + "/pgdata"}}
	case topology.MySQL:
		r.image, r.data, r.run = "mariadb:10.11.8", "/var/lib/mysql", "/run/mysqld"
		r.args = []string{"mariadbd", "--datadir=" + r.data + "/data", "--port=" + port, "--bind-address=127.0.0.1", "--skip-name-resolve", "--innodb-buffer-pool-size=32M"}
		// Every entry of the directory for data would be a database, and the volume has others.
		r.env = []corev1.EnvVar{{Name: "MARIADB_ALLOW_EMPTY_ROOT_PASSWORD", Value: "1"}, {Name: "MARIADB_INITDB_SKIP_TZINFO", Value: "1"}}
	case topology.Memcached:
		r.image, r.data = "memcached:1.6.29", ""
		r.args = []string{"memcached", "-l", "127.0.0.1", "-p", port, "-U", "0"}
	case topology.MongoDB:
		r.image, r.data = "mongo:7.0.12", "/data/db"
		r.args = []string{"mongod", "--dbpath", r.data, "--port", port, "--bind_ip", "127.0.0.1", "--wiredTigerCacheSizeGB", "0.25"}
	case topology.Kafka:
		r.image, r.data, r.run, r.user = "apache/kafka:3.9.1", "/var/lib/kafka/data", "/opt/kafka/config", kafkaUser
		r.env = kafkaEnv(r.data)
	default:
		return realServer{}, false
	}
	r.image = cmp.Or(settings.Image, r.image)
	return r, true
}

// kafkaEnv makes a broker that stands alone of the official image of Kafka, which takes
// its settings from variables.
func kafkaEnv(data string) []corev1.EnvVar {
	broker, controller := fmt.Sprintf("127.0.0.1:%d", serverPort), fmt.Sprintf("127.0.0.1:%d", quorumPort)
	return []corev1.EnvVar{
		{Name: "CLUSTER_ID", Value: "bWljcm9zaW0tc3RvcmUhIQ"},
		{Name: "KAFKA_NODE_ID", Value: "1"},
		{Name: "KAFKA_PROCESS_ROLES", Value: "broker,controller"},
		{Name: "KAFKA_LISTENERS", Value: "PLAINTEXT://" + broker + ",CONTROLLER://" + controller},
		// The relay puts its own address in place of this one, so clients come back to it.
		{Name: "KAFKA_ADVERTISED_LISTENERS", Value: "PLAINTEXT://" + broker},
		{Name: "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", Value: "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT"},
		{Name: "KAFKA_INTER_BROKER_LISTENER_NAME", Value: "PLAINTEXT"},
		{Name: "KAFKA_CONTROLLER_LISTENER_NAMES", Value: "CONTROLLER"},
		{Name: "KAFKA_CONTROLLER_QUORUM_VOTERS", Value: "1@" + controller},
		// The directory of the volume itself has other entries, which are no partitions.
		{Name: "KAFKA_LOG_DIRS", Value: data + "/log"},
		{Name: "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", Value: "1"},
		{Name: "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS", Value: "1"},
		{Name: "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", Value: "1"},
		{Name: "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", Value: "1"},
		{Name: "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", Value: "0"},
		{Name: "KAFKA_AUTO_CREATE_TOPICS_ENABLE", Value: "false"},
		// Its default takes 128 MiB of the heap.
		{Name: "KAFKA_LOG_CLEANER_DEDUPE_BUFFER_SIZE", Value: "4194304"},
		// Shares of the limit of the container, in place of a heap of 1 GiB.
		{Name: "KAFKA_HEAP_OPTS", Value: "-XX:InitialRAMPercentage=25 -XX:MaxRAMPercentage=50"},
		{Name: "LOG_DIR", Value: "/tmp/logs"},
	}
}

// serverContainer runs the real server beside its relay.
func serverContainer(system string, s *topology.Service, r *realServer) corev1.Container {
	security := containerSecurity()
	security.RunAsUser, security.RunAsGroup = ptr(r.user), ptr(r.user)
	var mounts []corev1.VolumeMount
	if r.data != "" {
		mounts = append(mounts, corev1.VolumeMount{Name: "data", MountPath: r.data})
	}
	mounts = append(mounts, corev1.VolumeMount{Name: "tmp", MountPath: "/tmp"})
	if r.run != "" {
		mounts = append(mounts, corev1.VolumeMount{Name: "data", MountPath: r.run, SubPath: "run"})
	}
	return corev1.Container{
		Name: ServerName, Image: r.image, ImagePullPolicy: corev1.PullIfNotPresent, Args: r.args,
		Env:             append(r.env, identity(system)...),
		Resources:       serverResources(s),
		VolumeMounts:    mounts,
		SecurityContext: security,
	}
}

// Limits of a real server whose System names none.
const (
	serverCPU    = unit.Cores(0.05)
	serverMemory = unit.Size(512 << 20)
)

// serverResources are those of the System. Without a word there, the memory of a real
// server is bounded: one that takes all of a node would end what runs beside it.
func serverResources(s *topology.Service) corev1.ResourceRequirements {
	own := topology.Resources{}
	if s.Resources != nil {
		own = *s.Resources
	}
	own.CPURequest = cmp.Or(own.CPURequest, own.CPULimit, serverCPU)
	if own.MemoryLimit == 0 {
		own.MemoryLimit = max(serverMemory, own.MemoryRequest)
	}
	own.MemoryRequest = cmp.Or(own.MemoryRequest, min(serverMemory/8, own.MemoryLimit))
	return resources(&topology.Service{Resources: &own})
}

// addServer adds the container of a real server, and its volume, to the pod of a store.
func addServer(pod *corev1.PodSpec, system string, s *topology.Service) {
	r, ok := serverOf(s)
	if !ok {
		return
	}
	relay := &pod.Containers[0]
	relay.Resources = resources(&topology.Service{}) // those of the System are the server's
	pod.SecurityContext.FSGroup = ptr(r.user)
	pod.Containers = append(pod.Containers, serverContainer(system, s, &r))
	if r.data == "" {
		return
	}
	pod.Volumes = append(pod.Volumes, corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
}

// storeService is the Service of a store, at the port of its protocol.
func storeService(s *topology.Service) corev1.ServicePort {
	name, port := protocolPort(s)
	return corev1.ServicePort{Name: name, Port: port, TargetPort: intstr.FromString(name), Protocol: corev1.ProtocolTCP}
}
