package dev.microsim.spring;

import jakarta.servlet.ServletException;
import java.io.IOException;
import java.util.function.BooleanSupplier;
import org.apache.catalina.connector.Request;
import org.apache.catalina.connector.Response;
import org.apache.catalina.valves.ValveBase;
import org.apache.coyote.ActionCode;

/** Does what a servlet cannot: it closes connections without an answer, and knows whether a client has left. */
class ClosingValve extends ValveBase {
  /** The attribute of a request in whose place the connection is closed. */
  static final String CLOSED = ClosingValve.class.getName() + ".closed";
  /** The attribute that tells whether the client has left; its request must have been read. */
  static final String GONE = ClosingValve.class.getName() + ".gone";

  ClosingValve() {
    super(true);
  }

  @Override
  public void invoke(Request request, Response response) throws IOException, ServletException {
    org.apache.coyote.Request connection = request.getCoyoteRequest();
    BooleanSupplier gone = () -> {
      // Reads what has come, if something has. The end of the connection counts as something.
      connection.action(ActionCode.AVAILABLE, true);
      return connection.getAvailable() > 0;
    };
    request.setAttribute(GONE, gone);
    getNext().invoke(request, response);
    if (request.getAttribute(CLOSED) != null) connection.action(ActionCode.CLOSE_NOW, null);
  }
}
