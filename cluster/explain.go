package cluster

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// explain adds the next step to errors of the API server and on the way to it.
func explain(err error) error {
	if err == nil {
		return nil
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		s := status.Status()
		switch {
		case s.Reason == metav1.StatusReasonUnauthorized:
			return fmt.Errorf("%w; the credentials are missing or have expired: log in to the cluster again", err)
		case s.Reason == metav1.StatusReasonForbidden && strings.Contains(s.Message, "exceeded quota"):
			return fmt.Errorf("%w; ask for a larger quota, or use another namespace with -n", err)
		case s.Reason == metav1.StatusReasonForbidden:
			return fmt.Errorf("%w; ask for a Role with that verb on that resource, or use another namespace with -n", err)
		}
		return err
	}
	var (
		network *net.OpError
		address *url.Error
	)
	if errors.As(err, &network) || errors.As(err, &address) {
		return fmt.Errorf("%w; is the cluster of this context reachable? --context names another, --on local needs none", err)
	}
	return err
}
