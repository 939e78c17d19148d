package apitest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
)

// kinds are those of the resources that the server knows.
var kinds = map[string]string{ //nolint:gochecknoglobals // a constant
	"configmaps": "ConfigMap", "deployments": "Deployment", "endpointslices": "EndpointSlice", "jobs": "Job", "namespaces": "Namespace", "nodes": "Node",
	"persistentvolumeclaims": "PersistentVolumeClaim", "pods": "Pod", "replicasets": "ReplicaSet", "rolebindings": "RoleBinding", "roles": "Role",
	"secrets": "Secret", "serviceaccounts": "ServiceAccount", "services": "Service",
}

func (k key) apiVersion() string {
	switch k.group {
	case "":
		return "v1"
	default:
		return k.group + "/v1"
	}
}

// set stores an object and tells watchers of it. It needs mu.
func (s *Server) set(kind string, k key, o map[string]any) {
	s.version++
	o["kind"], o["apiVersion"] = kinds[k.resource], k.apiVersion()
	// Watchers may still read the metadata of the version before.
	m := maps.Clone(meta(o))
	o["metadata"] = m
	m["name"], m["resourceVersion"] = k.name, fmt.Sprint(s.version)
	if k.namespace != "" {
		m["namespace"] = k.namespace
	}
	if m["uid"] == nil {
		m["uid"] = fmt.Sprintf("uid-%d", s.version)
	}
	if k.resource == "deployments" {
		m["generation"] = s.generation(k, o)
	}
	if kind == "DELETED" {
		delete(s.objects, k)
	} else {
		s.objects[k] = o
	}
	s.log = append(s.log, event{s.version, kind, k, o})
	close(s.changed)
	s.changed = make(chan struct{})
	if s.RunJobs && k.resource == "jobs" {
		s.runJob(kind, k, o)
	}
}

// generation counts the changes of what is wanted of an object. It needs mu.
func (s *Server) generation(k key, o map[string]any) int64 {
	old := unstructured.Unstructured{Object: s.objects[k]}
	switch {
	case old.Object == nil:
		return 1
	case reflect.DeepEqual(old.Object["spec"], o["spec"]):
		return old.GetGeneration()
	default:
		return old.GetGeneration() + 1
	}
}

// runJob makes the pod of a new Job, and deletes that of a deleted one, with what a
// Job owns here: the ConfigMap of its name. It needs mu.
func (s *Server) runJob(kind string, job key, o map[string]any) {
	pod := key{"", "pods", job.namespace, job.name + "-pod"}
	switch kind {
	case "ADDED":
		template, _, _ := unstructured.NestedMap(o, "spec", "template")
		template["status"] = map[string]any{
			"phase": "Running", "podIP": "10.0.0.9",
			"containerStatuses": []any{map[string]any{"name": "helper", "state": map[string]any{"running": map[string]any{}}}},
		}
		s.set("ADDED", pod, template)
	case "DELETED":
		for _, k := range []key{pod, {"", "configmaps", job.namespace, job.name}} {
			if s.objects[k] != nil {
				s.set("DELETED", k, maps.Clone(s.objects[k]))
			}
		}
	}
}

// meta returns the metadata of an object, which is made if it has none.
func meta(o map[string]any) map[string]any {
	m, ok := o["metadata"].(map[string]any)
	if !ok {
		m = map[string]any{}
		o["metadata"] = m
	}
	return m
}

func matches(r *http.Request, wanted, k key, o map[string]any) bool {
	if k.group != wanted.group || k.resource != wanted.resource || wanted.namespace != "" && k.namespace != wanted.namespace {
		return false
	}
	query := r.URL.Query()
	byLabel, err := labels.Parse(query.Get("labelSelector"))
	byField, fieldErr := fields.ParseSelector(query.Get("fieldSelector"))
	u := unstructured.Unstructured{Object: o}
	return err == nil && fieldErr == nil && byLabel.Matches(labels.Set(u.GetLabels())) && byField.Matches(fields.Set{"metadata.name": k.name, "metadata.namespace": k.namespace})
}

func (s *Server) create(w http.ResponseWriter, r *http.Request, k key) {
	o := read(r)
	m := meta(o)
	k.name, _ = m["name"].(string)
	if prefix, ok := m["generateName"].(string); ok && k.name == "" {
		k.name = fmt.Sprintf("%s%d", prefix, s.version)
	}
	if s.objects[k] != nil {
		fail(w, apierrors.NewAlreadyExists(k.gr(), k.name))
		return
	}
	if r.URL.Query().Get("dryRun") == "" {
		s.set("ADDED", k, o)
	}
	answer(w, o)
}

func (s *Server) update(w http.ResponseWriter, r *http.Request, k key) {
	o, old := read(r), s.objects[k]
	switch sent := meta(o)["resourceVersion"]; {
	case old == nil:
		notFound(w, k)
	case sent != nil && sent != "" && sent != meta(old)["resourceVersion"]:
		fail(w, apierrors.NewConflict(k.gr(), k.name, errors.New("the object has been modified")))
	default:
		meta(o)["uid"] = meta(old)["uid"]
		s.set("MODIFIED", k, o)
		answer(w, o)
	}
}

func (s *Server) patch(w http.ResponseWriter, r *http.Request, k key) {
	old, change := s.objects[k], read(r)
	switch {
	case r.Header.Get("Content-Type") == string(types.ApplyPatchType):
		o, err := apply(r, k, old, change)
		if err != nil {
			fail(w, err)
			return
		}
		if r.URL.Query().Get("dryRun") == "" {
			kind := "MODIFIED"
			if old == nil {
				kind = "ADDED"
			}
			s.set(kind, k, o)
		}
		answer(w, o)
	case old == nil:
		notFound(w, k)
	default:
		o := merge(old, change)
		s.set("MODIFIED", k, o)
		answer(w, o)
	}
}

// apply applies a configuration as the API server does, by the field managers that
// the object itself has.
func apply(r *http.Request, k key, old, change map[string]any) (map[string]any, error) {
	tracker := fake.NewClientset().Tracker()
	resource := schema.GroupVersionResource{Group: k.group, Version: "v1", Resource: k.resource}
	if old != nil {
		text, err := json.Marshal(old)
		if err != nil {
			return nil, err
		}
		o, _, err := scheme.Codecs.UniversalDeserializer().Decode(text, nil, nil)
		if err != nil {
			return nil, err
		}
		if err := tracker.Add(o); err != nil {
			return nil, err
		}
	}
	force := r.URL.Query().Get("force") == "true"
	options := metav1.PatchOptions{FieldManager: r.URL.Query().Get("fieldManager"), Force: &force}
	if err := tracker.Apply(resource, &unstructured.Unstructured{Object: change}, k.namespace, options); err != nil {
		return nil, err
	}
	o, err := tracker.Get(resource, k.namespace, k.name)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	applied := map[string]any{}
	return applied, json.Unmarshal(text, &applied)
}

// merge is a JSON merge patch (RFC 7396).
func merge(into, change map[string]any) map[string]any {
	merged := maps.Clone(into)
	if merged == nil {
		merged = map[string]any{}
	}
	for name, value := range change {
		inner, isObject := value.(map[string]any)
		switch {
		case value == nil:
			delete(merged, name)
		case isObject:
			old, _ := merged[name].(map[string]any)
			merged[name] = merge(old, inner)
		default:
			merged[name] = value
		}
	}
	return merged
}

func (s *Server) delete(w http.ResponseWriter, r *http.Request, k key) {
	var options metav1.DeleteOptions
	text, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(text, &options)
	if k.name == "" {
		for _, o := range s.matching(r, k) {
			u := unstructured.Unstructured{Object: o}
			s.set("DELETED", key{k.group, k.resource, u.GetNamespace(), u.GetName()}, maps.Clone(o))
		}
		answer(w, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Success"})
		return
	}
	old := s.objects[k]
	if old == nil {
		notFound(w, k)
		return
	}
	u := unstructured.Unstructured{Object: old}
	if p := options.Preconditions; p != nil && (p.UID != nil && *p.UID != u.GetUID() || p.ResourceVersion != nil && *p.ResourceVersion != u.GetResourceVersion()) {
		fail(w, apierrors.NewConflict(k.gr(), k.name, errors.New("the precondition failed")))
		return
	}
	s.set("DELETED", k, maps.Clone(old))
	if k.resource == "namespaces" {
		for _, inside := range slices.Collect(maps.Keys(s.objects)) {
			if inside.namespace == k.name {
				s.set("DELETED", inside, maps.Clone(s.objects[inside]))
			}
		}
	}
	answer(w, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Success"})
}

func (k key) gr() schema.GroupResource {
	return schema.GroupResource{Group: k.group, Resource: k.resource}
}

// read returns the object of a request's body, which is JSON or, as clients of Go send it,
// protobuf. It is empty if there is none.
func read(r *http.Request) map[string]any {
	o := map[string]any{}
	if r.Header.Get("Content-Type") != runtime.ContentTypeProtobuf {
		_ = json.NewDecoder(r.Body).Decode(&o)
		return o
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return o
	}
	typed, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
	if err != nil {
		return o
	}
	if fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(typed); err == nil {
		o = fields
	}
	return o
}

func answer(w http.ResponseWriter, o any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(o)
}

func notFound(w http.ResponseWriter, k key) { fail(w, apierrors.NewNotFound(k.gr(), k.name)) }

// fail answers with an error of the API server.
func fail(w http.ResponseWriter, err error) {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		Fail(w, http.StatusInternalServerError, metav1.StatusReasonInternalError, err.Error())
		return
	}
	s := status.Status()
	s.Kind, s.APIVersion = "Status", "v1"
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(s.Code))
	_ = json.NewEncoder(w).Encode(s)
}

// Fail answers with an error of the API server.
func Fail(w http.ResponseWriter, code int32, reason metav1.StatusReason, message string) {
	fail(w, &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message}})
}

// Is reports whether a request is of a method and to a resource, such as pods.
func Is(r *http.Request, method, resource string) bool {
	k, _ := parse(r.URL.Path)
	return r.Method == method && strings.EqualFold(k.resource, resource)
}
