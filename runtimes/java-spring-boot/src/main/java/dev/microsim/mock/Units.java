package dev.microsim.mock;

import com.fasterxml.jackson.databind.JsonNode;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Reads what the files have: durations such as 1m30s, sizes such as 64Ki. */
public final class Units {
  private Units() {}

  public static final long MS = 1_000_000;
  public static final long DAY = 24 * 3600 * 1000 * MS;

  private static final Map<String, Long> UNITS = Map.of(
      "ns", 1L, "us", 1000L, "µs", 1000L, "μs", 1000L, "ms", MS, "s", 1000 * MS, "m", 60_000 * MS, "min", 60_000 * MS, "h", 3_600_000 * MS, "d", DAY);
  private static final Pattern DURATION = Pattern.compile("-?(\\d+(\\.\\d+)?[a-zµμ]+)+");
  private static final Pattern PART = Pattern.compile("(\\d+)(?:\\.(\\d+))?([a-zµμ]+)");
  private static final Pattern SIZE = Pattern.compile("(\\d+(?:\\.\\d+)?)(|[kMGTP]|[KMGTP]i)");

  /** A duration in nanoseconds. */
  public static long duration(String text) {
    if (text.isEmpty() || text.equals("0")) return 0;
    if (!DURATION.matcher(text).matches()) {
      throw new IllegalArgumentException("invalid duration \"" + text + "\": write a number with a unit, such as 300ms or 1m30s");
    }
    BigInteger total = BigInteger.ZERO;
    for (Matcher m = PART.matcher(text); m.find(); ) {
      Long unit = UNITS.get(m.group(3));
      if (unit == null) throw new IllegalArgumentException("invalid duration \"" + text + "\": " + m.group(3) + " is not a unit");
      BigDecimal number = new BigDecimal(m.group(2) == null ? m.group(1) : m.group(1) + "." + m.group(2));
      total = total.add(number.multiply(BigDecimal.valueOf(unit)).toBigInteger());
    }
    if (total.bitLength() > 63) throw new IllegalArgumentException("invalid duration \"" + text + "\": it is too long");
    return text.startsWith("-") ? -total.longValue() : total.longValue();
  }

  /** A duration that may be missing. */
  public static long duration(JsonNode node) {
    if (node.isMissingNode() || node.isNull()) return 0;
    if (!node.isTextual()) throw new IllegalArgumentException("invalid duration " + node + ": write a text such as 300ms");
    return duration(node.textValue());
  }

  /** A number of bytes. */
  public static long size(String text) {
    Matcher m = SIZE.matcher(text);
    if (!m.matches()) throw new IllegalArgumentException("invalid size \"" + text + "\": write a number of bytes, such as 512 or 64Ki");
    String suffix = m.group(2);
    int power = suffix.isEmpty() ? 0 : "KMGTP".indexOf(Character.toUpperCase(suffix.charAt(0))) + 1;
    return (long) (Double.parseDouble(m.group(1)) * Math.pow(suffix.endsWith("i") ? 1024 : 1000, power));
  }

  /** A number of bytes that may be missing. */
  public static long size(JsonNode node) {
    return node.isMissingNode() || node.isNull() ? 0 : size(node.asText());
  }
}
