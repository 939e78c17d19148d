package service

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
)

// An error is written so that people can read it, and programs can, too.
func TestErrorsAreWrittenAsTheyAre(t *testing.T) {
	const text = "calling cart: timeout: 10.0.0.2:58842->10.0.0.3:80 & \"more\""
	w := httptest.NewRecorder()
	writeError(w, http.StatusBadGateway, text)
	if got, want := w.Body.String(), `{"error":"calling cart: timeout: 10.0.0.2:58842->10.0.0.3:80 & \"more\""}`+"\n"; got != want {
		t.Errorf("written is %q, want %q", got, want)
	}
	var read struct{ Error string }
	if err := json.Unmarshal(w.Body.Bytes(), &read); err != nil || read.Error != text {
		t.Errorf("read is %q, %v", read.Error, err)
	}
}
