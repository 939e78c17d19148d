package kubeapi

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
)

// An explainedError has the next step in its text already.
type explainedError struct{ error }

func (e *explainedError) Unwrap() error { return e.error }

// Explain adds the next step to errors of the API server and on the way to it.
func Explain(err error) error {
	var done *explainedError
	if err == nil || errors.As(err, &done) {
		return err
	}
	if step := NextStep(err); step != "" {
		return &explainedError{fmt.Errorf("%w; %s", err, step)}
	}
	return err
}

// WithNextStep is an error with the next step, to which Explain adds nothing.
func WithNextStep(err error, step string) error {
	return &explainedError{fmt.Errorf("%w; %s", err, step)}
}

// anonymous is the user of requests without credentials. A role for it would be one
// for everybody who reaches the API server.
const anonymous = "system:anonymous"

// builtIn reports whether a user is one that clusters are made with: an administrator, or
// a part of Kubernetes. If such a one is refused, what is missing is not a Role, and one
// for it would be left behind, or be one for others.
func builtIn(user string) bool {
	if strings.HasPrefix(user, "system:") {
		return !strings.HasPrefix(user, "system:serviceaccount:")
	}
	administrators := []string{"kubernetes-admin", "kubernetes-super-admin", "minikube-user", "docker-for-desktop", "cluster-admin"}
	return slices.Contains(administrators, user)
}

// rightsStep says how a user gets rights that are missing.
func rightsStep(missing []Right) string {
	if slices.ContainsFunc(missing, func(r Right) bool { return r.user == anonymous }) {
		return "the cluster does not know who you are: log in to it, or have the context name a user with credentials ('kubectl auth whoami' shows who you are)"
	}
	if slices.ContainsFunc(missing, func(r Right) bool { return builtIn(r.user) }) {
		return "this user has rights by its name or group, so no Role is missing: the API server may just have started, or uses another authorizer; try again ('kubectl auth whoami' shows who you are)"
	}
	step := "somebody who may grant it has to run\n" + grants(missing) + "\n'kubectl microsim doctor' lists everything that is missing"
	if !slices.ContainsFunc(missing, func(r Right) bool { return r.Namespace == manifest.HelperNamespace }) {
		step += "; -n names another namespace"
	}
	return step + ". If you have the right, the API server may just have started: try again"
}

// ViolatesPodSecurity reports whether the admission of Pod Security has refused a
// pod, given what the API server said. It says so in its text alone: the reason is
// that of every refusal, Forbidden.
func ViolatesPodSecurity(message string) bool {
	return strings.Contains(message, "violates PodSecurity")
}

// NextStep says what can be done about an error; "" where that is not known.
func NextStep(err error) string {
	var (
		status  apierrors.APIStatus
		network *net.OpError
		address *url.Error
	)
	if !errors.As(err, &status) {
		if step := beforeConnecting(err); step != "" {
			return step
		}
		// A request that was interrupted has an address, and no error of a network.
		if errors.As(err, &network) || errors.As(err, &address) && ofNetwork(address.Err) {
			return "is the cluster of this context reachable? --context names another, --on local needs none"
		}
		return ""
	}
	s := status.Status()
	switch {
	case s.Reason == metav1.StatusReasonUnauthorized:
		return "the credentials are missing or have expired: log in to the cluster again"
	case byPolicy(s.Message):
		return "a policy of the cluster refuses it, whoever asks: no Role changes that; show the message to the cluster's administrator, or use another namespace with -n"
	case s.Reason != metav1.StatusReasonForbidden:
		return ""
	}
	if missing := MissingRights(err); len(missing) > 0 {
		return rightsStep(missing)
	}
	return notAdmittedStep(s.Message)
}

// ofNetwork reports whether an error under a request comes from the way to its server.
func ofNetwork(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// beforeConnecting says what to do about an error of the program that the kubeconfig names
// for credentials, or of a certificate; "" if it is another one. The address of the API
// server is not what is wrong then.
func beforeConnecting(err error) string {
	var (
		unknown  x509.UnknownAuthorityError
		invalid  x509.CertificateInvalidError
		misnamed x509.HostnameError
	)
	switch {
	case strings.Contains(err.Error(), "getting credentials: "):
		return "the kubeconfig names this program for the credentials of its user: see whether 'kubectl auth whoami' works, or name another context with --context"
	case errors.As(err, &unknown):
		return "the kubeconfig has another certificate authority than the API server: get it anew, or name another context with --context"
	case errors.As(err, &invalid), errors.As(err, &misnamed):
		return "the certificate of the API server is not valid for this address: get the kubeconfig anew, or name another context with --context"
	}
	return ""
}

// byPolicy reports whether a webhook or a policy of the cluster's administrator has
// refused a request. Their answers may have any reason.
func byPolicy(message string) bool {
	return strings.Contains(message, "admission webhook ") || strings.Contains(message, "ValidatingAdmissionPolicy ")
}

// notAdmittedStep says what to do about a request that its user may make, but that the
// API server does not admit. It tells why in its text alone.
func notAdmittedStep(message string) string {
	switch {
	case strings.Contains(message, "is being terminated"):
		return "wait until the namespace is gone, or use another one with -n"
	case strings.Contains(message, "exceeded quota"):
		return "ask for a larger quota, or use another namespace with -n"
	case strings.Contains(message, "failed quota"):
		return "give every service resources with requests and limits in the System, or ask for a LimitRange with defaults"
	case ViolatesPodSecurity(message):
		return "use a namespace that admits such pods with -n"
	case BeyondLimits(message):
		return "a LimitRange of the namespace refuses it: give services resources within it in the System, or use another namespace with -n"
	}
	return "the API server does not admit it; 'kubectl microsim doctor' shows what you may do, and -n names another namespace"
}

// beyondLimits is how a LimitRange tells what a pod has too little or too much of.
var beyondLimits = regexp.MustCompile(`(minimum|maximum) \S+ usage per |limit to request ratio per `) //nolint:gochecknoglobals // a constant

// BeyondLimits reports whether a LimitRange has refused a pod, given what the API
// server said.
func BeyondLimits(message string) bool { return beyondLimits.MatchString(message) }
