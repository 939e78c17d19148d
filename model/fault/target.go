package fault

import (
	"fmt"
	"strconv"
	"strings"
)

// ParseTarget reads what Target.String prints: "cart" is every replica of a
// service, "cart/2" its second, "cart/items" its endpoint /items, "cart/2/items"
// that endpoint of the second replica, and "web->cart" the traffic from one service
// to another. It does not check that they exist.
func ParseTarget(text string) (Target, error) {
	var t Target
	rest := text
	if from, to, edge := strings.Cut(rest, "->"); edge {
		t.From, rest = strings.TrimSpace(from), strings.TrimSpace(to)
		if t.From == "" {
			return Target{}, targetError(text)
		}
	}
	service, rest, _ := strings.Cut(rest, "/")
	t.Service = service
	if service == "" || strings.ContainsAny(text, " \t\r\n") && t.From == "" || strings.Contains(service, "->") {
		return Target{}, targetError(text)
	}
	number, path, more := strings.Cut(rest, "/")
	if n, err := strconv.Atoi(number); err == nil && n > 0 {
		t.Replica, rest = n, path
		if !more {
			return t, nil
		}
	}
	if rest != "" {
		t.Endpoint = "/" + rest
	}
	return t, nil
}

func targetError(text string) error {
	return fmt.Errorf("invalid target %q: write a service (cart), a replica (cart/2), an endpoint (cart/items) or an edge (web->cart)", text)
}
