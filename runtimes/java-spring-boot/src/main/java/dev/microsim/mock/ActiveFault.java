package dev.microsim.mock;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Instant;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import java.util.regex.Pattern;

/** A fault that acts, with what is counted and told of it. */
final class ActiveFault {
  private static final Pattern CORES = Pattern.compile("(\\d+(?:\\.\\d+)?)(m?)");
  private static final long MOST_IO = 1L << 30;

  final String id;
  final FaultKind kind;
  final AtomicLong hits = new AtomicLong();
  /** Opens when the fault has ended. */
  final CountDownLatch cleared = new CountDownLatch(1);
  final Instant since = Instant.now();
  /** When it ends by itself; null if it does not. */
  Instant deadline;

  private final ObjectNode told;
  private final ObjectNode target;
  private final double probability;
  private Delay delay = Delay.ZERO;
  private long hold = 10_000 * Units.MS;
  private long size;
  private double cores = 1;
  private int status = 500;

  /** Reads a fault as control is told it. */
  ActiveFault(String id, JsonNode body, String service) {
    Json.only(body, "the fault", Set.of("name", "start", "duration", "rounds", "type", "target", "probability", "args"));
    this.id = id;
    kind = FaultKind.of(body.path("type").asText(""));
    if (kind == null) throw new IllegalArgumentException("fault type " + Json.quote(body.path("type").asText("")) + " does not act in a service: use one of " + names());
    target = body.hasNonNull("target") ? body.get("target").deepCopy() : Json.MAPPER.createObjectNode();
    Json.only(target, "the target", Set.of("service", "replica", "endpoint", "from", "direction"));
    String own = kind == FaultKind.UNREACHABLE ? "from" : "service";
    if (!means(own, service)) throw new IllegalArgumentException("its target is " + target.get(own) + ", this is service " + Json.quote(service));
    if (kind != FaultKind.UNREACHABLE) target.put("service", service);
    probability = body.path("probability").asDouble(1);
    if (!(probability >= 0 && probability <= 1)) throw new IllegalArgumentException("probability " + probability + " is not between 0 and 1");
    if (body.hasNonNull("args")) readArgs(body.get("args"));
    for (String needed : kind.ofControl.needs()) {
      if (!body.path("args").hasNonNull(needed)) throw new IllegalArgumentException("fault type " + kind.text() + " needs " + needed);
    }
    told = body.deepCopy();
    told.set("target", target);
    told.put("probability", probability);
  }

  private static String names() {
    StringBuilder names = new StringBuilder();
    for (FaultKind kind : FaultKind.values()) names.append(names.isEmpty() ? "" : ", ").append(kind.text());
    return names.toString();
  }

  private void readArgs(JsonNode args) {
    long jitter = 0;
    for (var fields = args.fields(); fields.hasNext(); ) {
      var field = fields.next();
      JsonNode value = field.getValue();
      if (!kind.ofControl.know(field.getKey())) throw new IllegalArgumentException("the arguments of " + kind.text() + " have an unknown field " + Json.quote(field.getKey()));
      switch (field.getKey()) {
        case "delay" -> delay = Delay.of(value);
        case "jitter" -> jitter = Units.duration(value);
        case "hold" -> hold = Units.duration(value);
        case "status" -> status = value.asInt();
        case "size" -> size = Units.size(value);
        default -> cores = cores(value.asText());
      }
    }
    delay = delay.jittered(jitter);
    if (size > (kind == FaultKind.IO ? MOST_IO : Memory.MOST)) throw new IllegalArgumentException("size " + size + " is out of range");
    if (status < 400 || status > 599) throw new IllegalArgumentException("status " + status + " is not an error status");
  }

  /** Reads a number of processors such as 2, 0.5 or 500m. */
  private static double cores(String text) {
    var m = CORES.matcher(text);
    if (!m.matches()) throw new IllegalArgumentException(Json.quote(text) + " is no number of processors: write one such as 2 or 500m");
    return Double.parseDouble(m.group(1)) / (m.group(2).isEmpty() ? 1 : 1000);
  }

  /** Whether the target leaves a field open, or names just this. */
  boolean means(String field, String is) {
    String wanted = target.path(field).asText("");
    return wanted.isEmpty() || wanted.equals(is);
  }

  boolean actsOn(int replica) {
    int wanted = target.path("replica").asInt(0);
    return wanted == 0 || wanted == replica;
  }

  /** Whether it acts on calls of a service. */
  boolean isOf(String callee) {
    return target.path("service").asText("").equals(callee);
  }

  boolean acts(Key key) {
    return key.chance(probability);
  }

  Op.Kind decide(Key key) {
    return switch (kind) {
      case MEMORY_LEAK -> new Op.Leak(size, hold);
      case LATENCY -> new Op.Sleep(delay.draw(key.with("delay")));
      case CPU -> new Op.Cpu(hold, cores);
      case IO -> new Op.Io(size);
      case CORRUPT -> new Op.Corrupt();
      case HANG -> new Op.Hang();
      case ERROR -> new Op.Fail(status);
      case ABORT, PANIC, UNREACHABLE -> new Op.Abort();
    };
  }

  /** What control lists. */
  ObjectNode list(String replica) {
    ObjectNode entry = Json.MAPPER.createObjectNode();
    entry.put("id", id).set("fault", told);
    entry.put("since", since.toString()).put("hits", hits.get()).putArray("replicas").add(replica);
    if (deadline != null) entry.put("deadline", deadline.toString());
    return entry;
  }
}
