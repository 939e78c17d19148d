package rights

import (
	"cmp"
	"fmt"
	"strings"
)

// UserTable is the documentation of what users need, in Markdown.
func UserTable() string {
	var b strings.Builder
	b.WriteString("| to | where | rights |\n|---|---|---|\n")
	for _, p := range Purposes() {
		var parts []string
		for _, r := range p.Rights {
			parts = append(parts, fmt.Sprintf("%s on %s", commas(r.Verbs), full(r.Group, r.Resource)))
		}
		what := p.What
		if p.Optional {
			what += " (optional)"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", what, p.Scope, strings.Join(parts, "; "))
	}
	return b.String()
}

// RunTable is the documentation of what a detached experiment may do, in Markdown.
func RunTable() string {
	all := Run{SystemObject: "`microsim-SYSTEM`", Kills: true, LoadObject: "`microsim-NAME-load`", HelperOrders: []string{"`helper-HASH`"}, HelperTokens: []string{"`helper-HASH-...`"}}
	var b strings.Builder
	b.WriteString("| where | resource | verbs | for |\n|---|---|---|---|\n")
	for _, scope := range []Scope{Systems, Helpers} {
		for _, r := range RowsOf(all, scope) {
			verbs := commas(r.Verbs)
			if len(r.Objects) > 0 {
				verbs += " of " + strings.Join(r.Objects, ", ") + " alone"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", scope, full(r.Group, r.Resource), verbs, r.For)
		}
	}
	return b.String()
}

func commas(verbs string) string { return strings.Join(strings.Fields(verbs), ", ") }

func full(group, resource string) string {
	return cmp.Or(map[bool]string{true: resource}[group == ""], fmt.Sprintf("%s (`%s`)", resource, group))
}
