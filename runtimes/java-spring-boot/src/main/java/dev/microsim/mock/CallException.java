package dev.microsim.mock;

/** A call that failed, with its class: connection_error, timeout, http_error or malformed. */
final class CallException extends Exception {
  final String outcome;
  final int status;

  CallException(String outcome, String text) {
    this(outcome, text, 0);
  }

  CallException(String outcome, String text, int status) {
    super(text);
    this.outcome = outcome;
    this.status = status;
  }
}
