package dev.microsim.mock;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Set;
import java.util.function.DoubleUnaryOperator;

/** A distribution of durations: a duration, or an object with one field. */
public record Delay(long fixed, DoubleUnaryOperator quantile) {
  public static final Delay ZERO = fixed(0);
  private static final double Z99 = 2.3263478740408408;

  public static Delay fixed(long ns) {
    return new Delay(ns, null);
  }

  private static Delay uniform(double lo, double hi) {
    return new Delay(0, p -> p * (hi - lo) + lo);
  }

  /** Uniform around a delay. */
  public Delay jittered(long jitter) {
    return jitter == 0 || quantile != null ? this : uniform(fixed - jitter, fixed + jitter);
  }

  public boolean isZero() {
    return fixed == 0 && quantile == null;
  }

  /** The nanoseconds that the key decides. */
  public long draw(Key key) {
    if (quantile == null) return Math.min(fixed, Units.DAY);
    return (long) Math.min(Math.max(quantile.applyAsDouble(key.float64()), 0), Units.DAY);
  }

  /** Reads a delay that may be missing. */
  public static Delay of(JsonNode node) {
    if (!node.isObject()) return fixed(Units.duration(node));
    Json.only(node, "a distribution", Set.of("fixed", "uniform", "normal", "lognormal", "exponential", "pareto", "empirical"));
    if (node.hasNonNull("fixed")) return fixed(Units.duration(node.get("fixed")));
    if (node.hasNonNull("uniform")) return uniform(ns(node, "uniform", "min"), ns(node, "uniform", "max"));
    if (node.hasNonNull("normal")) {
      double mean = ns(node, "normal", "mean"), deviation = ns(node, "normal", "stddev");
      return new Delay(0, p -> deviation * Exact.normalQuantile(p) + mean);
    }
    if (node.hasNonNull("lognormal")) {
      double mu = Exact.log(ns(node, "lognormal", "p50"));
      double sigma = (Exact.log(ns(node, "lognormal", "p99")) - mu) / Z99;
      return new Delay(0, p -> Exact.exp(sigma * Exact.normalQuantile(p) + mu));
    }
    if (node.hasNonNull("exponential")) {
      double mean = ns(node, "exponential", "mean");
      return new Delay(0, p -> -mean * Exact.log1p(-p));
    }
    if (node.hasNonNull("pareto")) {
      double least = ns(node, "pareto", "min"), alpha = node.at("/pareto/alpha").asDouble();
      return new Delay(0, p -> least * Exact.exp(-Exact.log1p(-p) / alpha));
    }
    JsonNode list = node.path("empirical");
    if (list.isEmpty()) return ZERO;
    double[] values = new double[list.size()];
    for (int i = 0; i < values.length; i++) values[i] = Units.duration(list.get(i));
    return new Delay(0, p -> values[Math.min((int) (p * values.length), values.length - 1)]);
  }

  private static double ns(JsonNode node, String distribution, String field) {
    return Units.duration(node.path(distribution).path(field));
  }
}
