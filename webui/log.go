package webui

import (
	"errors"
	"net/http"
	"strconv"
)

// mostLines is how many lines of a log the page shows.
const mostLines = 200

// getLog answers with the last lines that a service has logged.
func (s *Server) getLog(r *http.Request) (any, error) {
	run := s.current()
	id, err := strconv.Atoi(r.URL.Query().Get("run"))
	service := r.URL.Query().Get("service")
	switch {
	case err != nil || service == "":
		return nil, badRequest("a log needs the number of a run, and the name of a service")
	case run == nil || run.id != id:
		return nil, &refusal{http.StatusGone, errors.New("that run is not shown any more")}
	}
	run.mu.Lock()
	log := run.log
	run.mu.Unlock()
	if log == nil {
		return nil, &refusal{http.StatusNotFound, errors.New("there are no logs of this run: services log on this machine and on clusters, as long as they run")}
	}
	lines, err := log(r.Context(), service, mostLines)
	if err != nil {
		return nil, conflict("%w", err)
	}
	return append([]string{}, lines...), nil
}
