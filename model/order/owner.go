package order

import (
	"fmt"
	"slices"
	"strings"
)

// workloads begins the owner of faults on workloads that are not of a system. No
// namespace has a dot in its name.
const workloads = "foreign.faults/"

// SystemOwner is the owner of the faults of a system.
func SystemOwner(namespace, system string) string { return namespace + "/" + system }

// WorkloadsOwner is the owner of the faults on workloads of a namespace that
// belong to no system.
func WorkloadsOwner(namespace string) string { return workloads + namespace }

// ParseOwner returns whose pods an owner may break: those of a system, or with an empty
// system all of a namespace.
func ParseOwner(owner string) (namespace, system string, err error) {
	if namespace, ok := strings.CutPrefix(owner, workloads); ok && namespace != "" && !strings.Contains(namespace, "/") {
		return namespace, "", nil
	}
	namespace, system, _ = strings.Cut(owner, "/")
	if namespace == "" || system == "" || strings.Contains(system, "/") || strings.Contains(namespace, ".") {
		return "", "", fmt.Errorf("owner %q names neither a system, as NAMESPACE/SYSTEM, nor the pods of a namespace, as %sNAMESPACE", owner, workloads)
	}
	return namespace, system, nil
}

// Protected reports whether the cluster itself, or the helpers, need the pods of a
// namespace.
func Protected(namespace string) bool {
	return slices.Contains([]string{"kube-system", "kube-public", "kube-node-lease", "microsim-system"}, namespace)
}

// The variables in the environment of a pod's container that say which system it is of.
const (
	NamespaceVariable = "MICROSIM_NAMESPACE"
	SystemVariable    = "MICROSIM_SYSTEM"
)
