package dev.microsim.spring;

import dev.microsim.mock.Service;
import java.io.IOException;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.web.embedded.tomcat.TomcatServletWebServerFactory;
import org.springframework.boot.web.server.WebServerFactoryCustomizer;
import org.springframework.boot.web.servlet.context.ServletWebServerInitializedEvent;
import org.springframework.context.annotation.Bean;
import org.springframework.context.event.EventListener;
import org.springframework.core.NestedExceptionUtils;

/** A mock service on Spring Boot. */
@SpringBootApplication
public class Application {
  private final String host;

  Application() {
    host = Address.of(System.getenv()).host();
  }

  /** Serves what the environment describes, until TERM, INT or the end of stdin. */
  public static void main(String[] args) throws IOException {
    Service service = new Service(spec());
    SpringApplication application = new SpringApplication(Application.class);
    application.addInitializers(context -> context.getBeanFactory().registerSingleton("service", service));
    application.setDefaultProperties(Map.of("server.port", Address.of(System.getenv()).port(), "spring.lifecycle.timeout-per-shutdown-phase", service.graceMillis() + "ms"));
    try {
      application.run(args);
    } catch (RuntimeException e) {
      System.err.println("starting the service: " + NestedExceptionUtils.getMostSpecificCause(e));
      System.exit(1);
    }
    if (!System.getenv().getOrDefault("MICROSIM_WATCH_STDIN", "").isEmpty()) {
      System.in.transferTo(java.io.OutputStream.nullOutputStream());
      System.exit(0);
    }
  }

  private static byte[] spec() throws IOException {
    String text = System.getenv().getOrDefault("MICROSIM_SERVICE", "{\"service\":{\"name\":\"Undefined\",\"endpoints\":[{}]}}");
    return text.startsWith("@") ? Files.readAllBytes(Path.of(text.substring(1))) : text.getBytes(StandardCharsets.UTF_8);
  }

  /** Where to listen; a host that is empty means everywhere. */
  private record Address(String host, String port) {
    static Address of(Map<String, String> env) {
      String port = env.getOrDefault("PORT", "");
      String text = env.getOrDefault("MICROSIM_ADDR", ":" + (port.isEmpty() ? "8080" : port));
      int at = text.lastIndexOf(':');
      return new Address(text.substring(0, at).replaceAll("^\\[|]$", ""), text.substring(at + 1));
    }
  }

  @Bean
  WebServerFactoryCustomizer<TomcatServletWebServerFactory> tomcat() throws UnknownHostException {
    InetAddress address = host.isEmpty() ? null : InetAddress.getByName(host);
    return factory -> {
      if (address != null) factory.setAddress(address);
      factory.addContextValves(new ClosingValve());
    };
  }

  /** Prints the address. */
  @EventListener
  void started(ServletWebServerInitializedEvent event) throws UnknownHostException {
    boolean loopback = !host.isEmpty() && InetAddress.getByName(host).isLoopbackAddress();
    event.getApplicationContext().getBean(Service.class).setLoopback(loopback);
    String told = host.isEmpty() ? "[::]" : host.contains(":") ? "[" + host + "]" : host;
    System.out.println("{\"addr\":\"" + told + ":" + event.getWebServer().getPort() + "\"}");
  }
}
