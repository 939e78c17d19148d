package spec

// objectMeta is what of a Kubernetes object's metadata has a meaning here.
type objectMeta struct {
	Name                       string  `json:"name"`
	Namespace                  string  `json:"namespace"`
	Labels                     ignored `json:"labels"`
	Annotations                ignored `json:"annotations"`
	UID                        ignored `json:"uid"`
	ResourceVersion            ignored `json:"resourceVersion"`
	Generation                 ignored `json:"generation"`
	CreationTimestamp          ignored `json:"creationTimestamp"`
	DeletionTimestamp          ignored `json:"deletionTimestamp"`
	DeletionGracePeriodSeconds ignored `json:"deletionGracePeriodSeconds"`
	Finalizers                 ignored `json:"finalizers"`
	OwnerReferences            ignored `json:"ownerReferences"`
	ManagedFields              ignored `json:"managedFields"`
	GenerateName               ignored `json:"generateName"`
	SelfLink                   ignored `json:"selfLink"`
}
