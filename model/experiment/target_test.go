package experiment

import (
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A fault at a target that a system does not have would never act.
func TestCheckTarget(t *testing.T) {
	web, cart := topology.NewService("web"), topology.NewService("cart")
	cart.Replicas = 2
	cart.Endpoints = []topology.Endpoint{topology.NewEndpoint("/items"), topology.NewEndpoint("/users/{id}")}
	system := &topology.System{Name: "shop", Services: []topology.Service{web, cart}}
	for target, want := range map[string]string{
		"cart": "", "cart/2": "", "cart/items": "", "cart/users/{id}": "", "web->cart": "", "web->cart/items": "", "cart->web": "",
		"crt":         `there is no service "crt" in system "shop" (did you mean "cart"?)`,
		"checkout":    `there is no service "checkout" in system "shop" (its services are web, cart)`,
		"cart/3":      `service "cart" has 2 replicas, not 3`,
		"cart/0":      `service "cart" has no endpoint "/0" (it has /items, /users/{id})`,
		"cart/itms":   `service "cart" has no endpoint "/itms" (it has /items, /users/{id})`,
		"cart/2/itms": `service "cart" has no endpoint "/itms"`,
		"wbe->cart":   `there is no service "wbe" in system "shop" that could call "cart" (did you mean "web"?)`,
	} {
		parsed, err := fault.ParseTarget(target)
		if err != nil {
			t.Fatal(err)
		}
		switch err := CheckTarget(system, parsed); {
		case err == nil && want != "":
			t.Errorf("%s is taken, want %q", target, want)
		case err != nil && (want == "" || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", target, err, want)
		}
	}
}
