package apply

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/apitest"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

func pullSecret(namespace, password string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "regcred", Namespace: namespace}, Type: corev1.SecretTypeDockerConfigJson,
		Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths":{"r.example":{"password":"` + password + `"}}}`)},
	}
}

// TestThePullSecretGoesWhereThePodsAre wants it copied to a namespace that is made for the
// system, used where it is, and asked for elsewhere.
func TestThePullSecretGoesWhereThePodsAre(t *testing.T) {
	other := pullSecret("team", "other")
	opaque := pullSecret("team", "opaque")
	opaque.Type = corev1.SecretTypeOpaque
	made := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: manifest.CommonLabels("shop")}}
	old, err := manifest.BuildPullSecret("shop", "shop", pullSecret("default", "old"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		namespace  string // of the command line
		secrets    []*corev1.Secret
		namespaces []*corev1.Namespace
		earlier    []Object // applied by an earlier command
		copied     string   // the password
		err        string
	}{
		"a new namespace":                   {secrets: []*corev1.Secret{pullSecret("default", "new")}, copied: "new"},
		"a namespace that was made for it":  {secrets: []*corev1.Secret{pullSecret("default", "new")}, earlier: []Object{old}, namespaces: []*corev1.Namespace{made}, copied: "new"},
		"nowhere":                           {err: "kubectl create secret docker-registry regcred -n default "},
		"a namespace that has it":           {namespace: "team", secrets: []*corev1.Secret{pullSecret("default", "new"), other}},
		"a namespace that has none":         {namespace: "team", secrets: []*corev1.Secret{pullSecret("default", "new")}, err: "kubectl create secret docker-registry regcred -n team "},
		"a namespace that has another type": {namespace: "team", secrets: []*corev1.Secret{opaque}, err: `its type is "Opaque"`},
	} {
		t.Run(name, func(t *testing.T) {
			client := apitest.New(t).Client(t, kubeapi.Config{Namespace: c.namespace, PullSecret: kubeapi.PullSecret{Name: "regcred", From: "default"}})
			core := apitest.Outside(t, client).CoreV1()
			for _, ns := range append(c.namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}}) {
				if _, err := core.Namespaces().Create(t.Context(), ns, metav1.CreateOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			for _, s := range c.secrets {
				if _, err := core.Secrets(s.Namespace).Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			if err := Apply(t.Context(), client, c.earlier); err != nil {
				t.Fatal(err)
			}
			place, err := PrepareTarget(t.Context(), client, &topology.System{Name: "shop"})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("the error is %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if place.PullSecret != "regcred" {
				t.Errorf("pods pull with %q", place.PullSecret)
			}
			objects := place.WithPullSecret(nil)
			if c.copied == "" {
				if len(objects) > 0 {
					t.Errorf("%v is copied", objects[0])
				}
				return
			}
			if err := Apply(t.Context(), client, objects); err != nil {
				t.Fatal(err)
			}
			got, err := core.Secrets("shop").Get(t.Context(), "regcred", metav1.GetOptions{})
			if err != nil || got.Type != corev1.SecretTypeDockerConfigJson || !strings.Contains(string(got.Data[corev1.DockerConfigJsonKey]), `"`+c.copied+`"`) || !belongs(got, "shop") {
				t.Errorf("the copy is %+v, %v", got, err)
			}
			// It goes with the system, and is none of the objects that its file names.
			if err := Prune(t.Context(), client, "shop", "shop", nil); err != nil {
				t.Fatal(err)
			}
			if _, err := core.Secrets("shop").Get(t.Context(), "regcred", metav1.GetOptions{}); err != nil {
				t.Errorf("after an update: %v", err)
			}
		})
	}
}

// TestAProgramInAPodTakesThePullSecretItWasGiven: its account may read no Secret but that of
// the system.
func TestAProgramInAPodTakesThePullSecretItWasGiven(t *testing.T) {
	client := apitest.New(t).Client(t, kubeapi.Config{Inside: true, Namespace: "team", PullSecret: kubeapi.PullSecret{Name: "regcred", From: "team"}})
	p := &Target{Namespace: "team", There: true}
	if err := findPullSecret(t.Context(), client, "shop", p); err != nil || p.PullSecret != "regcred" || p.pullCopy != nil {
		t.Errorf("%+v, %v", p, err)
	}
}
