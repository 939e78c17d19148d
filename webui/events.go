package webui

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// eventsPause is the least time between two events: news that come closer together
// are told at once.
const eventsPause = 200 * time.Millisecond

// heartbeat is the longest time without an event, by which the page knows that the
// server lives.
const heartbeat = 5 * time.Second

// events tells of the run, and of the source when it changes, as server-sent events
// until the page or the program goes.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	var source *Source
	for {
		s.mu.Lock()
		changed, now, run := s.changed, s.source, s.run
		s.mu.Unlock()
		type event struct {
			// Reload says that the page was turned to something else.
			Reload bool `json:"reload,omitempty"`
			// Base names the content of the file that is shown.
			Base string   `json:"base,omitempty"`
			Run  *runView `json:"run,omitempty"`
		}
		e := event{Base: now.Base, Reload: source != nil && source != now && !savedFrom(source, now)}
		source = now
		if run != nil {
			e.Run = run.view()
		}
		text, err := json.Marshal(e)
		if err != nil {
			return
		}
		if _, err := fmt.Fprintf(w, "data: %s\n\n", text); err != nil || control.Flush() != nil {
			return
		}
		if !wait(r, changed) {
			return
		}
	}
}

// savedFrom reports whether a source is another only because it was saved.
func savedFrom(old, now *Source) bool {
	return old.Kind == now.Kind && old.path == now.path && old.Name == now.Name && old.Kind == KindFile
}

// wait returns false when the page has gone, or the program ends.
func wait(r *http.Request, changed chan struct{}) bool {
	pause := time.NewTimer(eventsPause)
	defer pause.Stop()
	select {
	case <-r.Context().Done():
		return false
	case <-pause.C:
	}
	beat := time.NewTimer(heartbeat)
	defer beat.Stop()
	select {
	case <-r.Context().Done():
		return false
	case <-changed:
	case <-beat.C:
	}
	return true
}

// frames answers with the frames of a run from one on, as binary numbers.
func (s *Server) frames(w http.ResponseWriter, r *http.Request) {
	run := s.current()
	id, err := strconv.Atoi(r.URL.Query().Get("run"))
	from, err2 := strconv.Atoi(r.URL.Query().Get("from"))
	switch {
	case err != nil || err2 != nil || from < 0:
		writeError(w, badRequest("frames need the number of a run, and that of the first frame"))
		return
	case run == nil || run.id != id:
		writeError(w, &refusal{http.StatusGone, errors.New("that run is not shown any more")})
		return
	}
	data, first, width := run.series.Encode(from)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Microsim-First", strconv.Itoa(first))
	w.Header().Set("Microsim-Width", strconv.Itoa(width))
	_, _ = w.Write(data) // the page may have gone
}

func textReader(text string) io.Reader { return strings.NewReader(text) }
