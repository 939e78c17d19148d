package dev.microsim.mock;

import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/** What is answered. */
public record Answer(int status, Map<String, String> headers, byte[] body) {
  static Answer of(int status, String contentType, byte[] body) {
    Map<String, String> headers = new LinkedHashMap<>();
    headers.put("Content-Type", contentType);
    return new Answer(status, headers, body);
  }

  static Answer json(int status, Object value) {
    return of(status, Json.TYPE, (Json.write(value) + "\n").getBytes(StandardCharsets.UTF_8));
  }

  /** Answers with a status and the object {"error": text}. */
  public static Answer error(int status, String text) {
    return json(status, Map.of("error", text));
  }

  static Answer text(int status, String body) {
    byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
    return of(status, Json.valid(bytes) ? Json.TYPE : "text/plain; charset=utf-8", bytes);
  }

  static Answer done() {
    return new Answer(204, new LinkedHashMap<>(), new byte[0]);
  }

  /** A body of exactly so many bytes. */
  static byte[] payload(long size) {
    if (size > 0 && size < 15) return "0".repeat((int) size).getBytes(StandardCharsets.UTF_8);
    return ("{\"payload\":\"" + "0".repeat((int) Math.max(size - 15, 0)) + "\"}\n").getBytes(StandardCharsets.UTF_8);
  }
}
