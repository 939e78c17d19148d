package dev.microsim.mock;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Function;
import java.util.stream.Stream;

/**
 * A mock service without its web framework: which endpoints it has, and what it answers.
 * The framework routes requests here and writes the answers; an answer of null closes the
 * connection without one.
 */
public final class Service implements AutoCloseable {
  private static final long DEFAULT_TIMEOUT = 120_000 * Units.MS;

  final String name;
  final Key root;
  final FaultBoard faults;
  final Memory memory = new Memory();
  final Peers peers;
  final Sender sender;
  final Metrics metrics;
  final ScheduledExecutorService timer = timer();
  final ExecutorService executor = Executors.newCachedThreadPool(daemons("branch"));
  private final String token;
  private final long grace;
  private final Chain.Limits limits;
  private final List<Endpoint> endpoints = new ArrayList<>();
  private final AtomicLong inflight = new AtomicLong();
  private final CountDownLatch stopping = new CountDownLatch(1);
  private volatile boolean loopback;

  /** Makes a service of what MICROSIM_SERVICE holds. */
  public Service(byte[] text) {
    JsonNode spec = Json.read(text);
    Json.only(spec, "MICROSIM_SERVICE", Set.of("system", "service", "replica", "seed", "peers", "allowHosts", "limits", "token", "grace", "traceSample"));
    JsonNode service = spec.path("service");
    name = service.path("name").asText("");
    for (String field : List.of("workers", "backlog", "shed", "store")) Endpoint.refuse("service " + name, field, Json.given(service.path(field)));
    Endpoint.refuse("service " + name, "onCancel: stop", service.path("onCancel").asText("").equals("stop"));
    token = spec.path("token").asText("");
    grace = spec.hasNonNull("grace") ? Units.duration(spec.get("grace")) : 5000 * Units.MS;
    limits = Chain.Limits.of(spec.path("limits"));
    root = Key.seed(Long.parseUnsignedLong(spec.path("seed").asText("0"))).with(name);
    for (JsonNode endpoint : service.path("endpoints")) endpoints.add(new Endpoint(endpoint));
    faults = new FaultBoard(name, Math.max(spec.path("replica").asInt(1), 1), timer);
    peers = new Peers(spec.path("system").asText(""), spec.path("allowHosts"));
    if (spec.hasNonNull("peers")) peers.set(spec.get("peers"));
    sender = new Sender(timer);
    metrics = new Metrics(name, endpoints, faults, inflight::get, memory::now);
    if (Units.size(service.path("memory")) > 0) memory.take(Units.size(service.path("memory")));
  }

  private static ScheduledExecutorService timer() {
    ScheduledThreadPoolExecutor timer = new ScheduledThreadPoolExecutor(1, daemons("timer"));
    timer.setRemoveOnCancelPolicy(true);
    return timer;
  }

  private static ThreadFactory daemons(String name) {
    return work -> {
      Thread thread = new Thread(work, name);
      thread.setDaemon(true);
      return thread;
    };
  }

  /** How many milliseconds requests in flight have at the end. */
  public long graceMillis() {
    return grace / Units.MS;
  }

  /** Says whether only this machine reaches the service. */
  public void setLoopback(boolean only) {
    loopback = only;
  }

  /** Ends all that waits. */
  @Override
  public void close() throws IOException {
    stopping.countDown();
    faults.clearAll();
    sender.close();
  }

  boolean stopping() {
    return stopping.getCount() == 0;
  }

  /** Waits, unless the service ends before. */
  void sleep(long time) throws InterruptedException {
    stopping.await(time, TimeUnit.NANOSECONDS);
  }

  /** The paths of the endpoints. */
  public Set<String> paths() {
    Set<String> paths = new TreeSet<>();
    endpoints.forEach(e -> paths.add(e.path));
    return paths;
  }

  /** If no endpoint has the root path, the root means all of them. */
  private Stream<Endpoint> at(String path) {
    boolean all = path.equals("/") && endpoints.stream().noneMatch(e -> e.path.equals("/"));
    return endpoints.stream().filter(e -> all || e.path.equals(path));
  }

  private Endpoint find(String method, String path) {
    return at(path).filter(e -> e.answers(method)).findFirst().orElse(null);
  }

  /** Answers a request to an endpoint, or a chain. */
  public Answer answer(Request request) {
    String path = decode(request.path());
    if (request.method().equals("POST") && path.equals("/") && isChain(request)) {
      Endpoint e = find("POST", "/");
      return exchange(request, "chain", e == null ? DEFAULT_TIMEOUT : e.timeout, true, x -> answerChain(request, x));
    }
    if (request.method().equals("POST") && path.equals("/set-delay") && find("POST", path) == null) return control(request);
    Endpoint endpoint = find(request.method(), path);
    if (endpoint == null) return answerNone(request, path);
    return exchange(request, endpoint.path, endpoint.timeout, false, x -> answer(endpoint, request, x));
  }

  private static String decode(String path) {
    try {
      return path.contains("%") ? URLDecoder.decode(path.replace("+", "%2B"), StandardCharsets.UTF_8) : path;
    } catch (IllegalArgumentException e) {
      return path;
    }
  }

  private Answer answer(Endpoint endpoint, Request request, Exchange x) {
    Exchange.Ending ending = x.run(endpoint.decide(x.key, request.value("Microsim-From", 128), x.faults));
    if (ending instanceof Exchange.Failed failed) return failed.body().isEmpty() ? Answer.error(failed.status(), failed.text()) : Answer.text(failed.status(), failed.body());
    if (!(ending instanceof Exchange.Responded)) return null;
    if (!endpoint.body.isEmpty()) return Answer.text(endpoint.status, endpoint.body);
    return Answer.of(endpoint.status, endpoint.size > 0 && endpoint.size < 15 ? "text/plain" : Json.TYPE, Answer.payload(endpoint.size));
  }

  /** Whether a POST to the root carries a chain. */
  private boolean isChain(Request request) {
    if (find("POST", "/") == null) return true;
    String type = request.value("Content-Type", 1024).split(";", 2)[0].trim().toLowerCase();
    boolean mayBe = type.isEmpty() || type.equals(Json.TYPE) || type.equals("application/x-www-form-urlencoded") || type.endsWith("+json");
    if (request.body().length == 0 || !mayBe) return false;
    if (request.body().length > limits.body() || new String(request.body(), StandardCharsets.ISO_8859_1).contains("\"designation\"")) return true;
    try {
      return !Json.read(request.body()).isObject();
    } catch (IllegalArgumentException e) {
      return true;
    }
  }

  private Answer answerChain(Request request, Exchange x) {
    Chain chain;
    try {
      chain = Chain.parse(request.body(), limits);
    } catch (Chain.Refused e) {
      return document(x, e.status, "", e.texts);
    }
    Exchange.Ending ending = x.run(chain.decide(x.key, request.value("Microsim-From", 128), x.faults));
    if (ending == null || ending instanceof Exchange.Aborted) return null;
    int status = 200;
    if (ending instanceof Exchange.Failed failed) {
      status = failed.status();
      x.notes.add(failed.text());
    }
    Answer answer = document(x, status, chain.designation(), x.notes);
    if (!request.value("Microsim-Times", 16384).isEmpty()) {
      String below = x.times.isEmpty() ? "" : "(" + String.join(",", x.times) + ")";
      answer.headers().put("Microsim-Times", String.format(java.util.Locale.ROOT, "%.1f%s", (System.nanoTime() - x.began) / 1e6, below));
    }
    return answer;
  }

  /** MicroSim's response document. Those of routes stay as they came. */
  private Answer document(Exchange x, int status, String address, List<String> errors) {
    ByteArrayOutputStream body = new ByteArrayOutputStream();
    body.writeBytes(("{\"service\":" + Json.write(name) + ",\"address\":" + Json.write(address) + ",\"errors\":" + Json.write(errors) + ",\"response\":[").getBytes(StandardCharsets.UTF_8));
    for (int i = 0; i < x.documents.size(); i++) {
      if (i > 0) body.write(',');
      body.writeBytes(x.documents.get(i));
    }
    body.writeBytes("]}".getBytes(StandardCharsets.UTF_8));
    return Answer.of(status, Json.TYPE, body.toByteArray());
  }

  /** Counts and times a request, and gives its answer what every answer has. */
  private Answer exchange(Request request, String label, long timeout, boolean chain, Function<Exchange, Answer> work) {
    Exchange x = new Exchange(this, request, timeout, chain);
    inflight.incrementAndGet();
    Answer answer = null;
    try {
      answer = work.apply(x);
      if (answer == null) return null;
      answer.headers().put("X-Request-ID", x.id);
      if (x.degraded() > 0) answer.headers().put("Microsim-Degraded", String.valueOf(Math.min(x.degraded(), 1_000_000)));
      // No reader takes it for good, and its length stays.
      for (int i = 0; x.corrupt() && i < answer.body().length; i += 64) answer.body()[i] ^= (byte) 0xff;
      return answer;
    } finally {
      x.release();
      inflight.decrementAndGet();
      metrics.request(label, answer == null ? 0 : answer.status(), System.nanoTime() - x.began, x.degraded());
    }
  }

  /** Refuses a request of a web page; null if it may pass. */
  public Answer refuse(Request request) {
    String why = request.refusal(loopback);
    return why == null ? null : Answer.error(403, why);
  }

  /** Answers a request to a path or with a method that there is not. */
  private Answer answerNone(Request request, String path) {
    Set<String> allowed = new TreeSet<>();
    at(path).forEach(e -> allowed.addAll(e.method.isEmpty() ? Endpoint.METHODS : List.of(e.method)));
    String where = Json.quote(path);
    Answer answer = Answer.error(404, "service " + Json.quote(name) + " has no endpoint " + where);
    if (!allowed.isEmpty()) {
      if (path.equals("/")) allowed.add("POST"); // chains
      answer = Answer.error(405, "service " + Json.quote(name) + " does not answer " + request.method() + " on " + where);
      answer.headers().put("Allow", String.join(", ", allowed));
    }
    answer.headers().put("X-Request-ID", request.id());
    metrics.request("other", answer.status(), 0, 0);
    return answer;
  }

  /** Answers a request for the metrics. */
  public Answer answerMetrics() {
    return Answer.of(200, "text/plain; version=0.0.4; charset=utf-8", metrics.text());
  }

  /** Answers a request to /admin or /set-delay. */
  public Answer control(Request request) {
    if (token.isEmpty()) return Answer.error(403, "control is off: the service has no token");
    String given = request.value("Microsim-Token", 8192), header = request.value("Authorization", 8192);
    if (given.isEmpty() && header.startsWith("Bearer ")) given = header.substring("Bearer ".length());
    if (!MessageDigest.isEqual(given.getBytes(StandardCharsets.UTF_8), token.getBytes(StandardCharsets.UTF_8))) {
      return Answer.error(401, "control needs the header Authorization: Bearer with the system's token");
    }
    try {
      return controlled(request);
    } catch (IllegalArgumentException e) {
      return Answer.error(400, String.valueOf(e.getMessage()));
    }
  }

  private Answer controlled(Request request) {
    String path = request.path(), prefix = "/admin/faults/";
    String id = path.startsWith(prefix) ? decode(path.substring(prefix.length())) : "";
    switch (request.method() + " " + (id.isEmpty() ? path : prefix)) {
      case "GET /admin/faults":
        return Answer.json(200, faults.list());
      case "PUT /admin/faults/":
        faults.add(id, Json.read(request.body()));
        return Answer.done();
      case "DELETE /admin/faults/":
        faults.clear(id);
        return Answer.done();
      case "GET /admin/peers/unreachable":
        return Answer.json(200, peers.unreachable(executor));
      case "PUT /admin/peers":
        peers.set(Json.read(request.body()));
        return Answer.done();
      case "POST /set-delay":
        return Answer.json(200, Map.of("payload", setDelay(Json.read(request.body()))));
      default:
        return Answer.error(404, "there is no " + request.method() + " " + Json.quote(path));
    }
  }

  /** Takes VECROsim's format. */
  private String setDelay(JsonNode from) {
    Json.only(from, "the request", Set.of("delay", "jitter"));
    if (!from.path("delay").isNumber()) throw new IllegalArgumentException("the request needs delay");
    double delay = from.get("delay").asDouble(), jitter = from.hasNonNull("jitter") ? from.get("jitter").asDouble() : delay / 10, most = 24 * 3600e3;
    if (!(delay >= 0 && delay <= most && jitter >= 0 && jitter <= most)) {
      throw new IllegalArgumentException("delay " + delay + " and jitter " + jitter + " must be 0 to " + most + " milliseconds");
    }
    if (delay == 0 && jitter == 0) {
      faults.clear("set-delay");
    } else {
      var args = Json.MAPPER.createObjectNode().put("delay", String.format(java.util.Locale.ROOT, "%.6fms", delay));
      if (jitter > 0) args.put("jitter", String.format(java.util.Locale.ROOT, "%.6fms", jitter));
      var request = Json.MAPPER.createObjectNode();
      request.putObject("fault").put("type", "latency").set("args", args);
      faults.add("set-delay", request);
    }
    return "delay set to " + delay + " ms with jitter " + jitter + " ms";
  }
}
