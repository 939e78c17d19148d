package fault

import (
	"strings"
	"testing"
)

func TestParseTargetReadsWhatStringPrints(t *testing.T) {
	for text, want := range map[string]Target{
		"cart":              {Service: "cart"},
		"cart/2":            {Service: "cart", Replica: 2},
		"cart/items":        {Service: "cart", Endpoint: "/items"},
		"cart/2/items/all":  {Service: "cart", Replica: 2, Endpoint: "/items/all"},
		"web->cart":         {Service: "cart", From: "web"},
		"web->cart/1/items": {Service: "cart", From: "web", Replica: 1, Endpoint: "/items"},
	} {
		got, err := ParseTarget(text)
		if err != nil || got != want {
			t.Errorf("ParseTarget(%q) = %+v, %v; want %+v", text, got, err, want)
		}
		if got.String() != text {
			t.Errorf("%+v prints as %q, not %q", got, got.String(), text)
		}
	}
	if got, err := ParseTarget("web -> cart"); err != nil || got.String() != "web->cart" {
		t.Errorf("spaces around the arrow: %+v, %v", got, err)
	}
}

func TestParseTargetRefuses(t *testing.T) {
	for _, text := range []string{"", "->cart", "web->", "a->b->c", "/2", "cart items"} {
		if got, err := ParseTarget(text); err == nil || !strings.Contains(err.Error(), "invalid target") {
			t.Errorf("ParseTarget(%q) = %+v, %v", text, got, err)
		}
	}
}
