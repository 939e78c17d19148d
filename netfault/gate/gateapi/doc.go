// Package gateapi serves gates over HTTP, in the API of toxiproxy 2.x: the same
// paths, JSON, toxic types, status codes and error bodies, so that its client
// libraries drive a gate unchanged.
//
//	api := gateapi.New(gateapi.Config{})
//	defer api.Close()
//	http.ListenAndServe("127.0.0.1:8474", api)
//
// Any client of the API can open ports on this machine and relay through them,
// so the caller should listen on loopback unless asked otherwise. Requests of
// browsers are refused, so that a web page cannot do so.
//
// # Toxics
//
// Types known from toxiproxy, with its attributes and units: latency, bandwidth,
// slow_close, timeout, reset_peer, slicer, limit_data, noop (which passes
// everything). Further types:
//
//	delay          delay, jitter (ms), serial
//	stop_reading
//	drop           share (0..1; 0 means all)
//	close_on_data  reset
//	corrupt
//	limit_bps      bytes_per_second, burst (0: one second's worth), per_connection
//	limit_time     timeout, jitter (ms), idle
//	limit_bytes    bytes, per_connection
//	smaller_parts  max_size, delay (ms)
//	concatenate    size, give_up (ms; 0: one minute)
//	substitute     pattern, replacement
//	slow_open      delay, jitter (ms)
//
// # Beyond toxiproxy
//
//   - A proxy's listen and upstream may be "udp:host:port" or "unix:/path".
//   - A proxy may be sent "accepting": false, which leaves its port open and
//     serves no new clients; it is shown only while it is false.
//   - GET /proxies/{proxy}/connections lists connections. DELETE closes all, or
//     ?count=N of them; with ?reset=true by a TCP reset.
//   - GET /proxies/{proxy}/toxics/{toxic}/effect tells how often the toxic acted;
//     ?wait=5s waits until it has, and answers 408 if it does not.
//
// # Differences
//
// A wrong value (a negative rate, a share above 1, an unreadable pattern) is
// answered with 400, where toxiproxy accepts it and misbehaves. The
// timeout toxic closes its time after it met the connection, as documented,
// rather than after the last data. reset_peer also resets connections
// that were open before it came. A half-close is passed on as such.
package gateapi
