package gateapi

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2/client"
)

// TestPublishedClient drives gates by toxiproxy's own client.
func TestPublishedClient(t *testing.T) {
	u := newAPI(t)
	server := httptest.NewServer(u.api)
	defer server.Close()
	client := toxiproxy.NewClient(server.URL)

	proxy, err := client.CreateProxy("echo", "localhost:0", u.upstream)
	if err != nil {
		t.Fatal(err)
	}
	conn := u.dial(proxy.Listen)
	u.echoes(conn, "x", "x")
	toxic, err := proxy.AddToxic("", "latency", "", 1, toxiproxy.Attributes{"latency": 50})
	if err != nil || toxic.Name != "latency_downstream" || toxic.Attributes["latency"] != 50.0 {
		t.Fatalf("added %+v and %v", toxic, err)
	}
	start := time.Now()
	u.echoes(conn, "x", "x")
	if took := time.Since(start); took < 50*time.Millisecond {
		t.Errorf("took %v, want 50ms", took)
	}
	if toxic, err = proxy.UpdateToxic("latency_downstream", -1, toxiproxy.Attributes{"jitter": 3}); err != nil || toxic.Attributes["latency"] != 50.0 || toxic.Attributes["jitter"] != 3.0 {
		t.Errorf("updated to %+v and %v", toxic, err)
	}
	if _, err := proxy.AddToxic("", "latency", "", 1, nil); err == nil || !strings.Contains(err.Error(), "HTTP 409: toxic already exists") {
		t.Errorf("adding again: %v", err)
	}
	if err := client.ResetState(); err != nil {
		t.Fatal(err)
	}
	if toxics, err := proxy.Toxics(); err != nil || len(toxics) != 0 {
		t.Errorf("after a reset: %v and %v", toxics, err)
	}
	if err := proxy.Disable(); err != nil {
		t.Fatal(err)
	}
	if err := proxy.Enable(); err != nil {
		t.Fatal(err)
	}
	made, err := client.Populate([]toxiproxy.Proxy{
		{Name: "echo", Listen: proxy.Listen, Upstream: u.upstream, Enabled: true},
		{Name: "second", Listen: "localhost:0", Upstream: u.upstream, Enabled: true},
	})
	if err != nil || len(made) != 2 {
		t.Fatalf("populated %v and %v", made, err)
	}
	u.echoes(u.dial(made[1].Listen), "x", "x")
	if err := proxy.Delete(); err != nil {
		t.Fatal(err)
	}
	all, err := client.Proxies()
	if err != nil || len(all) != 1 || all["second"] == nil {
		t.Errorf("left are %v and %v", all, err)
	}
}
