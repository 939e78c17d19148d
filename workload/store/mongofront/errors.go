package mongofront

import (
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/microsim-dev/kubectl-microsim/model/store"
)

// A failure is an error in the words of mongod
// (https://github.com/mongodb/mongo/blob/r7.0.0/src/mongo/base/error_codes.yml).
type failure struct {
	code int32
	name string
	text string
	// duplicate is the _id of a document that is there already.
	duplicate string
}

// Error implements error.
func (f *failure) Error() string { return f.name + ": " + f.text }

func (f *failure) answer() bson.D {
	return bson.D{{Key: "ok", Value: 0.0}, {Key: "errmsg", Value: f.text}, {Key: "code", Value: f.code}, {Key: "codeName", Value: f.name}}
}

// inList is what stands for a failure among those of a list of writes.
func (f *failure) inList(index int) bson.D {
	d := bson.D{{Key: "index", Value: int32(index)}, {Key: "code", Value: f.code}} //nolint:gosec // it is bound by mostWrites
	if f.duplicate != "" {
		d = append(d, bson.E{Key: "keyPattern", Value: bson.D{{Key: "_id", Value: int32(1)}}}, bson.E{Key: "keyValue", Value: bson.D{{Key: "_id", Value: f.duplicate}}})
	}
	return append(d, bson.E{Key: "errmsg", Value: f.text})
}

// ofCommand reports whether a failure ends the command, and not one write of it.
func (f *failure) ofCommand() bool {
	return f.code == unauthorized || f.code == notPrimary || f.code == expired
}

// Codes of errors.
const (
	failedToParse = 9
	unauthorized  = 13
	lockTimeout   = 24
	expired       = 50
	noCommand     = 59
	typeMismatch  = 14
	notSupported  = 238
	notPrimary    = 10107
	duplicateKey  = 11000
	tooLarge      = 10334
	noDisk        = 14031
	internal      = 1
)

// failureOf is what mongod says for a code of the model, to a command.
func failureOf(code store.Code, name string) *failure {
	switch code {
	case store.NoAuth:
		return &failure{code: unauthorized, name: "Unauthorized", text: "command " + name + " requires authentication"}
	case store.ReadOnly:
		return &failure{code: notPrimary, name: "NotWritablePrimary", text: "not primary"}
	case store.LockTimeout:
		return &failure{code: lockTimeout, name: "LockTimeout", text: "Unable to acquire the lock of the document in time"}
	case store.NoSpace, store.Full:
		return &failure{code: noDisk, name: "OutOfDiskSpace", text: "No space left on device"}
	default:
		return &failure{code: internal, name: "InternalError", text: code.Error()}
	}
}

func duplicate(namespace, id string) *failure {
	return &failure{
		code: duplicateKey, name: "DuplicateKey", duplicate: id,
		text: fmt.Sprintf("E11000 duplicate key error collection: %s index: _id_ dup key: { _id: %q }", namespace, id),
	}
}

// notKnown refuses what the embedded store does not do, and says what it does.
func notKnown(what string) *failure {
	return &failure{
		code: notSupported, name: "NotImplemented",
		text: what + ": the embedded store reads and writes documents {_id: text, value: text} of the collection " + Collection + " by _id; for anything else use engine: real",
	}
}

func wrongType(field, want string) *failure {
	return &failure{code: typeMismatch, name: "TypeMismatch", text: fmt.Sprintf("the field %q has a wrong type, expected %s", field, want)}
}
