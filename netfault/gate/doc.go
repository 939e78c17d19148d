// Package gate puts a misbehaving network between a client and a server: a
// proxy for TCP, UDP and Unix sockets that forwards faithfully until it is told
// to delay, drop, corrupt, slice, throttle, reset or refuse.
//
// A [Gate] listens where clients connect and forwards to an upstream. Each
// direction, [Gate.ToServer] and [Gate.ToClient], carries a stack of
// conditions, which may be changed at any time and act on live and on future
// connections alike:
//
//	g, err := gate.Start(ctx, gate.Config{Listen: "127.0.0.1:0", Upstream: "127.0.0.1:6379"})
//	defer g.Close()
//	slow, err := g.ToClient().Delay(200*time.Millisecond, 20*time.Millisecond)
//	err = slow.Wait(ctx) // until the delay has met traffic
//	g.Reset()            // everything back to normal
//
// The gate forwards bytes, never meaning: TLS passes untouched, a half-close
// stays a half-close, a reset stays a reset, and an idle connection lives for
// ever. Where no condition is set on Linux, data never enters the process
// unless it is small (an event loop and splice); see [relay.Relay].
//
// Each condition holds back data by itself. When one is removed, what it held back
// goes on at once, in order, to the conditions behind it, so that a restored gate
// works immediately. Data that other conditions hold back keep their time. The same
// is true of an update, see [Active.Update].
package gate
