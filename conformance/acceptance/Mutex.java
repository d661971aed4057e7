// One process of several that raise a counter under an InterProcessMutex, without comparing versions.
// usage: Mutex HOST:PORT ROUNDS
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.retry.ExponentialBackoffRetry;

public class Mutex {
    public static void main(String[] arguments) throws Exception {
        CuratorFramework client =
            CuratorFrameworkFactory.newClient(arguments[0], 10000, 10000, new ExponentialBackoffRetry(100, 5));
        client.start();
        client.blockUntilConnected();
        try {
            client.create().orSetData().creatingParentsIfNeeded().forPath("/curator/started-" + ProcessHandle.current().pid());
            if (client.checkExists().forPath("/curator/counter") == null) {
                client.create().forPath("/curator/counter", "0".getBytes());
            }
        } catch (org.apache.zookeeper.KeeperException.NodeExistsException another) {
            // Another process was first.
        }
        InterProcessMutex mutex = new InterProcessMutex(client, "/curator/lock");
        for (int round = Integer.parseInt(arguments[1]); round > 0; round--) {
            mutex.acquire();
            try {
                int value = Integer.parseInt(new String(client.getData().forPath("/curator/counter")));
                Thread.sleep(1);
                client.setData().forPath("/curator/counter", Integer.toString(value + 1).getBytes());
            } finally {
                mutex.release();
            }
        }
        System.out.println("done " + new String(client.getData().forPath("/curator/counter")));
        client.close();
    }
}
