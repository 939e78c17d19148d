package mongofront

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A place is where a look at all documents goes on. Its number is the cursor that a client
// gets, so the store keeps nothing for clients that look no further, and a client may go
// on over another connection.
type place struct {
	from int
	// left is how many documents the client wants still; 0 means all.
	left int64
	// shows is what it wants of each.
	shows projection
}

const (
	placeBits = 32
	// showsAt is where the two bits of a projection stand; a store has fewer documents.
	showsAt = 30
	// mostLeft bounds what a cursor counts; a store has fewer documents.
	mostLeft = 1<<31 - 1
	// usualBatch is how many documents an answer has if the client does not say.
	usualBatch = 101
)

func (p place) cursor() int64 {
	return p.left<<placeBits | int64(p.shows)<<showsAt | int64(p.from+1)
}

func placeOf(cursor int64) (p place, ok bool) {
	p = place{from: int(cursor&(1<<showsAt-1)) - 1, left: cursor >> placeBits, shows: projection(cursor >> showsAt & 3)}
	return p, cursor > 0 && p.from >= 0
}

// walk reads the documents at a place, as many as fit into a batch, and returns the cursor
// of what follows; 0 is the end.
func (c *client) walk(ctx context.Context, at place, batch int64) (found bson.A, cursor int64, err error) {
	switch {
	case batch == 0:
		return bson.A{}, at.cursor(), nil
	case batch < 0:
		batch = usualBatch
	}
	if batch = min(batch, mostLooked); at.left > 0 {
		batch = min(batch, at.left)
	}
	names, next := c.engine.Names(at.from, int(batch))
	docs, err := c.read(ctx, choice{names: names, many: true})
	found = at.shows.present(docs)
	if err != nil || next == 0 || at.left > 0 && at.left == int64(len(names)) {
		return found, 0, err
	}
	if at.left > 0 {
		at.left -= int64(len(names))
	}
	at.from = next
	return found, at.cursor(), nil
}

// cursorOf is an answer of documents with their cursor.
func cursorOf(batch string, found bson.A, cursor int64, namespace string) bson.D {
	return append(bson.D{{Key: "cursor", Value: bson.D{{Key: batch, Value: found}, {Key: "id", Value: cursor}, {Key: "ns", Value: namespace}}}}, done()...)
}

// getMore goes on with a find of all documents.
func (c *client) getMore(asked *command) (bson.D, error) {
	id, isNumber := asked.body.Lookup("getMore").AsInt64OK()
	at, ok := placeOf(id)
	if !isNumber || !ok {
		return nil, &failure{code: 43, name: "CursorNotFound", text: fmt.Sprintf("cursor id %d not found", id)}
	}
	if collection, _ := asked.body.Lookup("collection").StringValueOK(); collection != Collection {
		return nil, notKnown("collection " + collection[:min(len(collection), mostWord)])
	}
	batch := int64(-1)
	err := asked.fields(func(name string, v bson.RawValue) (known bool, err error) {
		if name == "batchSize" {
			if batch, known = number(v); !known || batch < 0 {
				return true, wrongType(name, "number")
			}
		}
		return known || name == "collection", nil
	})
	if err != nil {
		return nil, err
	}
	if batch == 0 {
		batch = -1 // as mongod takes it here
	}
	ctx, cancel := asked.patience(c.ctx)
	defer cancel()
	found, cursor, err := c.walk(ctx, at, batch)
	if err != nil {
		return nil, err
	}
	db, _ := asked.body.Lookup("$db").StringValueOK()
	return cursorOf("nextBatch", found, cursor, db+"."+Collection), nil
}

// killCursors forgets cursors, of which nothing is kept.
func (c *client) killCursors(asked *command) (bson.D, error) {
	array, ok := asked.body.Lookup("cursors").ArrayOK()
	if !ok {
		return nil, wrongType("cursors", "array")
	}
	none := bson.A{}
	return append(bson.D{{Key: "cursorsKilled", Value: array}, {Key: "cursorsNotFound", Value: none}, {Key: "cursorsAlive", Value: none}, {Key: "cursorsUnknown", Value: none}}, done()...), nil
}

// listDatabases lists the database that the driver of callers uses; the documents are in
// any other as well. Nothing is on disk.
func (c *client) listDatabases() bson.D {
	list := bson.A{}
	if n := c.engine.Len(); n > 0 {
		list = append(list, bson.D{{Key: "name", Value: "microsim"}, {Key: "sizeOnDisk", Value: int64(0)}, {Key: "empty", Value: false}})
	}
	return append(bson.D{{Key: "databases", Value: list}, {Key: "totalSize", Value: int64(0)}}, done()...)
}

// listIndexes lists the one index that there is.
func (c *client) listIndexes(asked *command) (bson.D, error) {
	namespace, err := asked.namespace()
	if err != nil {
		return nil, err
	}
	index := bson.D{{Key: "v", Value: int32(2)}, {Key: "key", Value: bson.D{{Key: "_id", Value: int32(1)}}}, {Key: "name", Value: "_id_"}}
	return cursorOf("firstBatch", bson.A{index}, 0, namespace), nil
}
