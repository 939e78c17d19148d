package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
)

type object = *unstructured.Unstructured

// apply sends the objects to the API server: the namespace first, then what pods
// refer to, and what has pods when all that is there.
func apply(ctx context.Context, c *Client, objects []object) error {
	for _, stage := range stages(objects) {
		err := each(len(stage), func(i int) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			_, err := patch(ctx, c, stage[i], false)
			return err
		})
		if err != nil {
			return summarize(err)
		}
	}
	return nil
}

// stages parts objects into groups that may be applied at the same time.
func stages(objects []object) [][]object {
	groups := make([][]object, 3)
	for _, o := range objects {
		switch o.GetKind() {
		case "Namespace":
			groups[0] = append(groups[0], o)
		case "Deployment", "Job":
			groups[2] = append(groups[2], o)
		default:
			groups[1] = append(groups[1], o)
		}
	}
	return groups
}

// check is apply as a dry run on the server.
func check(ctx context.Context, c *Client, objects []object, p *place) ([]object, error) {
	checked := slices.Clone(objects)
	err := each(len(objects), func(i int) error {
		if objects[i].GetKind() != "Namespace" && !p.there {
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
		return nil, summarize(err)
	}
	return slices.DeleteFunc(checked, func(o object) bool { return o == nil }), nil
}

// resourceOf returns the client and the name of the resource of a kind.
func resourceOf(c *Client, kind string) (rest.Interface, string) {
	if kind == manifest.PodMonitorKind {
		return c.monitoring, manifest.PodMonitors
	}
	switch kind {
	case "Deployment":
		return c.client.AppsV1().RESTClient(), "deployments"
	case "Job":
		return c.client.BatchV1().RESTClient(), "jobs"
	case "Role", "RoleBinding":
		return c.client.RbacV1().RESTClient(), strings.ToLower(kind) + "s"
	}
	return c.client.CoreV1().RESTClient(), strings.ToLower(kind) + "s"
}

// patch applies one object on the server's side.
func patch(ctx context.Context, c *Client, o object, dryRun bool) (object, error) {
	name := strings.ToLower(o.GetKind()) + "/" + o.GetName()
	body, err := json.Marshal(o.Object)
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", name, err)
	}
	client, resource := resourceOf(c, o.GetKind())
	request := client.Patch(types.ApplyPatchType).
		NamespaceIfScoped(o.GetNamespace(), o.GetKind() != "Namespace").
		Resource(resource).Name(o.GetName()).
		Param("fieldManager", FieldManager).
		Param("force", fmt.Sprint(c.config.ForceConflicts)).
		Body(body)
	if dryRun {
		request = request.Param("dryRun", metav1.DryRunAll)
	}
	raw, err := request.Do(ctx).Raw()
	if apierrors.IsConflict(err) {
		return nil, fmt.Errorf("%s was changed by somebody else: %w; take over what they changed with --force-conflicts", name, err)
	}
	if err != nil {
		// The text of the API server names the object.
		return nil, err
	}
	if !dryRun {
		return nil, nil
	}
	answer := &unstructured.Unstructured{}
	if err := answer.UnmarshalJSON(raw); err != nil {
		return nil, fmt.Errorf("reading the answer for %s: %w", name, err)
	}
	answer.SetManagedFields(nil)
	return answer, nil
}

// prune deletes the objects of a system that its file no longer names.
func prune(ctx context.Context, c *Client, system, namespace string, wanted []object) error {
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
	return each(len(stale), func(i int) error {
		kind, name, _ := strings.Cut(stale[i], "/")
		client, resource := resourceOf(c, strings.ToUpper(kind[:1])+kind[1:])
		err := client.Delete().Namespace(namespace).Resource(resource).Name(name).
			Body(&metav1.DeleteOptions{PropagationPolicy: background()}).Do(ctx).Error()
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err == nil {
			c.config.Progress(stale[i] + " deleted: the file does not name it")
		}
		return err
	})
}
