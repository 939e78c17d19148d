package driver_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	server "github.com/microsim-dev/kubectl-microsim/workload/store"
	"github.com/microsim-dev/kubectl-microsim/workload/store/driver"
)

// serveVariable lets the test program be a store of MongoDB, until its input ends.
const serveVariable = "MICROSIM_TEST_SERVES_MONGODB"

func TestMain(m *testing.M) {
	if os.Getenv(serveVariable) == "" {
		os.Exit(m.Run())
	}
	if err := serveAlone(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serveAlone() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s, err := server.New(server.Config{Service: *storeService(topology.MongoDB, topology.Store{Items: 1}), Seed: 1})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, os.Stdin) // until the test closes it, or ends
	}()
	fmt.Println(ln.Addr())
	return s.Serve(ctx, ln)
}

// otherProcess starts a store of MongoDB that holds nothing in a process of its own.
func otherProcess(t *testing.T) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), serveVariable+"=yes"), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimSpace(line)
	if err := mongoItems(t, address).Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	return address
}

func mongoItems(t *testing.T, address string) *mongo.Collection {
	t.Helper()
	c, err := mongo.Connect(options.Client().ApplyURI("mongodb://" + address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Disconnect(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c.Database("microsim").Collection("items")
}

// A store at an address is filled, answers through the relay, which counts, and is
// emptied. The server is the embedded engine in another process: Debian has no mongod,
// so nothing here is held against one.
func TestMongoAtAnAddress(t *testing.T) {
	address := otherProcess(t)
	items := mongoItems(t, address)
	t.Run("", func(t *testing.T) {
		service := storeService(topology.MongoDB, topology.Store{Engine: topology.Real, Address: address, Items: 2500})
		s, relay := serve(t, service)
		d := connect(t, service)
		for _, op := range topology.MongoDB.Operations() {
			if class, err := ask(d, relay, op); class != outcome.OK {
				t.Errorf("%s: %v", op, err)
			}
		}
		if n, err := items.CountDocuments(t.Context(), bson.D{}); n != 2500 || err != nil {
			t.Errorf("there are %d items, %v", n, err)
		}
		var doc struct{ Value string }
		if err := items.FindOne(t.Context(), bson.D{{Key: "_id", Value: "item:2499"}}).Decode(&doc); err != nil || doc.Value != string(store.SeedValue(1, "db", 2499)) {
			t.Errorf("an item is %q, %v", doc.Value, err)
		}
		if _, err := items.InsertOne(t.Context(), bson.D{{Key: "_id", Value: "item:1"}, {Key: "value", Value: ""}}); !mongo.IsDuplicateKeyError(err) {
			t.Errorf("an item that is there was inserted: %v", err)
		}
		for _, op := range topology.MongoDB.Operations() {
			line := fmt.Sprintf("microsim_requests_total{code=\"ok\",endpoint=%q,service=\"db\"} 1\n", op)
			for end := time.Now().Add(10 * time.Second); !strings.Contains(metricsOf(s), line); time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("want %q in %s", line, metricsOf(s))
				}
			}
		}
	})
	if n, err := items.CountDocuments(t.Context(), bson.D{}); n != 0 || err != nil {
		t.Errorf("%d items are left, %v", n, err)
	}
}

// A server that has the collection already is left as it is.
func TestMongoThatIsInUseIsRefused(t *testing.T) {
	address := otherProcess(t)
	if _, err := mongoItems(t, address).InsertOne(t.Context(), bson.D{{Key: "_id", Value: "mine"}, {Key: "value", Value: "x"}}); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(server.Config{Service: *storeService(topology.MongoDB, topology.Store{Engine: topology.Real, Address: address}), Seed: 1, Prepare: driver.Prepare})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context(), ln); err == nil || !strings.Contains(err.Error(), "has a collection microsim.items already") {
		t.Errorf("serving it: %v", err)
	}
}

// TestMongoKeepsDocuments does random commands of the official driver, and compares each
// answer with that of a map.
func TestMongoKeepsDocuments(t *testing.T) {
	_, address := serve(t, storeService(topology.MongoDB, topology.Store{Items: 5}))
	items, kept := mongoItems(t, address), map[string]string{}
	if err := items.Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	upsert := options.UpdateOne().SetUpsert(true)
	for i := range 600 {
		name, value := fmt.Sprint("k", r.IntN(5)), []string{"", "x", "it's", "a\x00b", "żółw"}[r.IntN(5)]
		old, there := kept[name]
		one, doc := bson.D{{Key: "_id", Value: name}}, bson.D{{Key: "_id", Value: name}, {Key: "value", Value: value}}
		set := bson.D{{Key: "$set", Value: bson.D{{Key: "value", Value: value}}}}
		var got, want string
		switch ctx := t.Context(); r.IntN(9) {
		case 0:
			var found struct{ Value string }
			err := items.FindOne(ctx, one).Decode(&found)
			got, want = fmt.Sprint(found.Value, errors.Is(err, mongo.ErrNoDocuments)), fmt.Sprint(old, !there)
		case 1:
			n, err := items.CountDocuments(ctx, bson.D{})
			got, want = fmt.Sprint(n, err), fmt.Sprint(len(kept), nil)
		case 2:
			_, err := items.InsertOne(ctx, doc)
			got, want = fmt.Sprint(mongo.IsDuplicateKeyError(err)), fmt.Sprint(there)
			if !there {
				kept[name] = value
			}
		case 3:
			result, err := items.UpdateOne(ctx, one, set, upsert)
			if err != nil {
				t.Fatal(err)
			}
			got = fmt.Sprint(result.MatchedCount, result.ModifiedCount, result.UpsertedCount)
			if want = "0 0 1"; there {
				want = fmt.Sprint(1, number(old != value), 0)
			}
			kept[name] = value
		case 4:
			result, err := items.ReplaceOne(ctx, one, bson.D{{Key: "value", Value: value}})
			if err != nil {
				t.Fatal(err)
			}
			got, want = fmt.Sprint(result.MatchedCount, result.UpsertedCount), fmt.Sprint(number(there), 0)
			if there {
				kept[name] = value
			}
		case 5:
			result, err := items.DeleteOne(ctx, one)
			if err != nil {
				t.Fatal(err)
			}
			got, want = fmt.Sprint(result.DeletedCount), fmt.Sprint(number(there))
			delete(kept, name)
		case 6:
			var before struct{ Value string }
			err := items.FindOneAndUpdate(ctx, one, set, options.FindOneAndUpdate().SetUpsert(true)).Decode(&before)
			got, want = fmt.Sprint(before.Value, errors.Is(err, mongo.ErrNoDocuments)), fmt.Sprint(old, !there)
			kept[name] = value
		case 7:
			cursor, err := items.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: []string{"k1", "k3", "none"}}}}})
			if err != nil {
				t.Fatal(err)
			}
			var found []struct {
				ID    string `bson:"_id"`
				Value string
			}
			if err := cursor.All(ctx, &found); err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				got += fmt.Sprintf("%s=%s ", f.ID, f.Value)
			}
			for _, name := range []string{"k1", "k3"} {
				if value, there := kept[name]; there {
					want += fmt.Sprintf("%s=%s ", name, value)
				}
			}
		default:
			_, err := items.InsertMany(ctx, []any{bson.D{{Key: "_id", Value: "k0"}, {Key: "value", Value: "0"}}, doc}, options.InsertMany().SetOrdered(false))
			var failed mongo.BulkWriteException
			errors.As(err, &failed)
			n := 0
			for _, one := range [][2]string{{"k0", "0"}, {name, value}} {
				if _, there := kept[one[0]]; there {
					n++
				} else {
					kept[one[0]] = one[1]
				}
			}
			got, want = fmt.Sprint(len(failed.WriteErrors)), fmt.Sprint(n)
		}
		if got != want {
			t.Fatalf("%d: %s, want %s", i, got, want)
		}
	}
}

func number(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// What the embedded engine does not do, it refuses by name.
func TestMongoRefusesOthers(t *testing.T) {
	_, address := serve(t, storeService(topology.MongoDB, topology.Store{Items: 5}))
	items := mongoItems(t, address)
	ctx := t.Context()
	_, byValue := items.Find(ctx, bson.D{{Key: "value", Value: "x"}})
	_, projected := items.Find(ctx, bson.D{{Key: "_id", Value: "item:1"}}, options.Find().SetProjection(bson.D{{Key: "value", Value: bson.D{{Key: "$slice", Value: 1}}}}))
	_, updated := items.UpdateMany(ctx, bson.D{}, bson.D{{Key: "$set", Value: bson.D{{Key: "value", Value: "x"}}}})
	session, err := items.Database().Client().StartSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.EndSession(ctx)
	_, inTransaction := session.WithTransaction(ctx, func(ctx context.Context) (any, error) {
		return items.InsertOne(ctx, bson.D{{Key: "_id", Value: "x"}, {Key: "value", Value: "y"}})
	})
	_, elsewhere := items.Database().Collection("others").InsertOne(ctx, bson.D{{Key: "_id", Value: "x"}})
	_, more := items.InsertOne(ctx, bson.D{{Key: "_id", Value: "x"}, {Key: "value", Value: "y"}, {Key: "count", Value: 3}})
	_, all := items.Find(ctx, bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	_, grouped := items.Aggregate(ctx, bson.A{bson.D{{Key: "$group", Value: bson.D{{Key: "_id", Value: "$value"}}}}})
	for what, err := range map[string]error{
		"by something else than _id": byValue, "a projection by more than field names": projected, "an update of all documents": updated, "(IllegalOperation) Transaction numbers are only allowed": inTransaction, "collection others": elsewhere,
		"a document with a field count": more, "all documents in an order": all, "more than count": grouped,
		"no such command: 'dropDatabase'": items.Database().Drop(ctx),
	} {
		var told mongo.ServerError
		if !errors.As(err, &told) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n, err := items.CountDocuments(ctx, bson.D{}); n != 5 || err != nil {
		t.Errorf("afterwards there are %d items, %v", n, err)
	}
}

// Finds, counts and writes of several documents keep to what the manual of MongoDB says of their
// options: a document is skipped before others are limited, a field is shown if it is wanted.
func TestMongoOptions(t *testing.T) {
	_, address := serve(t, storeService(topology.MongoDB, topology.Store{Items: 300}))
	items, ctx := mongoItems(t, address), t.Context()
	in := func(names ...string) bson.D { return bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: names}}}} }
	for i, value := range []string{"c", "a", "b"} {
		if _, err := items.UpdateOne(ctx, bson.D{{Key: "_id", Value: store.ItemName(i)}}, bson.D{{Key: "$set", Value: bson.D{{Key: "value", Value: value}}}}); err != nil {
			t.Fatal(err)
		}
	}
	three := in("item:2", "item:0", "item:1", "none")
	field := func(name string, n any) bson.D { return bson.D{{Key: name, Value: n}} }
	for name, tt := range map[string]struct {
		filter bson.D
		find   *options.FindOptionsBuilder
		want   string
	}{
		"by name":         {three, options.Find(), `item:0=c item:1=a item:2=b`},
		"backwards":       {three, options.Find().SetSort(field("_id", -1)), `item:2=b item:1=a item:0=c`},
		"by value":        {three, options.Find().SetSort(field("value", 1)), `item:1=a item:2=b item:0=c`},
		"the greatest":    {three, options.Find().SetSort(field("value", -1)).SetLimit(1), `item:0=c`},
		"the second":      {three, options.Find().SetSort(field("value", 1)).SetSkip(1).SetLimit(1), `item:2=b`},
		"too far":         {three, options.Find().SetSkip(7), ``},
		"names":           {three, options.Find().SetProjection(field("_id", 1)), `item:0 item:1 item:2`},
		"names again":     {three, options.Find().SetProjection(field("value", false)), `item:0 item:1 item:2`},
		"values":          {three, options.Find().SetProjection(bson.D{{Key: "_id", Value: 0}, {Key: "value", Value: 1}}), `=c =a =b`},
		"not the name":    {three, options.Find().SetProjection(field("_id", 0)), `=c =a =b`},
		"another field":   {three, options.Find().SetProjection(field("other", 1)), `item:0 item:1 item:2`},
		"not another":     {three, options.Find().SetProjection(field("other", 0)), `item:0=c item:1=a item:2=b`},
		"of all, skipped": {bson.D{}, options.Find().SetSkip(1).SetLimit(2), `item:1=a item:2=b`},
	} {
		cursor, err := items.Find(ctx, tt.filter, tt.find)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for cursor.Next(ctx) {
			id, _ := cursor.Current.Lookup("_id").StringValueOK()
			if value, ok := cursor.Current.Lookup("value").StringValueOK(); ok {
				id += "=" + value
			}
			got = append(got, id)
		}
		if strings.Join(got, " ") != tt.want || cursor.Err() != nil {
			t.Errorf("%s: %q, %v, want %q", name, got, cursor.Err(), tt.want)
		}
	}
	for code, projection := range map[int]bson.D{31254: {{Key: "value", Value: 1}, {Key: "other", Value: 0}}, 31253: {{Key: "value", Value: 0}, {Key: "other", Value: 1}}} {
		_, err := items.Find(ctx, three, options.Find().SetProjection(projection))
		var told mongo.ServerError
		if !errors.As(err, &told) || !told.HasErrorCode(code) {
			t.Errorf("%v: %v, want code %d", projection, err, code)
		}
	}
	// A projection goes on in later batches.
	cursor, err := items.Find(ctx, bson.D{}, options.Find().SetProjection(field("_id", 1)).SetBatchSize(50).SetSkip(10))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; cursor.Next(ctx); n++ {
		if elements, err := cursor.Current.Elements(); err != nil || len(elements) != 1 {
			t.Fatalf("document %d is %s", n, cursor.Current)
		}
	}
	if n != 290 {
		t.Errorf("%d documents after ten of 300", n)
	}
	if n, err := items.CountDocuments(ctx, bson.D{}, options.Count().SetSkip(250).SetLimit(100)); n != 50 || err != nil {
		t.Errorf("counted %d, %v", n, err)
	}
	if n, err := items.CountDocuments(ctx, three, options.Count().SetLimit(2)); n != 2 || err != nil {
		t.Errorf("counted %d, %v", n, err)
	}
	set := bson.D{{Key: "$set", Value: bson.D{{Key: "value", Value: "b"}}}}
	if r, err := items.UpdateMany(ctx, three, set); err != nil || r.MatchedCount != 3 || r.ModifiedCount != 2 {
		t.Errorf("updated %+v, %v", r, err)
	}
	if r, err := items.UpdateOne(ctx, in("none", "item:1", "item:2"), bson.D{{Key: "$set", Value: bson.D{{Key: "value", Value: "x"}}}}); err != nil || r.ModifiedCount != 1 {
		t.Errorf("updated %+v, %v", r, err)
	}
	if r, err := items.DeleteMany(ctx, three); err != nil || r.DeletedCount != 3 {
		t.Errorf("deleted %+v, %v", r, err)
	}
	if r, err := items.DeleteOne(ctx, bson.D{}); err != nil || r.DeletedCount != 1 {
		t.Errorf("deleted %+v, %v", r, err)
	}
	if r, err := items.DeleteMany(ctx, bson.D{}); err != nil || r.DeletedCount != 296 {
		t.Errorf("deleted %+v, %v", r, err)
	}
}

// Clients see all documents in batches, each once, as far as they want to.
func TestMongoShowsAllDocuments(t *testing.T) {
	_, address := serve(t, storeService(topology.MongoDB, topology.Store{Items: 2500}))
	items, ctx := mongoItems(t, address), t.Context()
	if _, err := items.DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: bson.A{"item:0", "item:100", "item:2499"}}}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := items.InsertOne(ctx, bson.D{{Key: "_id", Value: "new"}, {Key: "value", Value: "x"}}); err != nil {
		t.Fatal(err)
	}
	const all = 2498
	for _, tt := range []struct {
		limit int64
		batch int32
		want  int
	}{
		{0, 0, all}, {0, 1, 0}, {0, 7, all}, {0, 5000, all}, {1, 0, 1}, {101, 0, 101}, {102, 0, 102}, {1500, 0, 1500}, {1500, 1000, 1500}, {all, 0, all}, {all + 1, 0, all}, {1 << 40, 0, all}, {-3, 0, 3},
	} {
		if tt.want == 0 {
			tt.want = all
		}
		find := options.Find().SetLimit(tt.limit)
		if tt.batch > 0 {
			find.SetBatchSize(tt.batch)
		}
		cursor, err := items.Find(ctx, bson.D{}, find)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for n := 0; cursor.Next(ctx); n++ {
			seen[cursor.Current.Lookup("_id").StringValue()] = true
			if len(seen) != n+1 {
				t.Fatalf("%+v: document %d comes twice", tt, n)
			}
		}
		if err := cursor.Err(); err != nil || len(seen) != tt.want || seen["item:100"] {
			t.Errorf("%+v: %d documents, %v", tt, len(seen), err)
		}
	}
	cursor, err := items.Find(ctx, bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	if err := cursor.Close(ctx); err != nil { // it kills the cursor
		t.Error(err)
	}
	if names, err := items.Database().Client().ListDatabaseNames(ctx, bson.D{}); err != nil || len(names) != 1 {
		t.Errorf("databases %q, %v", names, err)
	}
	if list, err := items.Indexes().ListSpecifications(ctx); err != nil || len(list) != 1 || list[0].Name != "_id_" {
		t.Errorf("indexes %v, %v", list, err)
	}
	err = items.Database().RunCommand(ctx, bson.D{{Key: "getMore", Value: int64(-5)}, {Key: "collection", Value: "items"}}).Err()
	if err == nil || !strings.Contains(err.Error(), "CursorNotFound") {
		t.Errorf("a cursor that is none: %v", err)
	}
}

// A client that limits the time of a command is told when it is over.
func TestMongoKeepsTimes(t *testing.T) {
	_, address := serve(t, storeService(topology.MongoDB, topology.Store{Latency: dist.Fixed(time.Minute)}))
	err := mongoItems(t, address).Database().RunCommand(t.Context(), bson.D{
		{Key: "find", Value: "items"}, {Key: "filter", Value: bson.D{{Key: "_id", Value: "item:1"}}}, {Key: "limit", Value: 1}, {Key: "maxTimeMS", Value: 20},
	}).Err()
	if err == nil || !strings.Contains(err.Error(), "MaxTimeMSExpired") {
		t.Errorf("it ends as %v", err)
	}
}

// closing stands before a store, and closes each connection on which a find comes.
func closing(t *testing.T, behind string) (address string, finds *atomic.Int64) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	finds = &atomic.Int64{}
	serve := func(client net.Conn) {
		defer client.Close()
		store, err := net.Dial("tcp", behind)
		if err != nil {
			return
		}
		defer store.Close()
		go func() {
			defer client.Close()
			_, _ = io.Copy(client, store)
		}()
		b := make([]byte, 64<<10)
		for {
			n, err := client.Read(b)
			if err != nil {
				return
			}
			if bytes.Contains(b[:n], []byte("\x02find\x00")) {
				finds.Add(1)
				return
			}
			if _, err := store.Write(b[:n]); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return ln.Addr().String(), finds
}

// mongo-driver sends a read again once, if it is let, and not until its time is over.
func TestMongoRetriesOnce(t *testing.T) {
	_, behind := serve(t, storeService(topology.MongoDB, topology.Store{Items: 5}))
	for retries := range 2 {
		address, finds := closing(t, behind)
		d := connect(t, storeService(topology.MongoDB, topology.Store{Retries: retries, Timeout: 10_000 * ms}))
		q := store.Query{Operation: topology.OpRead, Item: "item:1"}
		if _, err := d.Do(t.Context(), address, &q); store.Class(err) != outcome.ConnectionError {
			t.Errorf("%d retries: %v", retries, err)
		}
		if n := finds.Load(); n != int64(1+retries) {
			t.Errorf("with %d retries, %d finds came", retries, n)
		}
		if n := d.Usage().Retries; n != int64(retries) {
			t.Errorf("of %d retries %d are counted", retries, n)
		}
	}
}
