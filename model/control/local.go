package control

import (
	"net/url"
	"strconv"
)

// The paths of the control plane of a system on this machine. FaultsPath and
// FaultPath are there, too, and act on the whole system: DELETE FaultsPath
// clears all faults, POST FaultsPath only says whether a fault is possible.
const (
	// CallPath takes chains by POST; GET answers with the dashboard.
	CallPath = "/"
	// SystemHealthPath lists the health of the services.
	SystemHealthPath = "/health"
	// StatusPath describes the system and its replicas.
	StatusPath = "/admin/status"
	// SystemPath returns or replaces the description of the system.
	SystemPath = "/admin/system"
	// ReplicasPath leads to the replicas; see ReplicaPath.
	ReplicasPath = "/admin/replicas"
	// ShutdownPath ends the system.
	ShutdownPath = "/admin/shutdown"
)

// SeedParameter of CallPath repeats what was drawn for a chain.
const SeedParameter = "seed"

// ReplicaPath is where an action (kill, pause, resume, restart) on one replica,
// counted from 1, is asked for.
func ReplicaPath(service string, index int, action string) string {
	return ReplicasPath + "/" + url.PathEscape(service) + "/" + strconv.Itoa(index) + "/" + url.PathEscape(action)
}

// A Refusal is the body of an answer that is not a success.
type Refusal struct {
	Error string `json:"error"`
}

// A FaultPossible answers POST FaultsPath.
type FaultPossible struct {
	Possible bool `json:"possible"`
}

// A ShutdownBegun answers POST ShutdownPath.
type ShutdownBegun struct {
	State  string `json:"state"`
	System string `json:"system"`
}
