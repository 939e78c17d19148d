package apply

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/microsim-dev/kubectl-microsim/cluster/apitest"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
)

// config is a ConfigMap of the system shop, as its file wants it.
func config(name, value string) Object {
	return object("v1", "ConfigMap", name, map[string]any{"data": map[string]any{"seed": value}})
}

func object(version, kind, name string, rest map[string]any) Object {
	labels := map[string]any{}
	for k, v := range manifest.CommonLabels("shop") {
		labels[k] = v
	}
	meta := map[string]any{"name": name, "labels": labels}
	if kind != "Namespace" {
		meta["namespace"] = "shop"
	}
	o := map[string]any{"apiVersion": version, "kind": kind, "metadata": meta}
	for k, v := range rest {
		o[k] = v
	}
	return &unstructured.Unstructured{Object: o}
}

// changeByOthers changes a ConfigMap as kubectl edit does.
func changeByOthers(t *testing.T, c *kubeapi.Client, name string, change func(*corev1.ConfigMap)) {
	t.Helper()
	configs := apitest.Outside(t, c).CoreV1().ConfigMaps("shop")
	o, err := configs.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	change(o)
	// The manager that changes a field takes it over.
	body := object("v1", "ConfigMap", name, map[string]any{"data": o.Data})
	body.SetLabels(nil)
	text, err := body.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	err = apitest.Outside(t, c).CoreV1().RESTClient().Patch("application/apply-patch+yaml").Namespace("shop").Resource("configmaps").Name(name).
		Param("fieldManager", "kubectl-edit").Param("force", "true").Body(text).Do(t.Context()).Error()
	if err != nil {
		t.Fatal(err)
	}
}

func dataOf(t *testing.T, c *kubeapi.Client, name string) map[string]string {
	t.Helper()
	o, err := apitest.Outside(t, c).CoreV1().ConfigMaps("shop").Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return o.Data
}

func TestApplyLeavesFieldsOfOthersAlone(t *testing.T) {
	c := apitest.New(t).Client(t, kubeapi.Config{})
	if err := Apply(t.Context(), c, []Object{config("shop", "1")}); err != nil {
		t.Fatal(err)
	}
	changeByOthers(t, c, "shop", func(o *corev1.ConfigMap) { o.Data = map[string]string{"note": "of others"} })
	if err := Apply(t.Context(), c, []Object{config("shop", "2")}); err != nil {
		t.Fatalf("a field that the file does not name is in the way: %v", err)
	}
	if got := dataOf(t, c, "shop"); got["seed"] != "2" || got["note"] != "of others" {
		t.Errorf("the data is %v, want our new value beside the field of others", got)
	}
}

func TestApplyDoesNotOverwriteWhatOthersChanged(t *testing.T) {
	server := apitest.New(t)
	c := server.Client(t, kubeapi.Config{})
	if err := Apply(t.Context(), c, []Object{config("shop", "1")}); err != nil {
		t.Fatal(err)
	}
	changeByOthers(t, c, "shop", func(o *corev1.ConfigMap) { o.Data = map[string]string{"seed": "of others"} })
	err := Apply(t.Context(), c, []Object{config("shop", "2")})
	if err == nil || !strings.Contains(err.Error(), "configmap/shop was changed by somebody else") ||
		!strings.Contains(err.Error(), "changed by somebody else: .data.seed (by kubectl-edit): ") || !strings.Contains(err.Error(), "--force-conflicts") {
		t.Errorf("got %v, want the object, who changed it, and the flag", err)
	}
	if got := dataOf(t, c, "shop")["seed"]; got != "of others" {
		t.Errorf("the field is %q after a conflict, want it as it was", got)
	}
	c = server.Client(t, kubeapi.Config{ForceConflicts: true})
	if err := Apply(t.Context(), c, []Object{config("shop", "2")}); err != nil {
		t.Fatal(err)
	}
	if got := dataOf(t, c, "shop")["seed"]; got != "2" {
		t.Errorf("the field is %q after --force-conflicts, want ours", got)
	}
}

func TestApplyGoesByStages(t *testing.T) {
	server := apitest.New(t)
	c := server.Client(t, kubeapi.Config{})
	objects := []Object{deployment("cart"), config("b", "1"), object("v1", "Namespace", "shop", nil), config("a", "1")}
	if err := Apply(t.Context(), c, objects); err != nil {
		t.Fatal(err)
	}
	requests := server.Requests()
	if len(requests) != 4 || !strings.HasPrefix(requests[0], "PATCH /api/v1/namespaces/shop?") || !strings.Contains(requests[3], "/deployments/cart?") {
		t.Errorf("applied in the order %q, want the namespace first and the Deployment last", requests)
	}
}

// TestRolesComeBeforeTheirBindings wants what users need who are no administrators: the
// API server lets them bind a Role only if it is there, and they have its rights.
func TestRolesComeBeforeTheirBindings(t *testing.T) {
	server := apitest.New(t)
	c := server.Client(t, kubeapi.Config{})
	var objects []Object
	for _, name := range []string{"a", "b", "c", "d"} {
		objects = append(objects, object("rbac.authorization.k8s.io/v1", "RoleBinding", name, nil), object("rbac.authorization.k8s.io/v1", "Role", name, nil), config(name, "1"))
	}
	if err := Apply(t.Context(), c, append(objects, deployment("cart"))); err != nil {
		t.Fatal(err)
	}
	requests := server.Requests()
	for i, r := range requests {
		if strings.Contains(r, "/rolebindings/") && slices.ContainsFunc(requests[i:], func(later string) bool { return strings.Contains(later, "/roles/") }) {
			t.Fatalf("applied in the order %q, want all Roles before the first RoleBinding", requests)
		}
	}
	if len(requests) != 13 || !strings.Contains(requests[12], "/deployments/cart?") {
		t.Errorf("applied in the order %q, want the Deployment last", requests)
	}
}

func TestApplyStopsAtAStageThatFails(t *testing.T) {
	server := apitest.New(t)
	server.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if !apitest.Is(r, http.MethodPatch, "configmaps") {
			return false
		}
		apitest.Fail(w, http.StatusForbidden, metav1.StatusReasonForbidden, `configmaps "shop" is forbidden`)
		return true
	}
	c := server.Client(t, kubeapi.Config{})
	if err := Apply(t.Context(), c, []Object{config("shop", "1"), deployment("cart")}); err == nil || !strings.Contains(err.Error(), "is forbidden") {
		t.Errorf("got %v", err)
	}
	if got := server.Names(); len(got) != 0 {
		t.Errorf("%q was applied, though what its pods need was refused", got)
	}
}

func TestPruneDeletesWhatTheFileNoLongerNames(t *testing.T) {
	server := apitest.New(t)
	c := server.Client(t, kubeapi.Config{})
	faults := config("shop-faults", "1")
	faults.SetLabels(map[string]string{
		manifest.ManagedByLabel: manifest.ManagedBy, manifest.SystemLabel: "shop", manifest.RoleLabel: manifest.FaultsRole,
	})
	foreign := config("of-others", "1")
	foreign.SetLabels(nil)
	neighbour := config("neighbour", "1")
	neighbour.SetLabels(manifest.CommonLabels("bank"))
	stays := []Object{config("shop", "1"), deployment("cart")}
	all := slices.Concat(stays, []Object{config("old", "1"), deployment("gone"), faults, foreign, neighbour})
	if err := Apply(t.Context(), c, all); err != nil {
		t.Fatal(err)
	}
	if err := Prune(t.Context(), c, "shop", "shop", stays); err != nil {
		t.Fatal(err)
	}
	want := "configmaps/neighbour configmaps/of-others configmaps/shop configmaps/shop-faults deployments/cart"
	if got := strings.Join(server.Names(), " "); got != want {
		t.Errorf("there are\n%s, want\n%s", got, want)
	}
	for _, name := range []string{"configmap/old", "deployment/gone"} {
		if !strings.Contains(server.Progress(), name+" deleted") {
			t.Errorf("the progress %q does not tell of %s", server.Progress(), name)
		}
	}
}

func deployment(name string) Object {
	return object("apps/v1", "Deployment", name, map[string]any{"spec": map[string]any{
		"selector": map[string]any{"matchLabels": map[string]any{"app": name}},
		"template": map[string]any{
			"metadata": map[string]any{"labels": map[string]any{"app": name}},
			"spec":     map[string]any{"containers": []any{map[string]any{"name": "agent", "image": "agent:1"}}},
		},
	}})
}

// deployed makes a system with a pod, in a namespace that was made for it or not.
func deployed(ctx context.Context, t *testing.T, c *kubeapi.Client, ours bool) {
	t.Helper()
	namespace := object("v1", "Namespace", "shop", nil)
	if !ours {
		namespace.SetLabels(nil)
	}
	if err := Apply(ctx, c, []Object{namespace, config(manifest.ObjectName("shop"), "1"), deployment("cart")}); err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "cart-1", Labels: manifest.ServiceLabels("shop", "cart")}}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: manifest.ObjectName("shop"), Labels: manifest.CommonLabels("shop")}}
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "cart", Labels: manifest.ServiceLabels("shop", "cart")}}
	set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "cart-1", Labels: manifest.ServiceLabels("shop", "cart")}}
	core := apitest.Outside(t, c).CoreV1()
	_, podErr := core.Pods("shop").Create(ctx, pod, metav1.CreateOptions{})
	_, secretErr := core.Secrets("shop").Create(ctx, secret, metav1.CreateOptions{})
	_, serviceErr := core.Services("shop").Create(ctx, service, metav1.CreateOptions{})
	_, setErr := apitest.Outside(t, c).AppsV1().ReplicaSets("shop").Create(ctx, set, metav1.CreateOptions{})
	for _, err := range []error{podErr, secretErr, serviceErr, setErr} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func createByOthers(t *testing.T, c *kubeapi.Client) {
	t.Helper()
	o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "of-others"}}
	if _, err := apitest.Outside(t, c).CoreV1().ConfigMaps("shop").Create(t.Context(), o, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestTakeDown(t *testing.T) {
	for name, tt := range map[string]struct {
		ours, others bool
		left         string
	}{
		"the namespace that was made for it goes":  {true, false, ""},
		"a namespace with objects of others stays": {true, true, "configmaps/of-others namespaces/shop"},
		"a namespace of others stays":              {false, false, "namespaces/shop"},
	} {
		t.Run(name, func(t *testing.T) {
			server := apitest.New(t)
			c := server.Client(t, kubeapi.Config{})
			deployed(t.Context(), t, c, tt.ours)
			if tt.others {
				createByOthers(t, c)
			}
			if err := TakeDown(t.Context(), c, "shop", "shop"); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(server.Names(), " "); got != tt.left {
				t.Errorf("left are %q, want %q", got, tt.left)
			}
			if told := strings.Contains(server.Progress(), "namespace/shop stays: it has objects of others, such as configmap/of-others"); told != tt.others {
				t.Errorf("the progress is %q", server.Progress())
			}
		})
	}
}

func TestTakeDownGoesOnWhenItsCallerIsInterrupted(t *testing.T) {
	server := apitest.New(t)
	c := server.Client(t, kubeapi.Config{})
	deployed(t.Context(), t, c, false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = TakeDown(ctx, c, "shop", "shop") // the wait is cut short
	if got := strings.Join(server.Names(), " "); got != "namespaces/shop" {
		t.Errorf("left are %q", got)
	}
}

// Pods on a node that is not ready stay until somebody removes them, or the node is back.
func TestTakeDownNamesLostNodes(t *testing.T) {
	server := apitest.New(t)
	server.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if !apitest.Is(r, http.MethodDelete, "pods") {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"kind": "Status", "apiVersion": "v1", "status": "Success"}`))
		return true
	}
	c := server.Client(t, kubeapi.Config{})
	deployed(t.Context(), t, c, false)
	core := apitest.Outside(t, c).CoreV1()
	for name, ready := range map[string]corev1.ConditionStatus{"fine": corev1.ConditionTrue, "lost": corev1.ConditionUnknown} {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready, Message: "Its kubelet is silent."}}}}
		if _, err := core.Nodes().Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		now := metav1.Now()
		for _, pod := range []string{"cart-1", "cart-2"} {
			p := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Name: pod + "-" + name, DeletionTimestamp: &now, Labels: map[string]string{manifest.ManagedByLabel: manifest.ManagedBy, manifest.SystemLabel: "shop"}},
				Spec:       corev1.PodSpec{NodeName: name},
			}
			if _, err := core.Pods("shop").Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := TakeDown(ctx, c, "shop", "shop")
	for _, want := range []string{
		`nobody confirms the end of pod cart-1-lost and 1 more on node "lost", which is not ready: Its kubelet is silent;`,
		"kubectl -n shop delete pods -l ", "microsim.dev/system=shop --force --grace-period=0",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("it ends with %v, without %q", err, want)
		}
	}
	if err != nil && strings.Contains(err.Error(), "fine") {
		t.Errorf("a node that is ready is named: %v", err)
	}
}

func TestTakeDownSaysWhatItMayNotDelete(t *testing.T) {
	server := apitest.New(t)
	server.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if !apitest.Is(r, http.MethodDelete, "services") {
			return false
		}
		apitest.Fail(w, http.StatusForbidden, metav1.StatusReasonForbidden, `services "cart" is forbidden`)
		return true
	}
	c := server.Client(t, kubeapi.Config{})
	deployed(t.Context(), t, c, false)
	if err := TakeDown(t.Context(), c, "shop", "shop"); err == nil || !strings.Contains(err.Error(), `services "cart" is forbidden`) {
		t.Errorf("got %v", err)
	}
	// One refusal does not keep the rest.
	if got := strings.Join(server.Names(), " "); got != "namespaces/shop services/cart" {
		t.Errorf("left are %q", got)
	}
	if got, err := FindNamespaces(t.Context(), c, "shop"); err != nil || !slices.Equal(got, []string{"shop"}) {
		t.Errorf("the leftover is found in %q, %v; want it in shop", got, err)
	}
}

func TestHasPodMonitorsKeepsWhatTheServerSays(t *testing.T) {
	for name, tt := range map[string]struct {
		code   int32
		reason metav1.StatusReason
		want   string
	}{
		"not installed": {http.StatusNotFound, metav1.StatusReasonNotFound, ""},
		"not allowed":   {http.StatusForbidden, metav1.StatusReasonForbidden, ""},
		"broken":        {http.StatusInternalServerError, metav1.StatusReasonInternalError, "the aggregator has no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			server := apitest.New(t)
			server.Intercept = func(w http.ResponseWriter, _ *http.Request) bool {
				apitest.Fail(w, tt.code, tt.reason, "the aggregator has no certificate")
				return true
			}
			there, err := HasPodMonitors(t.Context(), server.Client(t, kubeapi.Config{}))
			if there || tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, %v, want an error with %q", there, err, tt.want)
			}
		})
	}
}

// A cluster without the operator, and a user without its rights, get no object at all.
func TestMonitoringIsAppliedAsAWhole(t *testing.T) {
	objects := manifest.BuildMonitoring(&manifest.Monitoring{System: "shop", Namespace: "shop", Interval: "5s"})
	kinds := `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"monitoring.coreos.com/v1","resources":[{"name":"podmonitors"},{"name":"prometheusrules"}]}`
	for name, tt := range map[string]struct {
		kinds, forbidden, want string
		applied                int
	}{
		"all":            {kinds, "", "", 3},
		"no operator":    {"", "", "install kube-prometheus", 0},
		"an old one":     {strings.Replace(kinds, `,{"name":"prometheusrules"}`, "", 1), "", "does not know prometheusrules", 0},
		"no right":       {kinds, "prometheusrules", "may not be made", 0},
		"no other right": {kinds, "configmaps", "may not be made", 0},
	} {
		t.Run(name, func(t *testing.T) {
			server := apitest.New(t)
			var applied, deleted atomic.Int32
			server.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
				switch {
				case r.URL.Path == "/apis/monitoring.coreos.com/v1" && tt.kinds == "":
					apitest.Fail(w, http.StatusNotFound, metav1.StatusReasonNotFound, "no such group")
				case r.URL.Path == "/apis/monitoring.coreos.com/v1":
					_, _ = w.Write([]byte(tt.kinds))
				case r.Method == http.MethodPatch && tt.forbidden != "" && strings.Contains(r.URL.Path, "/"+tt.forbidden+"/"):
					apitest.Fail(w, http.StatusForbidden, metav1.StatusReasonForbidden, "it may not be made")
				case r.Method == http.MethodPatch:
					if r.URL.Query().Get("dryRun") == "" {
						applied.Add(1)
					}
					body, _ := io.ReadAll(r.Body) // a body that ends early has no JSON
					w.Header().Set("Content-Type", "application/json")
					_, _ = w.Write(body)
				case r.Method == http.MethodDelete && r.URL.Query().Get("labelSelector") == manifest.Selector("shop"):
					deleted.Add(1)
					apitest.Fail(w, http.StatusOK, "", "")
				default:
					return false
				}
				return true
			}
			c := server.Client(t, kubeapi.Config{})
			err := Monitoring(t.Context(), c, objects)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if int(applied.Load()) != tt.applied {
				t.Errorf("%d objects were applied, want %d", applied.Load(), tt.applied)
			}
			err = DeleteMonitors(t.Context(), c, "shop", metav1.ListOptions{LabelSelector: manifest.Selector("shop")})
			if deleted.Load() != 2 || err != nil {
				t.Errorf("%d of 2 kinds were deleted: %v", deleted.Load(), err)
			}
		})
	}
}
