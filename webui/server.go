package webui

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/controlhttp"
	"github.com/microsim-dev/kubectl-microsim/internal/webguard"
	"github.com/microsim-dev/kubectl-microsim/model/spec/edit"
)

// Config says what a page shows, and what it may do.
type Config struct {
	Worlds Worlds
	// Token is what requests need beside an address of this machine.
	Token string
	// Version is that of the program.
	Version string
	// View refuses everything that changes a file, starts a run or acts on a system.
	View bool
	// On is where the page offers to play first.
	On string
	// Examples are what the page offers to open.
	Examples []Example
}

// An Example is a file that comes with the program.
type Example struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Kind  string `json:"kind"`
	Text  string `json:"-"`
}

// A Server serves the page of one user. Its methods may be called at the same time.
type Server struct {
	config Config
	// life ends with the server; work are the goroutines of runs.
	life context.Context
	end  context.CancelFunc
	work sync.WaitGroup

	mu sync.Mutex
	// The fields below are guarded by mu.
	source *Source
	run    *run
	runs   int
	// left is what runs could not clean up.
	left error
	// home is what the program was started for; nil if the page asked.
	home *Home
	// edited is the text that the last edit has left; nil if there was none.
	edited *edit.File
	// past are runs that have ended, which can be compared.
	past []pastRun
	// changed is closed, and made anew, when there is something to tell.
	changed chan struct{}
}

// New returns a server that shows its doors.
func New(c Config) *Server {
	s := &Server{config: c, source: &Source{}, changed: make(chan struct{})}
	s.life, s.end = context.WithCancel(context.Background())
	return s
}

// A Home is what the program was started for, to which the page leads back.
type Home struct {
	Name string
	// Open shows it as it is now.
	Open func(ctx context.Context) error
}

// Start shows what the program was started for.
func (s *Server) Start(ctx context.Context, home Home) error {
	s.mu.Lock()
	s.home = &home
	s.mu.Unlock()
	return home.Open(ctx)
}

// Serve answers requests until ctx ends. Then it stops what it has started, and
// returns when nothing of that is left; an error names what is.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	hosts := webguard.LoopbackHosts(listener.Addr())
	if len(hosts) == 0 {
		return fmt.Errorf("serving the page at %s: it is not an address of this machine alone", listener.Addr())
	}
	server := &http.Server{
		Handler: s.guard(hosts, s.routes()), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return s.life },
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	var err error
	select {
	case err = <-ended:
		ended <- nil
	case <-ctx.Done():
	}
	err = errors.Join(err, s.Close())
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if server.Shutdown(closing) != nil {
		err = errors.Join(err, server.Close())
	}
	<-ended
	return err
}

// Close ends the run under way, and waits until it has cleaned up. An error names
// what is left.
func (s *Server) Close() error {
	s.end()
	s.work.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left
}

// tell wakes everybody who waits for news.
func (s *Server) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

// guard refuses requests of other pages, and says what our own may load.
func (s *Server) guard(hosts []string, next http.Handler) http.Handler {
	web := webguard.Guard{Hosts: hosts, Name: "this page's server", OwnPage: func(*http.Request) bool { return true }}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		checked := r
		if r.Method == http.MethodGet && r.URL.Path == "/" && r.Header.Get("Sec-Fetch-Dest") == "document" {
			// A link may lead to the page, which by itself knows and does nothing.
			checked = r.Clone(r.Context())
			checked.Header.Del("Sec-Fetch-Site")
		}
		if err := web.Check(checked); err != nil {
			writeError(w, &refusal{status: http.StatusForbidden, err: err})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /", assets())
	mux.Handle("GET /api/events", s.authorized(s.events))
	mux.Handle("GET /api/run/frames", s.authorized(s.frames))
	for pattern, handle := range map[string]func(*http.Request) (any, error){
		"GET /api/state":              s.getState,
		"GET /api/systems":            s.getSystems,
		"GET /api/vocabulary":         s.getVocabulary,
		"GET /api/request/vocabulary": s.getRequestVocabulary,
		"GET /api/schema":             s.getSchema,
		"GET /api/run":                s.getRun,
		"GET /api/run/requests":       s.getRequests,
		"GET /api/run/requests/{id}":  s.getRequest,
		"GET /api/run/log":            s.getLog,
		"GET /api/runs":               s.getRuns,
		"GET /api/compare":            s.getCompare,
		"POST /api/check":             s.postCheck,
		"POST /api/layout":            s.postLayout,
		"POST /api/open":              s.postOpen,
	} {
		mux.Handle(pattern, s.authorized(answer(handle)))
	}
	for pattern, handle := range map[string]func(*http.Request) (any, error){
		"POST /api/edit":          s.postEdit,
		"POST /api/save":          s.postSave,
		"POST /api/run":           s.postRun,
		"POST /api/run/system":    s.postSystem,
		"POST /api/run/load":      s.postLoad,
		"POST /api/stop":          s.postStop,
		"POST /api/request":       s.postRequest,
		"POST /api/faults":        s.postFault,
		"DELETE /api/faults/{id}": s.deleteFault,
	} {
		mux.Handle(pattern, s.authorized(answer(s.acts(handle))))
	}
	return mux
}

// acts refuses a request that changes something if the page is for viewing only.
func (s *Server) acts(handle func(*http.Request) (any, error)) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		if s.config.View {
			return nil, &refusal{status: http.StatusForbidden, err: errors.New("this page was opened with --view, which only looks; open it without --view to change, play or break something")}
		}
		return handle(r)
	}
}

// authorized lets requests through that have the token.
func (s *Server) authorized(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !controlhttp.Authorized(r, s.config.Token) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeError(w, &refusal{status: http.StatusUnauthorized, err: errors.New("this page has no token, or that of another start of the program; open the address that `kubectl microsim ui` has printed")})
			return
		}
		next(w, r)
	})
}

func answer(handle func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		value, err := handle(r)
		if err != nil {
			writeError(w, err)
			return
		}
		writeJSON(w, http.StatusOK, value)
	}
}

// A refusal is an error with its HTTP status.
type refusal struct {
	status int
	err    error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func badRequest(format string, args ...any) error {
	return &refusal{http.StatusBadRequest, fmt.Errorf(format, args...)}
}

func conflict(format string, args ...any) error {
	return &refusal{http.StatusConflict, fmt.Errorf(format, args...)}
}

// A failure is the body of every answer that is an error.
type failure struct {
	Error string `json:"error"`
	// Disk and Base are what a file holds that was changed meanwhile.
	Stale bool   `json:"stale,omitempty"`
	Disk  string `json:"disk,omitempty"`
	Base  string `json:"base,omitempty"`
}

func writeError(w http.ResponseWriter, err error) {
	status, body := http.StatusInternalServerError, failure{Error: err.Error()}
	var r *refusal
	var large *http.MaxBytesError
	var stale *staleError
	switch {
	case errors.As(err, &large):
		status, body.Error = http.StatusRequestEntityTooLarge, fmt.Sprintf("the text is larger than %d MiB, which is the most that is read", large.Limit>>20)
	case errors.As(err, &stale):
		status = http.StatusConflict
		body.Stale, body.Disk, body.Base = true, stale.Disk, stale.Base
	case errors.As(err, &r):
		status = r.status
	}
	writeJSON(w, status, body)
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // the page may have gone
}

// maxBody bounds a request: a file of the largest size, as a JSON text.
const maxBody = 40 << 20

func readJSON[T any](r *http.Request) (T, error) { return readJSONUpTo[T](r, maxBody) }

// readJSONUpTo bounds the body, in bytes.
func readJSONUpTo[T any](r *http.Request, most int64) (T, error) {
	var zero T
	return readJSONOver(r, most, zero)
}

// readJSONOver reads a body over the values that fields have which it leaves out.
func readJSONOver[T any](r *http.Request, most int64, value T) (T, error) {
	err := controlhttp.ReadJSON(nil, r, most, &value)
	var large *http.MaxBytesError
	if err != nil && !errors.As(err, &large) {
		err = &refusal{http.StatusBadRequest, err}
	}
	return value, err
}

// A state is what a page shows first.
type state struct {
	Version  string    `json:"version"`
	View     bool      `json:"view"`
	On       string    `json:"on"`
	Source   *Source   `json:"source"`
	Examples []Example `json:"examples"`
	// Home names what the program was started for; empty if the page asked.
	Home string   `json:"home,omitempty"`
	Run  *runView `json:"run,omitempty"`
}

func (s *Server) getState(*http.Request) (any, error) {
	s.mu.Lock()
	source, run, home := s.source, s.run, s.home
	s.mu.Unlock()
	st := state{Version: s.config.Version, View: s.config.View, On: s.config.On, Source: source, Examples: s.config.Examples}
	if run != nil {
		st.Run = run.view()
	}
	if home != nil {
		st.Home = home.Name
	}
	return st, nil
}

func (s *Server) getSystems(r *http.Request) (any, error) {
	on := cmp.Or(r.URL.Query().Get("on"), OnLocal)
	if on != OnLocal && on != OnKind && on != OnCluster {
		return nil, badRequest("no systems run on %q: write local, kind or cluster", on)
	}
	names, err := s.config.Worlds.Systems(r.Context(), on)
	if names == nil {
		names = []string{}
	}
	return names, err
}

func (s *Server) postCheck(r *http.Request) (any, error) {
	body, err := readJSON[struct {
		Text string `json:"text"`
	}](r)
	if err != nil {
		return nil, err
	}
	return check(s.name(), body.Text), nil
}

// name is what messages call the text.
func (s *Server) name() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.source.Name == "" {
		return "text"
	}
	return s.source.Name
}

func (s *Server) postLayout(r *http.Request) (any, error) {
	request, err := readJSON[layoutRequest](r)
	if err == nil {
		err = request.check()
	}
	if err != nil {
		return nil, err
	}
	return place(&request), nil
}

// Show makes a source the one that the page shows.
func (s *Server) Show(source *Source) {
	s.mu.Lock()
	s.source = source
	s.mu.Unlock()
	s.tell()
}

// postOpen opens what a door of the page leads to.
func (s *Server) postOpen(r *http.Request) (any, error) {
	body, err := readJSON[struct {
		Kind Kind   `json:"kind"`
		Name string `json:"name"`
		Text string `json:"text"`
		// On is where a system runs.
		On string `json:"on"`
	}](r)
	if err != nil {
		return nil, err
	}
	switch body.Kind {
	case KindExample:
		err = s.OpenExample(body.Name)
	case KindText:
		text := body.Text
		if strings.TrimSpace(text) == "" {
			text = emptyText
		}
		err = s.turn(&Source{Kind: KindText, Name: "text", Text: text})
	case "home":
		if s.mu.Lock(); s.home == nil {
			s.mu.Unlock()
			return nil, badRequest("the program was started without a file, a run or a system")
		}
		open := s.home.Open
		s.mu.Unlock()
		err = open(r.Context())
	case KindSystem:
		err = s.Follow(r.Context(), Place{body.Name, cmp.Or(body.On, OnLocal)})
	default:
		err = badRequest("the page cannot open a %q: choose an example, a text or a system; files are opened by `kubectl microsim ui -f FILE`", body.Kind)
	}
	if err != nil {
		return nil, err
	}
	return s.getState(r)
}

// OpenExample shows one of the examples.
func (s *Server) OpenExample(name string) error {
	for i := range s.config.Examples {
		if e := &s.config.Examples[i]; e.Name == name {
			return s.turn(&Source{Kind: KindExample, Name: "example " + name, Text: e.Text})
		}
	}
	return badRequest("there is no example %q; `kubectl microsim examples` lists them", name)
}

func (s *Server) postSave(r *http.Request) (any, error) {
	body, err := readJSON[struct {
		Text string `json:"text"`
		Base string `json:"base"`
	}](r)
	if err != nil {
		return nil, err
	}
	base, err := s.save(body.Text, body.Base)
	if err != nil {
		return nil, err
	}
	s.tell() // other pages show the same file
	return struct {
		Base string `json:"base"`
	}{base}, nil
}

func (s *Server) save(text, base string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.source.Savable {
		return "", badRequest("%s is no file of yours: download the text, and open it with `kubectl microsim ui -f FILE`", s.source.Name)
	}
	base, err := s.source.save(text, base)
	if err != nil {
		return "", err
	}
	// Pages that hold the old source keep it.
	next := *s.source
	next.Text, next.Base = text, base
	s.source = &next
	return base, nil
}
