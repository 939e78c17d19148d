package dev.microsim.mock;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** A request that carries its own route and faults, as MicroSim's. */
record Chain(String designation, List<Fault> before, List<Fault> after, List<Route> routes) {
  /** What is sent on to another service: a node without what is null. */
  record Route(String designation, byte[] document) {}

  /** A fault of a chain. The rate is 0 to 1, times are in nanoseconds. */
  record Fault(FaultKind kind, long time, long size, double cores, double rate, int status) {}

  /** Bounds of chains. */
  record Limits(int depth, int nodes, int fanOut, int faults, long body, long leak) {
    static Limits of(JsonNode node) {
      return new Limits(or(node.path("depth").asInt(), 64), or(node.path("nodes").asInt(), 10_000), or(node.path("fanOut").asInt(), 1000), or(node.path("faults").asInt(), 100),
          or(Units.size(node.path("body")), 1 << 20), or(Units.size(node.path("leak")), Memory.MOST));
    }

    private static int or(int n, int usual) {
      return n == 0 ? usual : n;
    }

    private static long or(long n, long usual) {
      return n == 0 ? usual : n;
    }
  }

  /** Says why a chain is not run, with a text for each mistake. */
  static final class Refused extends Exception {
    final int status;
    final transient List<String> texts;

    Refused(int status, List<String> texts) {
      super(String.join("; ", texts));
      this.status = status;
      this.texts = texts;
    }
  }

  /** Reads a chain. Nothing of one with a mistake is run. */
  static Chain parse(byte[] body, Limits limits) throws Refused {
    if (body.length > limits.body) throw new Refused(413, List.of("the chain has more than the " + limits.body + " bytes possible"));
    JsonNode document;
    try {
      document = Json.read(body);
    } catch (IllegalArgumentException e) {
      throw new Refused(400, List.of("reading a chain: " + e.getMessage()));
    }
    Parser parser = new Parser(limits);
    Chain chain = parser.node(document, "", 1);
    if (!parser.problems.isEmpty()) throw new Refused(400, parser.problems);
    List<Route> routes = new ArrayList<>();
    for (JsonNode route : document.path("routes")) {
      byte[] text = Json.write(compact(route)).getBytes(java.nio.charset.StandardCharsets.UTF_8);
      routes.add(new Route(route.path("designation").asText(), text));
    }
    return new Chain(chain.designation, chain.before, chain.after, routes);
  }

  /** Leaves out what is null. */
  private static JsonNode compact(JsonNode node) {
    if (node instanceof ObjectNode object) {
      ObjectNode out = Json.MAPPER.createObjectNode();
      object.fields().forEachRemaining(e -> {
        if (!e.getValue().isNull()) out.set(e.getKey(), compact(e.getValue()));
      });
      return out;
    }
    if (node instanceof ArrayNode list) {
      ArrayNode out = Json.MAPPER.createArrayNode();
      list.forEach(v -> out.add(compact(v)));
      return out;
    }
    return node;
  }

  /** The program of a chain at one service. */
  List<Op> decide(Key key, String from, FaultSet faults) {
    List<Op> ops = faults.decide(key, from, "/");
    if (Op.ends(ops)) return ops;
    ops.addAll(faults(before, key.with("before")));
    if (Op.ends(ops)) return ops;
    for (int i = 0; i < routes.size(); i++) ops.add(Op.of(new Op.CallRoute(routes.get(i), i)));
    ops.addAll(faults(after, key.with("after")));
    if (!Op.ends(ops)) ops.add(Op.of(new Op.Respond()));
    return ops;
  }

  private static List<Op> faults(List<Fault> faults, Key key) {
    List<Op> ops = new ArrayList<>();
    for (int i = 0; i < faults.size() && !Op.ends(ops); i++) {
      Fault f = faults.get(i);
      if (f.kind == FaultKind.ERROR && !key.with(i).chance(f.rate)) continue;
      ops.add(Op.of(switch (f.kind) {
        case MEMORY_LEAK -> new Op.Leak(f.size, f.time);
        case LATENCY -> new Op.Sleep(f.time);
        case CPU -> new Op.Cpu(f.time, f.cores);
        case IO -> new Op.Io(f.size);
        case CORRUPT -> new Op.Corrupt();
        case HANG -> new Op.Hang();
        case ERROR -> new Op.Fail(f.status);
        case ABORT, PANIC, UNREACHABLE -> new Op.Abort();
      }));
    }
    return ops;
  }

  private static final class Parser {
    private static final int MAX_PROBLEMS = 20;
    private static final double MEGA = 1 << 20;
    private static final double DAY_MS = 24 * 3600e3;

    private final Limits limits;
    private int nodes;
    private final List<String> problems = new ArrayList<>();

    Parser(Limits limits) {
      this.limits = limits;
    }

    private void add(String path, String text) {
      if (problems.size() < MAX_PROBLEMS) problems.add(path.isEmpty() ? text : path + ": " + text);
    }

    private static String join(String path, String name) {
      return path.isEmpty() ? name : path + "." + name;
    }

    /** Whether it is an object; fields that it may not have are mistakes. */
    private boolean object(JsonNode node, String path, Set<String> known) {
      if (!node.isObject()) {
        add(path, "write an object");
        return false;
      }
      node.fieldNames().forEachRemaining(name -> {
        if (!known.contains(name)) add(join(path, name), "unknown field " + Json.quote(name));
      });
      return true;
    }

    private JsonNode list(JsonNode node, String path) {
      if (node.isArray()) return node;
      if (!node.isMissingNode() && !node.isNull()) add(path, "write a list");
      return Json.MAPPER.createArrayNode();
    }

    Chain node(JsonNode node, String path, int depth) {
      Chain none = new Chain("", List.of(), List.of(), List.of());
      if (depth > limits.depth) {
        add(path, "the chain is deeper than the " + limits.depth + " services possible");
        return none;
      }
      if (++nodes > limits.nodes) {
        if (nodes == limits.nodes + 1) add("", "the chain has more than the " + limits.nodes + " services possible");
        return none;
      }
      if (!object(node, path, Set.of("designation", "probability", "faults", "routes"))) return none;
      String designation = node.path("designation").isTextual() ? node.get("designation").textValue() : "";
      if (designation.isEmpty()) {
        add(join(path, "designation"), "there is no designation");
      } else if (designation.startsWith("http") && designation.chars().anyMatch(c -> c <= ' ' || c == 127)) {
        add(join(path, "designation"), "a URL has no spaces or control characters");
      }
      if (node.hasNonNull("probability")) number(node.get("probability"), join(path, "probability"), 0, 100);
      List<Fault> before = new ArrayList<>(), after = new ArrayList<>();
      if (node.hasNonNull("faults")) faults(node.get("faults"), join(path, "faults"), before, after);
      String at = join(path, "routes");
      JsonNode routes = list(node.path("routes"), at);
      if (routes.size() > limits.fanOut) {
        add(at, routes.size() + " routes are more than the " + limits.fanOut + " possible at one service");
        return none;
      }
      for (int i = 0; i < routes.size(); i++) node(routes.get(i), at + "[" + i + "]", depth + 1);
      return new Chain(designation, before, after, List.of());
    }

    private void faults(JsonNode node, String path, List<Fault> before, List<Fault> after) {
      if (!object(node, path, Set.of("before", "after"))) return;
      JsonNode first = list(node.path("before"), join(path, "before")), second = list(node.path("after"), join(path, "after"));
      int n = first.size() + second.size();
      if (n > limits.faults) {
        add(path, n + " faults are more than the " + limits.faults + " possible at one service");
        return;
      }
      for (int i = 0; i < first.size(); i++) fault(first.get(i), path + ".before[" + i + "]", before);
      for (int i = 0; i < second.size(); i++) fault(second.get(i), path + ".after[" + i + "]", after);
    }

    private void fault(JsonNode node, String path, List<Fault> to) {
      if (!object(node, path, Set.of("type", "args"))) return;
      String name = node.path("type").isTextual() ? node.get("type").textValue() : "";
      FaultKind kind = FaultKind.of(name);
      if (name.isEmpty()) {
        add("", "fault type was not defined");
        return;
      } else if (kind == null || kind == FaultKind.UNREACHABLE) {
        add("", "fault type " + name.substring(0, Math.min(name.length(), 64)) + ", is not implemented");
        return;
      }
      JsonNode args = node.hasNonNull("args") ? node.get("args") : Json.MAPPER.createObjectNode();
      if (!object(args, path + ".args", Set.of("delay", "size", "duration", "cores", "status", "rate"))) return;
      for (String needed : kind.ofChain.needs()) {
        if (!args.hasNonNull(needed)) add(path + ".args." + needed, "fault type " + name + " needs " + needed);
      }
      args.fields().forEachRemaining(e -> {
        if (!e.getValue().isNull() && !kind.ofChain.know(e.getKey())) add(path + ".args." + e.getKey(), "fault type " + name + " takes no " + e.getKey());
      });
      to.add(new Fault(kind, (long) (arg(args, path, kind == FaultKind.LATENCY ? "delay" : "duration", 0, 0, DAY_MS) * Units.MS), size(kind, args, path),
          arg(args, path, "cores", 1, 0, 1024), arg(args, path, "rate", 100, 0, 100) / 100, status(args, path)));
    }

    private int status(JsonNode args, String path) {
      double status = arg(args, path, "status", 500, 400, 599);
      if (status != Math.rint(status)) add(path + ".args.status", args.get("status") + " is no status");
      return (int) status;
    }

    private long size(FaultKind kind, JsonNode args, String path) {
      double most = kind == FaultKind.IO ? 1024 : limits.leak / MEGA;
      JsonNode size = args.path("size");
      if (size.isNumber() && size.asDouble() > most) {
        add(path + ".args.size", size + " MB are more than the " + most + " MB possible");
        return 0;
      }
      return (long) (arg(args, path, "size", 0, 0, most) * MEGA);
    }

    private double arg(JsonNode args, String path, String name, double usual, double lo, double hi) {
      return args.hasNonNull(name) ? number(args.get(name), path + ".args." + name, lo, hi) : usual;
    }

    private double number(JsonNode node, String path, double lo, double hi) {
      double n = node.isNumber() ? node.asDouble() : Double.NaN;
      if (n >= lo && n <= hi) return n;
      add(path, node + " is out of range: the range is " + lo + " to " + hi);
      return lo;
    }
  }
}
