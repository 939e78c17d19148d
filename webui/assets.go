package webui

import (
	"embed"
	"net/http"
	"path"
	"strings"
)

// dist is what webui/app is built to, by `make webui`.
//
//go:embed dist
var dist embed.FS

// assets serves the page.
func assets() http.Handler {
	types := map[string]string{".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		if name == "" {
			name = "index.html"
		}
		data, err := dist.ReadFile("dist/" + name)
		kind, known := types[path.Ext(name)]
		if err != nil || !known {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(data) //nolint:gosec // embedded files, and the browser may have gone
	})
}
