package webui

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/spec/edit"
)

// postEdit carries an operation out on the text of the page, and answers with the
// text afterwards, in which all that the operation does not touch is as it was. It
// writes no file: the page saves when it is told to.
func (s *Server) postEdit(r *http.Request) (any, error) {
	body, err := readJSON[struct {
		Text string          `json:"text"`
		Op   json.RawMessage `json:"op"`
	}](r)
	if err != nil {
		return nil, err
	}
	op, err := edit.Unmarshal(body.Op)
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, err}
	}
	file, err := s.opened(body.Text)
	var mistakes decode.Mistakes
	switch {
	case errors.As(err, &mistakes):
		return nil, &refusal{http.StatusUnprocessableEntity, errors.New("the file has mistakes; correct them first, then change it in the graph:\n" + mistakes[0].Error())}
	case err != nil:
		return nil, &refusal{http.StatusUnprocessableEntity, err}
	}
	next, _, err := file.Apply(op)
	if err != nil {
		return nil, &refusal{http.StatusUnprocessableEntity, err}
	}
	s.keep(next)
	return edited{string(next.Text()), checkedOf(next.Documents)}, nil
}

// An edited text comes with what it describes, so that the page need not ask.
type edited struct {
	Text    string  `json:"text"`
	Checked checked `json:"checked"`
}

// opened reads a text, unless it is the one that the last edit has left.
func (s *Server) opened(text string) (*edit.File, error) {
	name := s.name()
	s.mu.Lock()
	last := s.edited
	s.mu.Unlock()
	if last != nil && last.Name == name && string(last.Text()) == text {
		return last, nil
	}
	file, err := edit.Open(name, []byte(text))
	if err == nil {
		s.keep(file)
	}
	return file, err
}

func (s *Server) keep(file *edit.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.edited = file
}

// getSchema answers with the JSON Schema of experiments, which has the texts of all
// fields.
func (s *Server) getSchema(*http.Request) (any, error) {
	text, err := spec.Schema(document.KindExperiment)
	return json.RawMessage(text), err
}
