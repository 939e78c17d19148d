package document

import "github.com/microsim-dev/kubectl-microsim/model/spec/decode"

// ObjectMeta is what of a Kubernetes object's metadata has a meaning here.
type ObjectMeta struct {
	Name                       string            `json:"name"`
	Namespace                  string            `json:"namespace"`
	Labels                     decode.Ignored    `json:"labels"`
	Annotations                map[string]string `json:"annotations"`
	UID                        decode.Ignored    `json:"uid"`
	ResourceVersion            decode.Ignored    `json:"resourceVersion"`
	Generation                 decode.Ignored    `json:"generation"`
	CreationTimestamp          decode.Ignored    `json:"creationTimestamp"`
	DeletionTimestamp          decode.Ignored    `json:"deletionTimestamp"`
	DeletionGracePeriodSeconds decode.Ignored    `json:"deletionGracePeriodSeconds"`
	Finalizers                 decode.Ignored    `json:"finalizers"`
	OwnerReferences            decode.Ignored    `json:"ownerReferences"`
	ManagedFields              decode.Ignored    `json:"managedFields"`
	GenerateName               decode.Ignored    `json:"generateName"`
	SelfLink                   decode.Ignored    `json:"selfLink"`
}
