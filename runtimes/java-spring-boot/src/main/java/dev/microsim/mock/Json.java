package dev.microsim.mock;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import java.io.IOException;
import java.util.Iterator;
import java.util.Set;

/** JSON as the contract has it. */
final class Json {
  private Json() {}

  static final String TYPE = "application/json";

  /** Keeps numbers as they are written, since chains are passed on. */
  static final ObjectMapper MAPPER = JsonMapper.builder()
      .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS, DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS, DeserializationFeature.USE_BIG_INTEGER_FOR_INTS)
      .nodeFactory(JsonNodeFactory.withExactBigDecimals(true))
      .build();

  /** Reads a document, which may not be empty. */
  static JsonNode read(byte[] text) {
    try {
      JsonNode node = MAPPER.readTree(text);
      if (node == null || node.isMissingNode()) throw new IllegalArgumentException("it is empty");
      return node;
    } catch (JsonProcessingException e) {
      throw new IllegalArgumentException(e.getOriginalMessage(), e);
    } catch (IOException e) {
      throw new IllegalArgumentException(e.getMessage(), e);
    }
  }

  static boolean valid(byte[] text) {
    try {
      read(text);
      return true;
    } catch (IllegalArgumentException e) {
      return false;
    }
  }

  static String write(Object value) {
    try {
      return MAPPER.writeValueAsString(value);
    } catch (JsonProcessingException e) {
      throw new IllegalStateException(e);
    }
  }

  /** A text in quotes, cut if it is long. */
  static String quote(String text) {
    return write(text.length() > 128 ? text.substring(0, 128) : text);
  }

  /** Refuses fields that something may not have. */
  static JsonNode only(JsonNode node, String what, Set<String> fields) {
    if (!node.isObject()) throw new IllegalArgumentException(what + " is not an object");
    for (Iterator<String> names = node.fieldNames(); names.hasNext(); ) {
      String name = names.next();
      if (!fields.contains(name)) throw new IllegalArgumentException(what + " has an unknown field " + quote(name));
    }
    return node;
  }

  /** Whether a field has a value other than null, false, 0 or "". */
  static boolean given(JsonNode node) {
    return !(node.isMissingNode() || node.isNull() || node.isBoolean() && !node.booleanValue() || node.isNumber() && node.asDouble() == 0 || node.isTextual() && node.textValue().isEmpty());
  }
}
