// Package rights is the one list of the rights that this program uses on a cluster.
// The checks of doctor, the Roles of detached experiments and the documentation come
// from it, and the API server of the tests refuses any other request.
package rights

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
)

// A Scope is where a right is used.
type Scope string

const (
	// Systems is the namespace of a system, or of selected pods.
	Systems Scope = "the system's namespace"
	// Helpers is the namespace of the helpers of nodes.
	Helpers Scope = "`microsim-system`"
	// Cluster is the cluster as a whole.
	Cluster Scope = "the cluster"
)

// A Purpose is something that a user does, with the rights that it takes.
type Purpose struct {
	Name, What string
	Scope      Scope
	// Optional purposes are gone without if the rights are missing.
	Optional bool
	Rights   []Right
}

// A Right is verbs on one resource, such as "get list" on "pods/proxy".
type Right struct {
	Group, Resource string
	Verbs           string
	// For says what it is used for.
	For string
	// Run are those of the verbs that a detached experiment has; "" gives it none.
	Run string
	// Only names the objects that the right of the experiment is limited to; nil limits
	// nothing. Without any object there is no right.
	Only func(Run) []string
	// If says whether an experiment needs the right; nil is always.
	If func(Run) bool
}

// A Run says what a detached experiment does.
type Run struct {
	// SystemObject names the Secret with the token of the system.
	SystemObject string
	// Kills is set if faults delete pods.
	Kills bool
	// LoadObject names the Job of the load and its Secret; "" if the experiment sends
	// the load itself.
	LoadObject string
	// HelperOrders names the ConfigMaps with the orders of the helpers that were made
	// for the experiment, HelperTokens the Secrets with their tokens.
	HelperOrders, HelperTokens []string
}

// Purposes lists them all, in the order in which doctor shows them.
func Purposes() []Purpose {
	return slices.Concat(systems(), faults(), load())
}

const rbacGroup = rbacv1.GroupName

func ofSystem(r Run) []string { return []string{r.SystemObject} }
func ofLoad(r Run) []string   { return []string{r.LoadObject} }
func ofOrders(r Run) []string { return r.HelperOrders }
func ofTokens(r Run) []string { return r.HelperTokens }
func loads(r Run) bool        { return r.LoadObject != "" }
func kills(r Run) bool        { return r.Kills }

func systems() []Purpose {
	return []Purpose{
		{Name: "up", What: "bring systems up, show them and take them down", Scope: Systems, Rights: []Right{
			{Group: "apps", Resource: "deployments", Verbs: "list watch create patch delete deletecollection", Run: "list watch create patch deletecollection", For: "the services, and whether they are ready"},
			{Group: "apps", Resource: "replicasets", Verbs: "deletecollection", Run: "deletecollection", For: "taking down"},
			{Resource: "pods", Verbs: "list watch deletecollection", Run: "list watch deletecollection", For: "readiness, replicas, taking down"},
			{Resource: "pods/log", Verbs: "get", Run: "get", For: "the last lines of a service that does not start"},
			{Resource: "pods/proxy", Verbs: "get update", Run: "get update", For: "asking pods which services they reach, and changing services in place"},
			{Resource: "services", Verbs: "list create patch delete", Run: "list create patch delete", For: "the Services of the system"},
			{Resource: "configmaps", Verbs: "get list create patch delete deletecollection", Run: "get list create patch deletecollection", For: "the system, and results"},
			{Resource: "secrets", Verbs: "get list create patch delete deletecollection", Run: "get create patch delete", Only: ofSystem, For: "the token of the system"},
		}},
		{Name: "namespaces", What: "give systems namespaces of their own", Scope: Cluster, Rights: []Right{
			{Resource: "namespaces", Verbs: "get list watch create patch delete", For: "namespaces of systems"},
			{Resource: "persistentvolumeclaims", Verbs: "list", For: "whether others use the namespace"},
		}},
		{Name: "podmonitors", What: "have an operator of Prometheus find systems", Scope: Systems, Optional: true, Rights: []Right{
			{Group: "monitoring.coreos.com", Resource: "podmonitors", Verbs: "create patch deletecollection", For: "PodMonitors, if the cluster has them"},
			{Group: "monitoring.coreos.com", Resource: "prometheusrules", Verbs: "create patch deletecollection", For: "the alerts of `monitor`"},
		}},
		{Name: "quotas", What: "have `doctor` see whether a namespace has room", Scope: Systems, Optional: true, Rights: []Right{
			{Resource: "resourcequotas", Verbs: "list", For: "quotas that are used up"},
		}},
		{Name: "call", What: "send requests to systems", Scope: Systems, Rights: []Right{
			{Resource: "configmaps", Verbs: "list", For: "finding the system"},
			{Resource: "services/proxy", Verbs: "get create", For: "requests through the API server"},
		}},
		{Name: "logs", What: "read what services print", Scope: Systems, Rights: []Right{
			{Resource: "configmaps", Verbs: "list get", For: "finding the system"},
			{Resource: "pods", Verbs: "list watch", For: "the replicas"},
			{Resource: "pods/log", Verbs: "get", For: "their lines"},
		}},
		{Name: "top", What: "see how services are", Scope: Systems, Rights: []Right{
			{Resource: "configmaps", Verbs: "list get", For: "finding the system"},
			{Resource: "pods", Verbs: "list", For: "the replicas"},
			{Resource: "pods/proxy", Verbs: "get", For: "their metrics"},
		}},
	}
}

func faults() []Purpose {
	return []Purpose{
		{Name: "faults", What: "faults in services", Scope: Systems, Rights: []Right{
			{Resource: "pods", Verbs: "get list watch", Run: "get list watch", For: "the pods that faults act in"},
			{Resource: "pods/proxy", Verbs: "get update delete", Run: "get update delete", For: "faults in services"},
			{Resource: "configmaps", Verbs: "list get create update", Run: "list get create update", For: "the record of faults"},
			{Resource: "secrets", Verbs: "get", Run: "get", Only: ofSystem, For: "the token of the system"},
		}},
		{Name: "pod-faults", What: "kill and restart pods", Scope: Systems, Rights: []Right{
			{Resource: "pods", Verbs: "list watch delete", Run: "list watch delete", If: kills, For: "faults that kill or restart pods"},
		}},
		{Name: "selected-pods", What: "faults on pods of others, by their labels", Scope: Systems, Rights: []Right{
			{Resource: "pods", Verbs: "list watch", For: "the selected pods"},
			{Resource: "services", Verbs: "get", For: "destinations of --to"},
			{Group: "discovery.k8s.io", Resource: "endpointslices", Verbs: "list watch", For: "the addresses of destinations"},
		}},
		{Name: "helpers", What: "faults on networks, processors and memory", Scope: Helpers, Rights: []Right{
			{Group: "batch", Resource: "jobs", Verbs: "get list watch create patch delete", Run: "list watch", For: "the helpers of nodes"},
			{Resource: "configmaps", Verbs: "list watch", Run: "list watch", For: "finding their orders"},
			{Resource: "configmaps", Verbs: "get create update patch delete", Run: "get update", Only: ofOrders, For: "their orders, and records of faults on selected pods"},
			{Resource: "secrets", Verbs: "get create patch delete", Run: "get", Only: ofTokens, For: "their tokens"},
			{Resource: "pods", Verbs: "list watch create", Run: "list watch", For: "whether they run; create only asks whether they are admitted"},
			{Resource: "pods/proxy", Verbs: "get update delete", Run: "get update delete", For: "sending orders"},
			{Resource: "serviceaccounts", Verbs: "list watch", For: "whether the new namespace admits pods"},
		}},
		{Name: "helper-namespace", What: "make the namespace of the helpers, and know the nodes", Scope: Cluster, Rights: []Right{
			{Resource: "namespaces", Verbs: "get list watch create delete", For: "the namespace `microsim-system`"},
			{Resource: "nodes", Verbs: "get list", For: "whether nodes are ready, and where probes come from"},
		}},
	}
}

func load() []Purpose {
	return []Purpose{
		{Name: "load", What: "generate load inside the cluster", Scope: Systems, Rights: []Right{
			{Group: "apps", Resource: "deployments", Verbs: "list", For: "the image of the system"},
			{Group: "batch", Resource: "jobs", Verbs: "get list watch create patch delete deletecollection", Run: "get create patch delete", Only: ofLoad, If: loads, For: "the load of several pods"},
			{Resource: "secrets", Verbs: "get create patch delete deletecollection", Run: "create patch delete", Only: ofLoad, If: loads, For: "the token of the load"},
			{Resource: "pods", Verbs: "get list watch deletecollection", Run: "get list watch deletecollection", If: loads, For: "the pods of the load"},
			{Resource: "pods/log", Verbs: "get", Run: "get", If: loads, For: "the last lines of a pod that does not start"},
			{Resource: "pods/proxy", Verbs: "get create", Run: "get create", If: loads, For: "starting the load, and reading its outcomes"},
			{Resource: "events", Verbs: "list", For: "why pods are not made"},
		}},
		{Name: "detach", What: "experiments that run on without this machine", Scope: Systems, Rights: []Right{
			{Group: "batch", Resource: "jobs", Verbs: "list watch create patch deletecollection", For: "the Job of the experiment"},
			{Resource: "pods", Verbs: "list watch deletecollection", For: "its pod"},
			{Resource: "pods/log", Verbs: "get", For: "its last line"},
			{Resource: "events", Verbs: "list", For: "why its pod is not made"},
			{Resource: "configmaps", Verbs: "get list watch create patch deletecollection", For: "its file and results"},
			{Resource: "serviceaccounts", Verbs: "create patch deletecollection", For: "the account that it runs as"},
			{Group: rbacGroup, Resource: "roles", Verbs: "create patch delete deletecollection", For: "its rights"},
			{Group: rbacGroup, Resource: "rolebindings", Verbs: "create patch delete deletecollection", For: "its rights"},
		}},
		{Name: "detach-helpers", What: "experiments that run on with faults on networks, processors and memory", Scope: Helpers, Rights: []Right{
			{Group: rbacGroup, Resource: "roles", Verbs: "create patch delete", For: "the rights of the experiment"},
			{Group: rbacGroup, Resource: "rolebindings", Verbs: "create patch delete", For: "the rights of the experiment"},
		}},
	}
}

// Rules are the rights of a purpose, as a Role has them.
func (p *Purpose) Rules() []rbacv1.PolicyRule {
	var rules []rbacv1.PolicyRule
	for _, r := range p.Rights {
		rules = append(rules, rbacv1.PolicyRule{APIGroups: []string{r.Group}, Resources: []string{r.Resource}, Verbs: strings.Fields(r.Verbs)})
	}
	return rules
}

// RulesOf are the rights of a detached experiment in a scope: no more than what
// bringing its system up, loading it, breaking it and taking it down asks for.
func RulesOf(run Run, scope Scope) []rbacv1.PolicyRule {
	var rules []rbacv1.PolicyRule
	for _, row := range RowsOf(run, scope) {
		rule := rbacv1.PolicyRule{APIGroups: []string{row.Group}, Resources: []string{row.Resource}, Verbs: strings.Fields(row.Verbs)}
		rule.ResourceNames = row.Objects
		rules = append(rules, rule)
	}
	return rules
}

// A Row is all that a detached experiment may do to one resource, or to some objects
// of it.
type Row struct {
	Group, Resource, Verbs, For string
	// Objects are those that the row is limited to; none limits nothing.
	Objects []string
}

// RowsOf lists the rights of a detached experiment in a scope, one for each resource
// and set of objects.
func RowsOf(run Run, scope Scope) []Row {
	var rows []Row
	for _, p := range Purposes() {
		for _, r := range p.Rights {
			if p.Scope != scope || r.Run == "" || r.If != nil && !r.If(run) {
				continue
			}
			row := Row{Group: r.Group, Resource: r.Resource, Verbs: r.Run, For: r.For}
			if r.Only != nil {
				if row.Objects = r.Only(run); len(row.Objects) == 0 {
					continue // a rule without names would take every object
				}
			}
			rows = add(rows, row)
		}
	}
	return rows
}

// add joins a row with the one of the same objects.
func add(rows []Row, row Row) []Row {
	i := slices.IndexFunc(rows, func(r Row) bool {
		return r.Group == row.Group && r.Resource == row.Resource && slices.Equal(r.Objects, row.Objects)
	})
	if i < 0 {
		return append(rows, row)
	}
	at := &rows[i]
	for _, verb := range strings.Fields(row.Verbs) {
		if !slices.Contains(strings.Fields(at.Verbs), verb) {
			at.Verbs += " " + verb
		}
	}
	if !strings.Contains(at.For, row.For) {
		at.For += "; " + row.For
	}
	return rows
}

// Listed reports whether any purpose needs a verb on a resource in a scope. Rights in
// the cluster as a whole count in every namespace.
func Listed(scope Scope, verb, group, resource string) bool {
	return slices.ContainsFunc(Purposes(), func(p Purpose) bool {
		return (p.Scope == scope || p.Scope == Cluster) && slices.ContainsFunc(p.Rights, func(r Right) bool {
			return r.Group == group && r.Resource == resource && slices.Contains(strings.Fields(r.Verbs), verb)
		})
	})
}
