package dev.microsim.mock;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** A call of an endpoint of another service. */
record Call(String to, String method, String endpoint, long requestSize, long timeout, boolean ignore, Map<String, FileAnswer> answers, int count, double probability) {
  /** What the file says to answer if a call fails. */
  record FileAnswer(int status, String body) {}

  static Call of(JsonNode node) {
    String to = node.path("to").asText();
    for (String policy : List.of("retry", "breaker", "bulkhead", "rateLimit", "hedge", "fallback")) {
      Endpoint.refuse("call of " + to, policy, Json.given(node.path(policy)));
    }
    String endpoint = node.path("endpoint").asText("/");
    Endpoint.refuse("call of " + to, "a name in braces", Endpoint.hasBraces(endpoint));
    Map<String, FileAnswer> answers = new HashMap<>();
    node.path("answers").fields().forEachRemaining(e -> answers.put(e.getKey(), new FileAnswer(e.getValue().path("status").asInt(), e.getValue().path("body").asText(""))));
    return new Call(to, node.path("method").asText("GET"), endpoint, Units.size(node.path("requestSize")), Units.duration(node.path("timeout")),
        node.path("onError").asText("").equals("ignore"), answers, Math.max(node.path("count").asInt(1), 1), node.path("probability").asDouble(1));
  }
}
