//go:build e2e

package plugin

import "strings"

func faultCases() []e2eCase {
	return append([]e2eCase{
		{"a fault acts until it is cleared", broken},
	}, helperCases()...)
}

func broken(k *onKind) {
	k.ok(k.microsim("up", "-f", k.file("frail.yaml", strings.ReplaceAll(frontAndBack, "NAME", "frail")))...)
	front := []string{"get", "--raw", "/api/v1/namespaces/frail/services/http:front:80/proxy/"}
	k.ok(front...)
	k.ok(k.microsim("fault", "add", "error", "--target", "back", "--status", "503", "--for", "5m")...)
	k.fails("", front...)
	if out := k.ok(k.microsim("fault", "list")...); !strings.Contains(out, "back/1,back/2") {
		k.t.Errorf("fault list shows\n%s", out)
	}
	k.ok(k.microsim("fault", "clear", "--all")...)
	k.ok(front...)
	k.fails("not possible on a cluster yet", k.microsim("fault", "add", "refuse", "--target", "back")...)
	k.ok(k.microsim("down", "frail")...)
}
