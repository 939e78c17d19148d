// Package apply applies the objects of a system on the server's side, prunes those
// that its file no longer names, and takes the system down.
package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
)

type Object = *unstructured.Unstructured

// Apply sends the objects to the API server: the namespace first, then what pods
// refer to, and what has pods when all that is there. Roles come before their bindings,
// because whoever is no administrator may bind only a Role that is there.
func Apply(ctx context.Context, c *kubeapi.Client, objects []Object) error {
	for _, stage := range stages(objects) {
		err := kubeapi.Each(len(stage), func(i int) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			_, err := patch(ctx, c, stage[i], false)
			return err
		})
		if err != nil {
			return kubeapi.Summarize(err)
		}
	}
	return nil
}

// stages parts objects into groups that may be applied at the same time.
func stages(objects []Object) [][]Object {
	groups := make([][]Object, 4)
	for _, o := range objects {
		switch o.GetKind() {
		case "Namespace":
			groups[0] = append(groups[0], o)
		case "RoleBinding":
			groups[2] = append(groups[2], o)
		case "Deployment", "Job":
			groups[3] = append(groups[3], o)
		default:
			groups[1] = append(groups[1], o)
		}
	}
	return groups
}

// Check is apply as a dry run on the server.
func Check(ctx context.Context, c *kubeapi.Client, objects []Object, p *Target) ([]Object, error) {
	checked := slices.Clone(objects)
	err := kubeapi.Each(len(objects), func(i int) error {
		if objects[i].GetKind() != "Namespace" && !p.There {
			return nil
		}
		o, err := patch(ctx, c, objects[i], true)
		switch {
		case err == nil:
			checked[i] = o
		case leavesOut(c, objects[i], err):
			checked[i] = nil
			return nil
		}
		return err
	})
	if err != nil {
		return nil, kubeapi.Summarize(err)
	}
	return slices.DeleteFunc(checked, func(o Object) bool { return o == nil }), nil
}

// resourceOf returns the client and the name of the resource of a kind.
func resourceOf(c *kubeapi.Client, kind string) (rest.Interface, string) {
	switch kind {
	case manifest.PodMonitorKind:
		return c.Monitoring, manifest.PodMonitors
	case manifest.PrometheusRuleKind:
		return c.Monitoring, manifest.PrometheusRules
	case "Deployment":
		return c.Clientset.AppsV1().RESTClient(), "deployments"
	case "Job":
		return c.Clientset.BatchV1().RESTClient(), "jobs"
	case "Role", "RoleBinding":
		return c.Clientset.RbacV1().RESTClient(), strings.ToLower(kind) + "s"
	}
	return c.Clientset.CoreV1().RESTClient(), strings.ToLower(kind) + "s"
}

// patch applies one object on the server's side.
func patch(ctx context.Context, c *kubeapi.Client, o Object, dryRun bool) (Object, error) {
	name := strings.ToLower(o.GetKind()) + "/" + o.GetName()
	body, err := json.Marshal(o.Object)
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", name, err)
	}
	client, resource := resourceOf(c, o.GetKind())
	request := client.Patch(types.ApplyPatchType).
		NamespaceIfScoped(o.GetNamespace(), o.GetKind() != "Namespace").
		Resource(resource).Name(o.GetName()).
		Param("fieldManager", kubeapi.FieldManager).
		Param("force", fmt.Sprint(c.Config.ForceConflicts)).
		Body(body)
	if dryRun {
		request = request.Param("dryRun", metav1.DryRunAll)
	}
	result := request.Do(ctx)
	// Raw has no more of an error than its code: what the server says is in Error.
	err = result.Error()
	if apierrors.IsConflict(err) {
		return nil, fmt.Errorf("%s was changed by somebody else%s: %w; take over what they changed with --force-conflicts", name, conflictsOf(err), err)
	}
	if err != nil {
		// The text of the API server names the object.
		return nil, err
	}
	if !dryRun {
		return nil, nil
	}
	raw, err := result.Raw()
	if err != nil {
		return nil, fmt.Errorf("reading the answer for %s: %w", name, err)
	}
	answer := &unstructured.Unstructured{}
	if err := answer.UnmarshalJSON(raw); err != nil {
		return nil, fmt.Errorf("reading the answer for %s: %w", name, err)
	}
	answer.SetManagedFields(nil)
	return answer, nil
}

// conflictsOf says which fields others have changed, and who: ": .spec.replicas (by
// kubectl-edit)". It is empty if the API server does not tell.
func conflictsOf(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return ""
	}
	var fields []string
	for _, cause := range status.Status().Details.Causes {
		if cause.Type != metav1.CauseTypeFieldManagerConflict || cause.Field == "" {
			continue
		}
		text := cause.Field
		if m := conflictManager.FindStringSubmatch(cause.Message); m != nil {
			text += " (by " + m[1] + ")"
		}
		fields = append(fields, text)
	}
	if len(fields) == 0 {
		return ""
	}
	return ": " + strings.Join(fields, ", ")
}

// conflictManager is who has changed a field, in the API server's words for a conflict.
var conflictManager = regexp.MustCompile(`^conflict with "([^"]+)"`) //nolint:gochecknoglobals // a constant

// Prune deletes the objects of a system that its file no longer names.
func Prune(ctx context.Context, c *kubeapi.Client, system, namespace string, wanted []Object) error {
	keep := map[string]bool{}
	for _, o := range wanted {
		keep[strings.ToLower(o.GetKind())+"/"+o.GetName()] = true
	}
	var stale []string
	err := eachObject(ctx, c, namespace, metav1.ListOptions{LabelSelector: manifest.Selector(system)}, func(kind string, o metav1.Object) {
		if id := kind + "/" + o.GetName(); !keep[id] && o.GetLabels()[manifest.RoleLabel] == "" {
			stale = append(stale, id)
		}
	})
	if err != nil {
		return err
	}
	return kubeapi.Each(len(stale), func(i int) error {
		kind, name, _ := strings.Cut(stale[i], "/")
		client, resource := resourceOf(c, strings.ToUpper(kind[:1])+kind[1:])
		err := client.Delete().Namespace(namespace).Resource(resource).Name(name).
			Body(&metav1.DeleteOptions{PropagationPolicy: kubeapi.Background()}).Do(ctx).Error()
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err == nil {
			c.Config.Progress(stale[i] + " deleted: the file does not name it")
		}
		return err
	})
}
