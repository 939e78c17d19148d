package apitest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/rights"
)

// Allow limits clients to the rules of Roles, by their namespace; "" has the rules of
// all namespaces. It may be called at any time.
func (s *Server) Allow(rules map[string][]rbacv1.PolicyRule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.allowed = func(namespace, verb, group, resource, name string) bool {
		return slices.ContainsFunc(slices.Concat(rules[namespace], rules[""]), func(r rbacv1.PolicyRule) bool {
			return slices.Contains(r.APIGroups, group) && slices.Contains(r.Resources, resource) && slices.Contains(r.Verbs, verb) &&
				(len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, name))
		})
	}
}

// authorize says why a request is forbidden; "" if it is allowed. It remembers rights
// that are not listed.
func (s *Server) authorize(r *http.Request, k key, sub string) string {
	if strings.HasPrefix(r.UserAgent(), Outsider) || kinds[k.resource] == "" && k.resource != "podmonitors" && k.resource != "prometheusrules" && k.resource != "events" {
		return ""
	}
	resource, namespace, name := k.resource, k.namespace, k.name
	if sub != "" {
		resource += "/" + strings.SplitN(sub, "/", 2)[0]
		if resource == "pods/proxy" {
			name = strings.Split(name+"::", ":")[1] // http:POD:PORT
		}
	}
	if k.resource == "namespaces" {
		namespace = ""
	}
	scope := rights.Systems
	if namespace == manifest.HelperNamespace {
		scope = rights.Helpers
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, verb := range s.verbs(r, k) {
		right := fmt.Sprintf("%s %s of group %q in %s", verb, resource, k.group, scope)
		if !rights.Listed(scope, verb, k.group, resource) && !slices.Contains(s.unlisted, right) {
			s.unlisted = append(s.unlisted, right)
		}
		if s.allowed != nil && !s.allowed(namespace, verb, k.group, resource, name) {
			where := "at the cluster scope"
			if namespace != "" {
				where = fmt.Sprintf("in the namespace %q", namespace)
			}
			return fmt.Sprintf("%s is forbidden: User \"tester\" cannot %s resource %q in API group %q %s", k.resource, verb, resource, k.group, where)
		}
	}
	return ""
}

// verbs are those of a request, as the API server authorizes them. A configuration
// that is applied to an object that is not there needs two. It needs mu.
func (s *Server) verbs(r *http.Request, k key) []string {
	switch r.Method {
	case http.MethodPost:
		return []string{"create"}
	case http.MethodPut:
		return []string{"update"}
	case http.MethodPatch:
		if r.Header.Get("Content-Type") == string(types.ApplyPatchType) && s.objects[k] == nil {
			return []string{"patch", "create"}
		}
		return []string{"patch"}
	case http.MethodDelete:
		if k.name == "" {
			return []string{"deletecollection"}
		}
		return []string{"delete"}
	}
	switch {
	case r.URL.Query().Get("watch") != "":
		return []string{"watch"}
	case k.name == "":
		return []string{"list"}
	}
	return []string{"get"}
}
