package service

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// A Spec is the part of the System that one replica needs. Programs get it as JSON
// in the environment variable MICROSIM_SERVICE, in whatever language they are
// written. SpecFor makes it.
type Spec struct {
	// System is the name of the system.
	System string `json:"system"`
	// Service is the service, with every call's endpoint and method filled in.
	Service topology.Service `json:"service"`
	// Replica counts from 1.
	Replica int `json:"replica,omitempty"`
	// Seed is the seed of the run. It is written as text, because JSON numbers do
	// not hold 64 bits in every language.
	Seed uint64 `json:"seed,string,omitempty"`
	// Peers are the base URLs of the replicas of each service of the system.
	Peers map[string][]string `json:"peers,omitempty"`
	// Stores are the data stores of the system.
	Stores []topology.Service `json:"stores,omitempty"`
	// TraceSample is Config.TraceSample.
	TraceSample float64 `json:"traceSample,omitempty"`
	// AllowHosts are hosts outside the system that chains may name by URL.
	AllowHosts []string     `json:"allowHosts,omitempty"`
	Limits     chain.Limits `json:"limits,omitzero"`
	// Token is the token that /admin and /set-delay demand; without it they are
	// off.
	Token string `json:"token,omitempty"`
	// Grace is how long requests in flight may take at the end.
	Grace unit.Duration `json:"grace,omitzero"`
}

// SpecFor returns the part of a system that one replica of a service needs.
func SpecFor(system *topology.System, service *topology.Service, replica int, seed uint64, peers map[string][]string, token string) Spec {
	s := Spec{
		System: system.Name, Service: behave.Bind(system, service), Replica: replica, Seed: seed,
		Peers: peers, AllowHosts: system.AllowHosts, Token: token,
	}
	if _, other := service.Foreign(); other || service.Kind.IsStore() {
		return s // other runtimes have no drivers, and stores make no calls
	}
	for i := range system.Services {
		if t := &system.Services[i]; t.Kind.IsStore() {
			s.Stores = append(s.Stores, *t)
		}
	}
	return s
}

// ParseSpec reads a Spec from JSON. It refuses unknown fields, because it would
// serve the spec of a newer program only in part.
func ParseSpec(data []byte) (*Spec, error) {
	var spec Spec
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&spec); err != nil {
		return nil, fmt.Errorf("reading the part of the system that is to be served: %w", err)
	}
	return &spec, nil
}

// Config returns the configuration of a service that serves the spec.
func (s *Spec) Config(logger *slog.Logger) Config {
	return Config{
		System: s.System, Service: s.Service, Replica: s.Replica, Seed: s.Seed, Peers: s.Peers,
		Stores: s.Stores, AllowHosts: s.AllowHosts, Token: s.Token, TraceSample: s.TraceSample, Limits: s.Limits, Grace: s.Grace.Std(), Logger: logger,
	}
}
