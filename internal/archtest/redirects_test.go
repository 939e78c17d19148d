package archtest

import (
	"go/ast"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestNoClientFollowsRedirects looks at every client of HTTP in the programs. A redirect
// is an answer like any other: what follows it sends a request, at times with
// credentials, to a server that the user has not named.
func TestNoClientFollowsRedirects(t *testing.T) {
	// suites test from outside, and have no credentials of a user.
	suites := []string{"runner/runnertest/", "workload/service/servicetest/", "netfault/gate/internal/compare/"}
	clients := 0
	eachSource(t, ".", func(path string, src *ast.File) {
		path = filepath.ToSlash(strings.TrimPrefix(path, filepath.FromSlash("../../")))
		if slices.ContainsFunc(suites, func(s string) bool { return strings.HasPrefix(path, s) }) {
			return
		}
		found, clientGo, sets := redirecting(src)
		clients += found.clients
		for _, what := range found.bad {
			t.Errorf("%s %s, which follows redirects: make a client whose CheckRedirect returns http.ErrUseLastResponse", path, what)
		}
		if clientGo && !sets {
			t.Errorf("%s takes the client of client-go, which follows redirects: set its CheckRedirect", path)
		}
	})
	if clients < 4 {
		t.Errorf("only %d clients were found: this test does not see them any more", clients)
	}
}

// redirects is what a file has of clients.
type redirects struct {
	clients int
	bad     []string
}

// redirecting looks for clients that follow redirects, for the one of client-go, and
// for an assignment to CheckRedirect.
func redirecting(src *ast.File) (found redirects, clientGo, sets bool) {
	ast.Inspect(src, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if of, ok := n.X.(*ast.Ident); ok && of.Name == "http" && isShortcut(n.Sel.Name) {
				found.bad = append(found.bad, "uses http."+n.Sel.Name)
			}
			clientGo = clientGo || isSelector(n, "rest", "HTTPClientFor")
		case *ast.CompositeLit:
			if isSelector(n.Type, "http", "Client") {
				found.clients++
				if !hasKey(n, "CheckRedirect") {
					found.bad = append(found.bad, "makes a client without CheckRedirect")
				}
			}
		case *ast.AssignStmt:
			for _, to := range n.Lhs {
				s, ok := to.(*ast.SelectorExpr)
				sets = sets || ok && s.Sel.Name == "CheckRedirect"
			}
		}
		return true
	})
	return found, clientGo, sets
}

func isShortcut(name string) bool {
	switch name {
	case "DefaultClient", "Get", "Head", "Post", "PostForm":
		return true
	}
	return false
}

func isSelector(n ast.Expr, of, name string) bool {
	s, ok := n.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != name {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == of
}

func hasKey(n *ast.CompositeLit, key string) bool {
	for _, e := range n.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if id, ok := kv.Key.(*ast.Ident); ok && id.Name == key {
				return true
			}
		}
	}
	return false
}
