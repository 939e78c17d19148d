package kube

import (
	"strings"
	"testing"
)

// TestAProgramInAPodTakesTheRuntimesItWasGiven wants others refused, with what to do.
func TestAProgramInAPodTakesTheRuntimesItWasGiven(t *testing.T) {
	find := givenRuntimes("express=r/express:1", noRuntimes)
	if got, err := find(t.Context(), "express"); err != nil || got != "r/express:1" {
		t.Errorf("the image is %q, %v", got, err)
	}
	if got, err := find(t.Context(), "flask"); err == nil || !strings.Contains(err.Error(), "name it by image") {
		t.Errorf("the image of another is %q, %v", got, err)
	}
}
