package kubeapi

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A Right is what a user may do, or not: one verb on one resource. It is in all
// namespaces, or on what has none, where the namespace is empty.
type Right struct {
	user, Verb, Group, Resource, Namespace string
}

// denial is how the API server tells which right a user lacks. Its answer has
// the verb nowhere else.
var denial = regexp.MustCompile(`User "([^"]*)" cannot (\S+) resource "([^"]+)" in API group "([^"]*)"(?: in the namespace "([^"]*)"| at the cluster scope)`) //nolint:gochecknoglobals // a constant

// MissingRights are those that an error, or the errors in it, tell of.
func MissingRights(err error) []Right {
	var found []Right
	var look func(error)
	look = func(err error) {
		if status, ok := err.(apierrors.APIStatus); ok && status.Status().Reason == metav1.StatusReasonForbidden { //nolint:errorlint // each error of the tree is looked at
			if m := denial.FindStringSubmatch(status.Status().Message); m != nil {
				r := Right{user: m[1], Verb: m[2], Resource: m[3], Group: m[4], Namespace: m[5]}
				if !slices.Contains(found, r) {
					found = append(found, r)
				}
			}
		}
		switch e := err.(type) { //nolint:errorlint // the tree itself is walked
		case interface{ Unwrap() error }:
			if inner := e.Unwrap(); inner != nil {
				look(inner)
			}
		case interface{ Unwrap() []error }:
			for _, inner := range e.Unwrap() {
				look(inner)
			}
		}
	}
	look(err)
	return found
}

// Full is the resource as kubectl writes it: deployments.apps, pods/proxy.
func (r Right) Full() string {
	if r.Group == "" {
		return r.Resource
	}
	name, sub, found := strings.Cut(r.Resource, "/")
	if found {
		return name + "." + r.Group + "/" + sub
	}
	return name + "." + r.Group
}

// grants are the commands that give a user rights: a role for each resource, and
// a binding.
func grants(rights []Right) string {
	var lines []string
	done := map[Right]bool{}
	for _, r := range rights {
		key := r
		key.Verb = ""
		if done[key] {
			continue
		}
		done[key] = true
		var verbs []string
		for _, other := range rights {
			if other.user == r.user && other.Group == r.Group && other.Resource == r.Resource && other.Namespace == r.Namespace {
				verbs = append(verbs, other.Verb)
			}
		}
		name := "microsim-" + strings.NewReplacer("/", "-", ".", "-").Replace(r.Full()) + "-" + strings.Join(verbs, "-")
		kind, where := "role", " -n "+r.Namespace
		if r.Namespace == "" {
			kind, where = "clusterrole", ""
		}
		lines = append(lines,
			fmt.Sprintf("  kubectl create %s %s --verb=%s --resource=%s%s", kind, name, strings.Join(verbs, ","), r.Full(), where),
			fmt.Sprintf("  kubectl create %sbinding %s --%s=%s %s%s", kind, name, kind, name, subject(r.user), where))
	}
	return strings.Join(lines, "\n")
}

// subject is the flag of kubectl that names a user.
func subject(user string) string {
	if account, ok := strings.CutPrefix(user, "system:serviceaccount:"); ok {
		return "--serviceaccount=" + account
	}
	return fmt.Sprintf("--user=%q", user)
}

// Denied returns the error that an answer of the API server is, where it itself
// has refused what should have gone to a pod.
func Denied(answer []byte) error {
	var status metav1.Status
	if json.Unmarshal(answer, &status) != nil || status.Kind != "Status" || status.APIVersion != "v1" || status.Reason != metav1.StatusReasonForbidden {
		return nil //nolint:nilerr // an answer of another kind is not a denial
	}
	return &apierrors.StatusError{ErrStatus: status}
}
