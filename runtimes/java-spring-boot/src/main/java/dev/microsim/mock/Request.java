package dev.microsim.mock;

import java.math.BigInteger;
import java.util.HexFormat;
import java.util.OptionalLong;
import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.BooleanSupplier;
import java.util.function.UnaryOperator;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A request as the framework has read it.
 *
 * @param path as it came, with its percent signs
 * @param header returns the value of a header, or null
 * @param gone tells whether the client has left
 */
public record Request(String method, String path, UnaryOperator<String> header, byte[] body, BooleanSupplier gone) {
  private static final Pattern PARENT = Pattern.compile("([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?");
  private static final long DAY_MS = 24 * 3600 * 1000;

  /** The value of a header; empty if it is missing or too long. */
  String value(String name, int bound) {
    String value = header.apply(name);
    return value == null || value.length() > bound ? "" : value;
  }

  String id() {
    String id = value("X-Request-ID", 128);
    return id.isEmpty() ? UUID.randomUUID().toString() : id;
  }

  /** The traceparent of a call: the trace that came in with a new span, or a new trace. */
  String callTraceparent() {
    Matcher m = PARENT.matcher(value("traceparent", 128));
    boolean valid = m.matches() && !m.group(1).equals("ff") && !zero(m.group(2)) && !zero(m.group(3));
    return "00-" + (valid ? m.group(2) : random(16)) + "-" + random(8) + "-" + (valid ? m.group(4) : "01");
  }

  private static boolean zero(String hex) {
    return new BigInteger(hex, 16).signum() == 0;
  }

  private static String random(int bytes) {
    byte[] b = new byte[bytes];
    ThreadLocalRandom.current().nextBytes(b);
    b[0] |= 1; // not only zeros
    return HexFormat.of().formatHex(b);
  }

  /** The milliseconds that the caller says are left. */
  OptionalLong timeLeft() {
    String text = value("Microsim-Deadline", 18);
    if (text.isEmpty() || !text.chars().allMatch(c -> c >= '0' && c <= '9')) return OptionalLong.empty();
    long ms = Long.parseLong(text);
    return ms < DAY_MS ? OptionalLong.of(ms) : OptionalLong.empty();
  }

  /** Why a request is refused that a web page has sent, or one that reaches a loopback address by a foreign name; null if it may pass. */
  String refusal(boolean loopback) {
    String origin = header.apply("Origin"), site = header.apply("Sec-Fetch-Site");
    if (origin != null && !origin.isEmpty() || site != null && !site.isEmpty() && !site.equals("none")) {
      return "requests of web pages are refused by this service; send it from a program";
    }
    String host = value("Host", 1024).toLowerCase().replaceFirst(":\\d*$", "").replaceAll("^\\[|]$", "");
    // Only an address is parsed: a name would be looked up.
    boolean local = host.equals("localhost") || host.matches("127(\\.\\d{1,3}){3}") || host.equals("::1");
    return loopback && !local ? "host " + Json.quote(host) + " is not this service: use its address" : null;
  }
}
