package control

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// ServicePath takes a Description by PUT, which the service follows from its next request
// on, and answers GET; the answer to both is Serving. A Description that only another
// process can follow is answered with 409 and a Refusal, and a program without the path
// answers 404: both have to be replaced.
const ServicePath = "/admin/service/v1"

// A Description is the part of a system that a service decides by.
type Description struct {
	// Service has every call's endpoint and method filled in.
	Service topology.Service `json:"service"`
	// Stores are the data stores of the system.
	Stores []topology.Service `json:"stores,omitempty"`
	// Peers take the place of those that the service has; none leave them as they are.
	Peers Peers `json:"peers,omitempty"`
}

// Fingerprint is short and differs between descriptions that are served differently. No
// replica knows the number of replicas, and peers change with every address, so neither
// counts.
func (d *Description) Fingerprint() (string, error) {
	same := Description{Service: d.Service}
	same.Service.Replicas = 0
	for _, s := range d.Stores {
		s.Replicas = 0
		same.Stores = append(same.Stores, s)
	}
	text, err := json.Marshal(same)
	if err != nil {
		return "", fmt.Errorf("writing the description of service %q: %w", d.Service.Name, err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), nil
}

// A Serving says which Description a service follows.
type Serving struct {
	Fingerprint string `json:"fingerprint"`
}

// Follows reports whether a service is served by a program that follows another Description
// while it runs: the agent.
func Follows(s *topology.Service) bool {
	_, foreign := s.Foreign()
	return !foreign && !s.Kind.IsStore() && s.ObeysContract()
}

// Fixed lists the fields, by their names in files, in which two descriptions of a service
// differ and which a running service cannot change. None means that it can be tried.
func Fixed(old, next *topology.Service) (fields []string) {
	a, b := *old, *next
	a.Replicas, a.OnCancel, a.Endpoints = b.Replicas, b.OnCancel, b.Endpoints
	of, to := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range of.NumField() {
		if !reflect.DeepEqual(of.Field(i).Interface(), to.Field(i).Interface()) {
			name, _, _ := strings.Cut(of.Type().Field(i).Tag.Get("json"), ",")
			fields = append(fields, name)
		}
	}
	return fields
}
