package main

import (
	"io"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/microsim-dev/kubectl-microsim/runtimes/go-gin/mock"
)

const maxBody = 64 << 20

// newApp makes the application of a mock service.
func newApp(service *mock.Service) *gin.Engine {
	app := gin.New()
	app.RedirectTrailingSlash = false
	app.Use(func(c *gin.Context) {
		if refusal := service.Refuse(c.Request); refusal != nil {
			write(c, refusal)
			c.Abort()
		}
	})

	health := func(c *gin.Context) { c.Data(http.StatusOK, "text/plain", []byte("ok\n")) }
	readable(app, "/healthz", health)
	readable(app, "/readyz", health)
	readable(app, "/metrics", gin.WrapH(service.Metrics()))

	control := answering(service.Control)
	app.Any("/admin", control)
	app.Any("/admin/*rest", control)
	if service.Find(http.MethodPost, "/set-delay") == nil {
		app.POST("/set-delay", control)
	}

	app.POST("/", answering(func(r *mock.Request) *mock.Answer {
		switch e := service.Find(r.Method, "/"); {
		case service.IsChain(r):
			return service.AnswerChain(r)
		default:
			return service.Answer(e, r)
		}
	}))
	// Routes of a service are literal; gin takes : and * for patterns.
	taken := map[string]bool{"POST /": true}
	for _, route := range service.Routes() {
		for _, method := range mock.Methods() {
			// If several endpoints answer a method on a path, the first one does.
			if name := method + " " + route.Path; route.Endpoint.Answers(method) && !taken[name] && !strings.ContainsAny(route.Path, ":*") {
				taken[name] = true
				app.Handle(method, route.Path, answering(func(r *mock.Request) *mock.Answer { return service.Answer(route.Endpoint, r) }))
			}
		}
	}
	app.NoRoute(answering(func(r *mock.Request) *mock.Answer {
		if e := service.Find(r.Method, r.URL.Path); e != nil {
			return service.Answer(e, r)
		}
		return service.AnswerNone(r)
	}))
	return app
}

// readable is a path that is only read.
func readable(app *gin.Engine, path string, handler gin.HandlerFunc) {
	app.GET(path, handler)
	app.HEAD(path, handler)
	refuse := func(c *gin.Context) {
		c.Header("Allow", "GET, HEAD")
		write(c, mock.ErrorAnswer(http.StatusMethodNotAllowed, path+" is read by GET"))
	}
	for _, method := range mock.Methods() {
		if method != http.MethodGet && method != http.MethodHead {
			app.Handle(method, path, refuse)
		}
	}
}

// answering makes a handler that reads the whole request before it answers.
func answering(answer func(*mock.Request) *mock.Answer) gin.HandlerFunc {
	return func(c *gin.Context) {
		body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, maxBody))
		if err != nil {
			write(c, mock.ErrorAnswer(http.StatusRequestEntityTooLarge, "reading the body: "+err.Error()))
			return
		}
		write(c, answer(&mock.Request{Request: c.Request, Body: body, Gone: c.Request.Context().Done()}))
	}
}

// write writes an answer, or closes the connection if there is none.
func write(c *gin.Context, answer *mock.Answer) {
	if answer == nil {
		panic(http.ErrAbortHandler)
	}
	for name, value := range answer.Header {
		c.Header(name, value)
	}
	c.Status(answer.Status)
	if len(answer.Body) == 0 {
		c.Writer.WriteHeaderNow()
		return
	}
	_, _ = c.Writer.Write(answer.Body) // a client that has left hears nothing
}
