package dk.sundbro.peer;

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.jpa.provider.JpaSystemProvider;
import ca.uhn.fhir.jpa.search.DatabaseBackedPagingProvider;
import ca.uhn.fhir.rest.api.EncodingEnum;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.provider.ResourceProviderFactory;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.util.thread.QueuedThreadPool;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;

/**
 * HAPI FHIR JPA R4 on Jetty, at http://127.0.0.1:PORT/fhir, until SIGTERM: {@code -Dpeer.port=N -Dpeer.database=jdbc:...}.
 *
 * The store is put together in {@link Composition}. No interceptor is registered: the peer does not ask who is asking,
 * validates no profile and keeps no record of who was shown what.
 */
public final class Peer {

    private Peer() {}

    public static void main(String[] arguments) throws Exception {
        var spring = new AnnotationConfigApplicationContext(Composition.class);
        var fhir = new RestfulServer(spring.getBean(FhirContext.class));
        fhir.registerProviders(spring.getBean(ResourceProviderFactory.class).createProviders());
        fhir.registerProvider(spring.getBean(JpaSystemProvider.class));
        fhir.setPagingProvider(spring.getBean(DatabaseBackedPagingProvider.class));
        fhir.setDefaultResponseEncoding(EncodingEnum.JSON);

        var server = new Server(new QueuedThreadPool(100));
        var connector = new ServerConnector(server);
        connector.setHost("127.0.0.1");
        connector.setPort(Integer.getInteger("peer.port"));
        server.addConnector(connector);
        var context = new ServletContextHandler("/");
        context.addServlet(new ServletHolder(fhir), "/fhir/*");
        server.setHandler(context);
        server.setStopAtShutdown(true);
        server.start();
        server.join();
        spring.close();
    }
}
