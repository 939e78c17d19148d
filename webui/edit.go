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
	file, err := edit.Open(s.name(), []byte(body.Text))
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
	return struct {
		Text string `json:"text"`
	}{string(next.Text())}, nil
}

// getSchema answers with the JSON Schema of experiments, which has the texts of all
// fields.
func (s *Server) getSchema(*http.Request) (any, error) {
	text, err := spec.Schema(document.KindExperiment)
	return json.RawMessage(text), err
}
