import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import software.amazon.awssdk.services.secretsmanager.SecretsManagerClient;

/** Credentials of a database that rotate: read from Secrets Manager, kept for a while, read again when refused. */
public final class Reader {
    private static final ObjectMapper JSON = new ObjectMapper();
    private final SecretsManagerClient client = SecretsManagerClient.create();
    private final String secretId;
    /** Less than the rotation's min_interval. */
    private final Duration keep = Duration.ofMinutes(5);
    private JsonNode document;
    private Instant until = Instant.MIN;

    public Reader(String secretId) {
        this.secretId = secretId;
    }

    private synchronized JsonNode current() throws Exception {
        if (Instant.now().isAfter(until)) {
            document = JSON.readTree(client.getSecretValue(r -> r.secretId(secretId)).secretString());
            until = Instant.now().plus(keep);
        }
        return document;
    }

    private synchronized void forget() {
        until = Instant.MIN;
    }

    private Connection open() throws Exception {
        JsonNode it = current();
        String url = "jdbc:postgresql://" + it.get("host").asText() + "/" + it.get("dbname").asText();
        return DriverManager.getConnection(url, it.get("username").asText(), it.get("password").asText());
    }

    /** Opens a connection. Refused credentials are read again, and tried once more. */
    public Connection connect() throws Exception {
        try {
            return open();
        } catch (SQLException error) {
            // Class 28 of SQLSTATE: invalid authorization.
            if (error.getSQLState() == null || !error.getSQLState().startsWith("28")) {
                throw error;
            }
        }
        forget();
        return open();
    }
}
