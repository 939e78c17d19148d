package manifest

import (
	"crypto/sha256"
	"encoding/hex"
)

// The labels and annotations by which objects of systems are known.
const (
	ManagedByLabel = "app.kubernetes.io/managed-by"
	// ManagedBy is the value of ManagedByLabel on all that is ours.
	ManagedBy = "microsim"
	// SystemLabel names the system that an object belongs to.
	SystemLabel = "microsim.dev/system"
	// ServiceLabel names the service that an object belongs to.
	ServiceLabel = "microsim.dev/service"
	// RoleLabel tells apart what is not made from the system's file.
	RoleLabel = "microsim.dev/role"
	// FaultsRole is the RoleLabel of the record of faults.
	FaultsRole = "faults"
	// ExperimentLabel names the experiment that an object belongs to. Objects of
	// an experiment do not have SystemLabel: they outlive the system.
	ExperimentLabel = "microsim.dev/experiment"
	// ExperimentRole is the RoleLabel of what an experiment runs as, ResultsRole
	// that of the index of its results, PieceRole that of their pieces.
	ExperimentRole = "experiment"
	ResultsRole    = "results"
	PieceRole      = "results-piece"
	// RunsAnnotation on the objects of an experiment names its system.
	RunsAnnotation = "microsim.dev/runs-system"
	// AgentAnnotation on a Deployment that microsim-store serves names the agent's image,
	// which helpers need.
	AgentAnnotation = "microsim.dev/agent-image"
	// SpecAnnotation on a pod is the fingerprint of the part of the system with which it
	// was rolled out, so that pods follow their file. A change in place leaves it.
	SpecAnnotation = "microsim.dev/spec"
)

// HelperNamespace is where the helpers of nodes are.
const HelperNamespace = "microsim-system"

// Selector selects every object of a system.
func Selector(system string) string {
	return ManagedByLabel + "=" + ManagedBy + "," + SystemLabel + "=" + system
}

// ServiceSelector selects the objects of a system's services, without those of
// loads on it.
func ServiceSelector(system string) string { return Selector(system) + "," + ServiceLabel }

// SelectorAll selects every object of every system.
func SelectorAll() string { return ManagedByLabel + "=" + ManagedBy + "," + SystemLabel }

// CommonLabels are those of all objects of a system.
func CommonLabels(system string) map[string]string {
	return map[string]string{
		ManagedByLabel:               ManagedBy,
		"app.kubernetes.io/part-of":  system,
		"app.kubernetes.io/instance": system,
		SystemLabel:                  system,
	}
}

// ServiceLabels are those of all objects of a service.
func ServiceLabels(system, service string) map[string]string {
	labels := CommonLabels(system)
	labels["app.kubernetes.io/name"] = service
	labels[ServiceLabel] = service
	return labels
}

// podSelector selects the pods of a service. A Deployment's selector never
// changes, so it holds no more than is needed.
func podSelector(system, service string) map[string]string {
	return map[string]string{SystemLabel: system, ServiceLabel: service}
}

// ObjectName is the name of the objects that a system has one of. Services are
// called as in the file, so this prefix keeps others apart from them.
func ObjectName(system string) string { return "microsim-" + system }

// FaultsName is the name of the ConfigMap that records a system's faults.
func FaultsName(system string) string { return ObjectName(system) + "-faults" }

// specName is the name of the ConfigMap with a service's part of the system.
func specName(system, service string) string {
	return ObjectName(system) + "-spec-" + service
}

// fingerprint is short and changes with the data.
func fingerprint(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// FaultsKey is the key of a record of faults in its ConfigMap.
const FaultsKey = "faults.json"
