package kubeapi

import (
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// atOnce bounds the requests to the API server, and those through it, that are
// under way at the same time.
const atOnce = 16

// Each calls do for 0 to n-1, several at a time, and joins the errors.
func Each(n int, do func(int) error) error {
	errs := make([]error, n)
	var wait sync.WaitGroup
	next := make(chan int)
	for range min(n, atOnce) {
		wait.Go(func() {
			for i := range next {
				errs[i] = do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wait.Wait()
	return errors.Join(errs...)
}

// Summarize keeps a few errors of many that are alike.
func Summarize(err error) error {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return err
	}
	errs := joined.Unwrap()
	const most = 5
	if len(errs) == 1 {
		return errs[0]
	}
	if len(errs) <= most {
		return err
	}
	return fmt.Errorf("%w\nand %d more like these", errors.Join(errs[:most]...), len(errs)-most)
}

func Background() *metav1.DeletionPropagation {
	policy := metav1.DeletePropagationBackground
	return &policy
}
func NewToken() string { return rand.Text() }

func IgnoreForbidden(err error) error {
	if apierrors.IsForbidden(err) {
		return nil
	}
	return err
}
