// Clients that try to come in, all at once: each in a line of the input, as fields with tabs between them:
//   NAME HOST:PORT LOGIN key=value...
// LOGIN is "-" without a login; the keys are those of ZKClientConfig. Prints a line for each: NAME, a tab, and what became of it.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.client.ConnectStringParser;
import org.apache.zookeeper.client.HostProvider;
import org.apache.zookeeper.client.StaticHostProvider;
import org.apache.zookeeper.client.ZKClientConfig;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.ClientInfo;
import org.apache.zookeeper.data.Stat;

public class Logins {
    // When it begins to connect so often, those before have failed: it would go on for ever.
    static final int BEGUN = 3;
    static final int PATIENCE_S = 40;

    static class Seen {
        boolean isConnected, isAuthenticated, isRefused;
        int begun;
        final boolean logsIn;
        final CountDownLatch decided = new CountDownLatch(1);

        Seen(boolean logsIn) {
            this.logsIn = logsIn;
        }

        synchronized void take(WatchedEvent event) {
            switch (event.getState()) {
            case SyncConnected: isConnected = true; break;
            case SaslAuthenticated: isAuthenticated = true; break;
            case AuthFailed: isRefused = true; break;
            default: break;
            }
            decide();
        }

        synchronized void begin() {
            begun++;
            decide();
        }

        private void decide() {
            boolean isIn = isConnected && (isAuthenticated || !logsIn);
            if (isIn || isRefused || begun >= BEGUN) {
                decided.countDown();
            }
        }
    }

    static class Counted implements HostProvider {
        final HostProvider all;
        final Seen seen;

        Counted(Collection<InetSocketAddress> hosts, Seen seen) {
            this.all = new StaticHostProvider(hosts);
            this.seen = seen;
        }

        public int size() {
            return all.size();
        }

        public InetSocketAddress next(long spinDelay) {
            seen.begin();
            return all.next(spinDelay);
        }

        public void onConnected() {
            all.onConnected();
        }

        public boolean updateServerList(Collection<InetSocketAddress> hosts, InetSocketAddress current) {
            return all.updateServerList(hosts, current);
        }
    }

    static String outcome(String address, boolean logsIn, ZKClientConfig config, String name) throws Exception {
        Seen seen = new Seen(logsIn);
        Counted hosts = new Counted(new ConnectStringParser(address).getServerAddresses(), seen);
        ZooKeeper client = new ZooKeeper(address, 30000, seen::take, false, hosts, config);
        try {
            if (!seen.decided.await(PATIENCE_S, TimeUnit.SECONDS)) {
                return "nothing in " + PATIENCE_S + " s";
            }
            if (seen.isRefused) {
                return "the login is refused";
            }
            if (!seen.isConnected) {
                return "out";
            }
            return "in, " + identities(client) + own(client, "/" + name.replace(' ', '-'));
        } finally {
            client.close(2000);
        }
    }

    static String identities(ZooKeeper client) throws Exception {
        TreeSet<String> found = new TreeSet<>();
        for (ClientInfo each : client.whoAmI()) {
            found.add(each.getAuthScheme() + ":" + each.getUser());
        }
        return String.join(" ", found);
    }

    static String own(ZooKeeper client, String path) throws Exception {
        try {
            client.create(path, new byte[] {'x'}, ZooDefs.Ids.CREATOR_ALL_ACL, CreateMode.EPHEMERAL);
        } catch (KeeperException error) {
            return ", no node of its own: " + error.code();
        }
        TreeSet<String> owners = new TreeSet<>();
        for (ACL each : client.getACL(path, new Stat())) {
            owners.add(each.getId().getScheme() + ":" + each.getId().getId());
        }
        return ", a node of " + String.join(" ", owners);
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        List<Thread> threads = new ArrayList<>();
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            String[] fields = line.split("\t");
            Thread thread = new Thread(() -> {
                ZKClientConfig config = new ZKClientConfig();
                for (int i = 3; i < fields.length; i++) {
                    String[] pair = fields[i].split("=", 2);
                    config.setProperty(pair[0], pair[1]);
                }
                String found;
                try {
                    found = outcome(fields[1], !fields[2].equals("-"), config, fields[0]);
                } catch (Exception error) {
                    found = "an error: " + error;
                }
                synchronized (System.out) {
                    System.out.println(fields[0] + "\t" + found);
                }
            });
            thread.start();
            threads.add(thread);
        }
        for (Thread thread : threads) {
            thread.join();
        }
        System.exit(0);
    }
}
