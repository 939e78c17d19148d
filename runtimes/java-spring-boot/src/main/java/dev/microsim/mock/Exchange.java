package dev.microsim.mock;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** A request being answered. Branches run at the same time, so what they share is locked. */
final class Exchange {
  private static final int KEEP_OF_ANSWER = 64 << 10;
  private static final int MAX_ANSWERS = 16 << 20;

  /** How a request, or a branch of it, ends. */
  sealed interface Ending permits Responded, Aborted, Failed {}

  record Responded() implements Ending {}

  record Aborted() implements Ending {}

  record Failed(int status, String text, String body) implements Ending {
    Failed(int status, String text) {
      this(status, text, "");
    }
  }

  final String id;
  final Key key;
  final long began = System.nanoTime();
  final FaultSet faults;
  final List<String> notes = new ArrayList<>();
  final List<byte[]> documents = new ArrayList<>();
  final List<String> times = new ArrayList<>();
  private final Service service;
  private final Request request;
  private final String hop;
  private final boolean chain;
  /** A System.nanoTime; Long.MAX_VALUE means none. */
  private final long deadline;
  private final List<Memory.Held> held = new ArrayList<>();
  private int answered;
  private long degraded;
  private volatile boolean corrupt;

  /** A timeout of 0 means none. */
  Exchange(Service service, Request request, long timeout, boolean chain) {
    this.service = service;
    this.request = request;
    this.chain = chain;
    id = request.id();
    hop = request.value("Microsim-Hop", 512);
    key = service.root.with(id).with(hop);
    faults = service.faults.set();
    long left = timeout > 0 ? timeout : Long.MAX_VALUE;
    if (request.timeLeft().isPresent()) left = Math.min(left, request.timeLeft().getAsLong() * Units.MS);
    deadline = left == Long.MAX_VALUE ? left : began + left;
  }

  synchronized void degrade(long parts) {
    degraded += parts;
  }

  synchronized long degraded() {
    return degraded;
  }

  boolean corrupt() {
    return corrupt;
  }

  synchronized void release() {
    held.forEach(Memory.Held::close);
  }

  private Ending timeOver() {
    return deadline != Long.MAX_VALUE && System.nanoTime() - deadline >= 0 ? new Failed(504, "the time of the request is over") : null;
  }

  /** Does the operations up to one that ends the request; null if none does. */
  Ending run(List<Op> ops) {
    for (Op op : ops) {
      if (op.fault() != null) op.fault().hits.incrementAndGet();
      Ending ending = operate(op);
      if (ending != null) return ending;
    }
    return null;
  }

  private Ending operate(Op op) {
    Op.Kind kind = op.kind();
    if (kind instanceof Op.Respond) return new Responded();
    if (kind instanceof Op.Abort) return new Aborted();
    if (kind instanceof Op.Fail fail) {
      String by = op.fault() != null ? "fault " + op.fault().id : chain ? "the chain's fault" : "the service's error rate";
      return new Failed(fail.status(), fail.status() + " by " + by);
    }
    if (kind instanceof Op.Hang) return hang(op.fault());
    if (kind instanceof Op.Leak leak) return leak(leak, op.fault());
    if (kind instanceof Op.Corrupt) {
      corrupt = true;
      return null;
    }
    if (kind instanceof Op.CallRoute route) {
      callRoute(route);
      return null;
    }
    Ending ending = work(op);
    return ending != null ? ending : timeOver();
  }

  private Ending work(Op op) {
    Op.Kind kind = op.kind();
    try {
      if (kind instanceof Op.CallService call) return call(call);
      if (kind instanceof Op.Parallel parallel) return parallel(parallel.branches());
      if (kind instanceof Op.Hold hold) return hold(hold.bytes());
      if (kind instanceof Op.Sleep sleep) service.sleep(deadline == Long.MAX_VALUE ? sleep.time() : Math.min(sleep.time(), deadline - System.nanoTime()));
      if (kind instanceof Op.CpuUnits units) Work.burnUnits(units.units());
      if (kind instanceof Op.Cpu cpu && cpu.cores() == 1) Work.burnTime(cpu.time());
      if (kind instanceof Op.Cpu cpu && cpu.cores() != 1) Work.burnCores(cpu.cores(), cpu.time());
      if (kind instanceof Op.Io io) Work.writeAndSync(io.bytes());
    } catch (UncheckedIOException e) {
      return broke(op.fault(), "io: " + e.getCause().getMessage());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return new Aborted();
    }
    return null;
  }

  private Ending hold(long bytes) {
    try {
      Memory.Held taken = service.memory.take(bytes);
      synchronized (this) {
        held.add(taken);
      }
      return null;
    } catch (IllegalArgumentException e) {
      return new Failed(503, "memory: " + e.getMessage());
    }
  }

  /** Notes in a chain what went wrong. It ends a request to an endpoint, unless a fault could not act. */
  private Ending broke(ActiveFault fault, String text) {
    if (chain) {
      notes.add(text);
      degrade(1);
      return null;
    }
    return fault == null ? new Failed(500, text) : null;
  }

  private Ending leak(Op.Leak leak, ActiveFault fault) {
    try {
      Memory.Held taken = service.memory.take(leak.bytes());
      service.timer.schedule(taken::close, leak.time(), TimeUnit.NANOSECONDS);
      return null;
    } catch (IllegalArgumentException e) {
      return broke(fault, "memory-leak: " + e.getMessage());
    }
  }

  /** Waits until the fault is cleared, the client leaves, or the service ends. Whether the client has left can only be asked. */
  private Ending hang(ActiveFault fault) {
    while (!service.stopping() && !request.gone().getAsBoolean()) {
      try {
        if (fault == null) service.sleep(50 * Units.MS);
        else if (fault.cleared.await(50, TimeUnit.MILLISECONDS)) return timeOver();
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        break;
      }
    }
    return new Aborted();
  }

  private Ending parallel(List<List<Op>> branches) {
    List<CompletableFuture<Ending>> running = branches.stream().map(b -> CompletableFuture.supplyAsync(() -> run(b), service.executor)).toList();
    Ending first = null;
    for (CompletableFuture<Ending> branch : running) {
      Ending ending = branch.join();
      if (first == null) first = ending;
    }
    return first;
  }

  /** Sends one request to a replica of a service. Without a path it is sent to that of the service's URL. */
  private Sender.Reply send(String to, List<URI> urls, int index, String method, String path, byte[] body, Map<String, String> headers, long timeout, int keep) throws CallException {
    if (urls.isEmpty()) throw new CallException("connection_error", "no address of it is known");
    int n = urls.size() > 1 ? key.with("replica").with(index).below(urls.size()) : 0;
    ActiveFault fault = faults.unreachableBy(key, service.name, to, path == null ? "/" : path, n + 1, index);
    if (fault != null) {
      fault.hits.incrementAndGet();
      throw new CallException("connection_error", "a fault lets nobody answer");
    }
    URI url = urls.get(n);
    try {
      if (path != null) url = new URI(url.getScheme(), null, url.getHost(), url.getPort(), path, null, null);
      else if (url.getRawPath().isEmpty()) url = url.resolve("/");
    } catch (java.net.URISyntaxException e) {
      throw new CallException("connection_error", e.getMessage());
    }
    identify(headers, to, index);
    long end = deadline;
    if (timeout > 0) end = Math.min(end, System.nanoTime() + timeout);
    return service.sender.send(method, url, headers, body, end, keep);
  }

  /** Adds the headers of a call. */
  private void identify(Map<String, String> headers, String to, int index) {
    headers.put("X-Request-ID", id);
    headers.put("Microsim-Hop", hop.isEmpty() ? String.valueOf(index) : hop + "." + index);
    headers.put("Microsim-From", service.name);
    headers.put("traceparent", request.callTraceparent());
    if (!request.value("traceparent", Integer.MAX_VALUE).isEmpty()) headers.put("tracestate", request.value("tracestate", 512));
    if (!to.equals("external")) headers.put("Authorization", request.value("Authorization", 8192));
    if (deadline != Long.MAX_VALUE) headers.put("Microsim-Deadline", String.valueOf(Math.max((deadline - System.nanoTime() + Units.MS - 1) / Units.MS, 0)));
    headers.values().removeIf(String::isEmpty);
  }

  private Ending call(Op.CallService op) {
    Call call = op.call();
    long start = System.nanoTime();
    Map<String, String> headers = new LinkedHashMap<>();
    byte[] body = new byte[0];
    if (call.requestSize() > 0) {
      body = Answer.payload(call.requestSize());
      headers.put("Content-Type", "application/octet-stream");
    }
    try {
      Sender.Reply reply = send(call.to(), service.peers.of(call.to()), op.index(), call.method(), call.endpoint(), body, headers, call.timeout(), KEEP_OF_ANSWER);
      if (reply.status() >= 400) throw new CallException("http_error", "it answered " + reply.status(), reply.status());
      if (reply.contentType().equals(Json.TYPE) && reply.whole() && reply.body().length > 0 && !Json.valid(reply.body())) throw new CallException("malformed", "the answer is no JSON");
      service.metrics.call(call.to(), "ok", System.nanoTime() - start, reply.degraded());
      degrade(reply.degraded());
      return null;
    } catch (CallException e) {
      service.metrics.call(call.to(), e.outcome, System.nanoTime() - start, 0);
      degrade(1);
      String text = "calling " + call.to() + ": " + e.outcome + ": " + e.getMessage();
      for (String name : List.of(String.valueOf(e.status), e.outcome, "other")) {
        Call.FileAnswer answer = call.answers().get(name);
        if (answer != null) return new Failed(answer.status(), text, answer.body());
      }
      return call.ignore() ? null : new Failed(e.outcome.equals("timeout") ? 504 : 502, text);
    }
  }

  /** Sends a route of a chain on, and keeps the document that came back. */
  private void callRoute(Op.CallRoute op) {
    long start = System.nanoTime();
    String designation = op.route().designation();
    byte[] document = "null".getBytes(StandardCharsets.UTF_8);
    String below = "", failed = null;
    Peers.Located located = null;
    try {
      located = service.peers.locate(designation);
      Sender.Reply reply = sendRoute(op, located);
      service.metrics.call(located.name(), "ok", System.nanoTime() - start, reply.degraded());
      answered += reply.body().length;
      degrade(reply.degraded());
      document = reply.body();
      below = reply.times();
    } catch (IllegalArgumentException e) {
      failed = e.getMessage();
    } catch (CallException e) {
      service.metrics.call(located.name(), e.outcome, System.nanoTime() - start, 0);
      failed = e.outcome.equals("http_error") ? e.getMessage() : e.outcome + ": " + e.getMessage();
    }
    if (failed != null) {
      notes.add("calling " + designation.substring(0, Math.min(designation.length(), 128)) + ": " + failed);
      degrade(1);
    }
    documents.add(document);
    times.add(below);
  }

  private Sender.Reply sendRoute(Op.CallRoute op, Peers.Located to) throws CallException {
    Map<String, String> headers = new LinkedHashMap<>(Map.of("Content-Type", Json.TYPE, "Microsim-Times", request.value("Microsim-Times", 16384)));
    Sender.Reply reply = send(to.name(), to.urls(), op.index(), "POST", null, op.route().document(), headers, 0, MAX_ANSWERS - answered);
    if (reply.status() >= 400) throw new CallException("http_error", "it answered " + reply.status() + reason(reply.body()), reply.status());
    if (!reply.whole()) throw new CallException("malformed", "the answers of all routes have more than " + MAX_ANSWERS + " bytes");
    try {
      if (Json.read(reply.body()).isObject()) return reply;
    } catch (IllegalArgumentException e) {
      // Said below.
    }
    throw new CallException("malformed", "the answer is no JSON object");
  }

  /** The first of the errors that a response document has. */
  private static String reason(byte[] body) {
    try {
      JsonNode first = Json.read(body).path("errors").path(0);
      String text = first.asText("");
      return text.isEmpty() ? "" : ": " + text.substring(0, Math.min(text.length(), 128));
    } catch (IllegalArgumentException e) {
      return "";
    }
  }
}
