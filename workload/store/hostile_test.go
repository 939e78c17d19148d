package store_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/store"
)

// Clients that announce long messages and send nothing of them take next to no memory,
// in the protocol of each kind, and others are served beside them.
func TestAnnouncedMessagesTakeNoMemory(t *testing.T) {
	const long = 40 << 20
	greetings := map[topology.Kind]func(net.Conn) error{
		topology.MySQL: func(c net.Conn) error {
			if _, err := io.ReadAtLeast(c, make([]byte, 200), 20); err != nil {
				return err
			}
			if _, err := c.Write([]byte{4, 0, 0, 1, 0, 2, 0, 0}); err != nil {
				return err
			}
			_, err := io.ReadAtLeast(c, make([]byte, 200), 5)
			return err
		},
		topology.Postgres: func(c net.Conn) error {
			if _, err := io.WriteString(c, "\x00\x00\x00\x17\x00\x03\x00\x00user\x00postgres\x00\x00"); err != nil {
				return err
			}
			_, err := io.ReadAtLeast(c, make([]byte, 500), 20)
			return err
		},
	}
	for kind, head := range map[topology.Kind][]byte{
		topology.Redis:     fmt.Appendf(nil, "*2\r\n$3\r\nGET\r\n$%d\r\nx", long),
		topology.Memcached: fmt.Appendf(nil, "set a 0 0 %d\r\nx", 1<<20),
		topology.Postgres:  append(binary.BigEndian.AppendUint32([]byte{'Q'}, long), 'x'),
		topology.MySQL:     {0xff, 0xff, 0xff, 0, 3},
		topology.MongoDB:   append(binary.LittleEndian.AppendUint32(nil, long), 1, 0, 0, 0, 0, 0, 0, 0, 0xdd, 7, 0, 0, 'x'),
		topology.Kafka:     append(binary.BigEndian.AppendUint32(nil, 16<<20), 'x'),
	} {
		service := redisService(topology.Store{Items: 1, MaxConnections: 100})
		service.Kind = kind
		_, address := serve(t, store.Config{Service: service})
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		const clients = 50
		for range clients {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if greet := greetings[kind]; greet != nil {
				if err := greet(conn); err != nil {
					t.Fatalf("%s: %v", kind, err)
				}
			}
			if _, err := conn.Write(head); err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
		}
		for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			runtime.ReadMemStats(&after)
			if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > clients*(200<<10) {
				t.Errorf("%s: %d clients take %d bytes", kind, clients, grown)
				break
			}
		}
	}
}
