package kube

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// TestImagesArePushedOnce in the runs of one command, and again after a failure.
func TestImagesArePushedOnce(t *testing.T) {
	k := flagsOf(t, kubeconfig)
	pushed, failing := 0, errors.New("the registry is away")
	put := func() (string, error) {
		pushed++
		return "r@sha256:1", failing
	}
	if _, err := k.push(t.Context(), "r:1", put); !errors.Is(err, failing) {
		t.Errorf("the first time: %v", err)
	}
	failing = nil
	for range 3 {
		if got, err := k.push(t.Context(), "r:1", put); err != nil || got != "r@sha256:1" {
			t.Errorf("%q, %v", got, err)
		}
	}
	if pushed != 2 {
		t.Errorf("pushed %d times", pushed)
	}
	if _, err := k.push(t.Context(), "r:1-store", put); err != nil || pushed != 3 {
		t.Errorf("another reference: %v, pushed %d times", err, pushed)
	}
}

// TestAPushEndsWithAnInterrupt although a program for credentials does not answer.
func TestAPushEndsWithAnInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	hanging := make(chan struct{})
	defer close(hanging)
	interrupted := errors.New("interrupted")
	_, err := flagsOf(t, kubeconfig).push(ctx, "r:1", func() (string, error) {
		cancel(interrupted)
		<-hanging
		return "", nil
	})
	if !errors.Is(err, interrupted) {
		t.Errorf("got %v", err)
	}
}

func TestImagesAndSecretsAreChecked(t *testing.T) {
	for want, args := range map[string][]string{
		`--push: reading the image reference "R/a:1"`:                {"--push", "R/a:1"},
		"--push: reading the image reference \"r.example/a@sha256:":  {"--push", "r.example/a@sha256:" + strings.Repeat("a", 64)},
		`--image: reading the image reference "https://r.example/a"`: {"--image", "https://r.example/a"},
		`--image-pull-secret "a b"`:                                  {"--image-pull-secret", "a b"},
	} {
		if err := flagsOf(t, kubeconfig, args...).ValidateImages(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
	if err := flagsOf(t, kubeconfig, "--image", "r.example/a@sha256:"+strings.Repeat("a", 64), "--image-pull-secret", "regcred").ValidateImages(); err != nil {
		t.Error(err)
	}
}
